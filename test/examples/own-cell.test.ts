import { expect, test } from "vitest";
import { main } from "../../examples/own-cell.js";
import { printed } from "./printed.js";

const output = printed();

test("a cell of one's own explains itself, has right gradients, and learns", async () => {
  const { check, table } = await main({ lengths: [30], steps: 300 });
  expect(check.passed).toBe(true);
  expect(check.rows.map((row) => row.name)).toEqual(
    expect.arrayContaining(["input", "state h_l0", "W_f_l0", "U_f_l0", "b_f_l0", "W_n_l0", "U_n_l0", "b_n_l0"]),
  );
  expect(output()).toContain("h′ = (1 − f)∘h + f∘n");
  expect(table.mgu![30]).toBeLessThan(0.02);
});
