import { expect, test } from "vitest";
import { main } from "../../examples/adding.js";
import { cells } from "../../examples/cells-by-length.js";
import { printed } from "./printed.js";

const output = printed();

test("the GRU adds two numbers of 100 steps", async () => {
  const table = await main({ cells: { gru: cells.gru }, lengths: [100], steps: 500 });
  expect(table.gru![100]).toBeLessThan(0.01);
  expect(output()).toMatch(/^T = +100\ngru +0\.00\d\d$/m);
});

test("the LSTM adds two numbers of 100 steps", async () => {
  const table = await main({ cells: { lstm: cells["lstm, chrono"] }, lengths: [100], steps: 700 });
  expect(table.lstm![100]).toBeLessThan(0.01);
});

test("the vanilla RNN does no better than to guess", async () => {
  const table = await main({ cells: { rnn: cells.rnn }, lengths: [100], steps: 300 });
  expect(table.rnn![100]).toBeGreaterThan(0.1);
});
