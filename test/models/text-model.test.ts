import { expect, test } from "vitest";
import { gradientCheck } from "../../src/check/gradient-check.js";
import { UserError } from "../../src/errors.js";
import { current } from "../../src/graph/language.js";
import { initialOf, variable } from "../../src/graph/variable.js";
import {
  type CellName,
  cellNamed,
  cellNames,
  countTextParameters,
  type TextModelOptions,
  textModel,
} from "../../src/models/text-model.js";
import { crossEntropy } from "../../src/train/losses.js";
import { createNetwork, type Network } from "../../src/train/network.js";

const traced = (options: TextModelOptions): { network: Network; output: readonly number[] } => {
  const network = createNetwork(textModel(options), 1);
  const { output } = network.trace(current(variable("input", [4, 3, 1], "index")), {
    training: true,
    seed: current(variable("seed", [1], "index")),
  });
  return { network, output: output.shape };
};
const shapesOf = ({ parameters }: Network): Record<string, readonly number[]> =>
  Object.fromEntries([...parameters].map(([name, { shape }]) => [name, shape]));

test("parameters are named and shaped as a PyTorch module of embedding, rnn and head has them", () => {
  const { network, output } = traced({
    vocabularySize: 11,
    cell: "lstm",
    hidden: 6,
    layers: 2,
    embedding: 5,
    dropout: 0.5,
  });
  expect(output).toEqual([4, 3, 11]);
  expect(shapesOf(network)).toEqual({
    "embedding.weight": [11, 5],
    "rnn.weight_ih_l0": [24, 5],
    "rnn.weight_hh_l0": [24, 6],
    "rnn.bias_ih_l0": [24],
    "rnn.bias_hh_l0": [24],
    "rnn.weight_ih_l1": [24, 6],
    "rnn.weight_hh_l1": [24, 6],
    "rnn.bias_ih_l1": [24],
    "rnn.bias_hh_l1": [24],
    "head.weight": [11, 6],
    "head.bias": [11],
  });
  expect(shapesOf(traced({ vocabularySize: 11, cell: "gru", hidden: 6, layers: 1 }).network)).toEqual({
    "rnn.weight_ih_l0": [18, 11],
    "rnn.weight_hh_l0": [18, 6],
    "rnn.bias_ih_l0": [18],
    "rnn.bias_hh_l0": [18],
    "head.weight": [11, 6],
    "head.bias": [11],
  });
});

test("the count of parameters is that of the model", () => {
  for (const cell of cellNames) {
    for (const [layers, embedding] of [
      [1, 0],
      [3, 7],
    ] as const) {
      const options = { vocabularySize: 13, cell, hidden: 5, layers, embedding };
      const sizes = Object.values(shapesOf(traced(options).network)).map((shape) => shape.reduce((a, b) => a * b, 1));
      expect(countTextParameters(options)).toBe(sizes.reduce((a, b) => a + b, 0));
    }
  }
  // torch.nn.LSTM(65, 128, 2) and Linear(128, 65): 99,840 + 132,096 + 8,385.
  expect(countTextParameters({ vocabularySize: 65 })).toBe(240_321);
});

test("weights start as PyTorch's: U(±1/√H) in the rnn and the head, N(0, 1) in the embedding", () => {
  const { network } = traced({ vocabularySize: 40, cell: "gru", hidden: 64, layers: 2, embedding: 50 });
  for (const [name, parameter] of network.parameters) {
    const numbers = Array.from(initialOf(parameter)!);
    const largest = Math.max(...numbers.map(Math.abs));
    const variance = numbers.reduce((sum, x) => sum + x * x, 0) / numbers.length;
    if (name === "embedding.weight") {
      expect(Math.abs(variance - 1)).toBeLessThan(0.1);
    } else {
      expect(largest, name).toBeLessThanOrEqual(1 / 8);
      if (numbers.length > 1000) expect(Math.abs(variance * 64 * 3 - 1), name).toBeLessThan(0.1);
    }
  }
});

test.each([
  { cell: "rnn", embedding: 0 },
  { cell: "lstm", embedding: 4 },
  { cell: "gru", embedding: 4 },
] as const)(
  "the gradient of a $cell model with embedding $embedding and dropout is right",
  async ({ cell, embedding }) => {
    const model = textModel({ vocabularySize: 6, cell, hidden: 5, layers: 2, embedding, dropout: 0.4 });
    const result = await gradientCheck(model, {
      inputShape: [4, 3, 1],
      classes: 6,
      loss: crossEntropy(),
      targetClasses: 6,
    });
    expect(result.worst.relativeError).toBeLessThanOrEqual(1e-6);
    expect(result.passed).toBe(true);
  },
);

test("options out of range are refused", () => {
  const refusal = (options: Partial<TextModelOptions>): string => {
    try {
      textModel({ vocabularySize: 9, ...options });
    } catch (error) {
      expect(error).toBeInstanceOf(UserError);
      return (error as Error).message;
    }
    return "";
  };
  expect(refusal({ dropout: 1 })).toBe("the dropout must be at least 0 and below 1, not 1");
  expect(refusal({ cell: "transformer" as CellName })).toBe(
    'there is no cell "transformer"; the cells are rnn, lstm, gru',
  );
  expect(refusal({ hidden: 0 })).toMatch(/the features of state "h" must be a whole number of at least 1, not 0/);
  expect(refusal({ layers: 1.5 })).toMatch(/layers must be a whole number of at least 1, not 1\.5/);
  expect(refusal({ embedding: -1 })).toMatch(/must be a whole number of at least 1, not -1/);
  expect(() => cellNamed("constructor" as CellName, 3)).toThrow(UserError);
});
