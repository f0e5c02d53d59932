import { expect, test } from "vitest";
import { cells } from "../../examples/cells-by-length.js";
import { main } from "../../examples/copy.js";
import { printed } from "./printed.js";

const output = printed();

test("cells recall symbols after ten blanks", async () => {
  const { gru, "lstm, chrono": lstm } = cells;
  const table = await main({ cells: { gru, lstm }, lengths: [10], steps: 600 });
  expect(table.gru![10]).toBeLessThan(0.9);
  expect(table.lstm![10]).toBeLessThan(0.9);
  expect(output()).toMatch(/^T = +10$/m);
});
