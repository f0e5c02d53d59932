import { expect, test } from "vitest";
import { main } from "../../examples/text.js";
import { printed } from "./printed.js";

const output = printed();

test("a character model learns from a file and writes", async () => {
  const { losses, written } = await main({ steps: 60, hidden: 48, layers: 1, length: 80 });
  expect(losses).toHaveLength(60);
  expect(losses[0]).toBeGreaterThan(3.5);
  expect(losses.at(-1)).toBeLessThan(2.9);
  expect(written).toHaveLength(80);
  expect(output()).toMatch(/step 60: loss \d\.\d{3}, gradient norm \d+\.\d\d, held out \d\.\d{3} bits/);
  expect(output()).toContain(written);
});
