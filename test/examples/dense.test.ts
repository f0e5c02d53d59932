import { expect, test } from "vitest";
import { main } from "../../examples/dense.js";
import { printed } from "./printed.js";

const output = printed();

test("a dense network tells two spirals apart", async () => {
  expect(await main({ epochs: 50 })).toBeGreaterThan(0.97);
  expect(output()).toMatch(/^[█·]{42}$/m);
});
