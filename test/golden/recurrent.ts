/**
 * The suite `recurrent`: PyTorch's RNN, LSTM and GRU, forward and backward. T time, N batch, D input, H hidden; L layers times
 * directions. loss = Σ output·grad_output + Σ hn·grad_hn (+ Σ cn·grad_cn).
 */
import type { Backend } from "../../src/backend/contract.js";
import { evaluate } from "../../src/backend/evaluate.js";
import type { Cell } from "../../src/cells/cell.js";
import { gru } from "../../src/cells/gru.js";
import { lstm } from "../../src/cells/lstm.js";
import { rnn } from "../../src/cells/rnn.js";
import { current, reshape, sliceRows, sumAll } from "../../src/graph/language.js";
import { columnsOf, type Shape } from "../../src/graph/shape.js";
import { gradients } from "../../src/graph/sweep.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { batchVariable, type Variable, variable } from "../../src/graph/variable.js";
import { recurrent } from "../../src/layers/recurrent.js";
import { count, type Fields, flag, type GoldenCase, listOf, number, oneOf } from "./case.js";
import { type Comparison, demandOf, type Outcome } from "./compare.js";
import { contextOf } from "./context.js";

/** The cell of a case: `kind`, `hidden_size` and the options that PyTorch has for it. */
export function cellOf(fields: Fields): Cell {
  const kind = fields.get("kind", oneOf(["rnn", "lstm", "gru"]));
  const hidden = fields.get("hidden_size", count);
  const bias = fields.maybe("bias", flag) ?? true;
  const nonlinearity = fields.maybe("nonlinearity", oneOf(["tanh", "relu"]));
  const projection = fields.maybe("proj_size", number) ?? 0;
  if (nonlinearity !== undefined && kind !== "rnn") throw new Error(`a nonlinearity belongs to rnn, not to ${kind}`);
  if (projection !== 0 && kind !== "lstm") throw new Error(`a projection belongs to lstm, not to ${kind}`);
  if (kind === "rnn") return rnn(hidden, { nonlinearity: nonlinearity ?? "tanh", bias });
  return kind === "gru" ? gru(hidden, { bias }) : lstm(hidden, { bias, projection: projection || undefined });
}

export async function runRecurrent({ fields, tensors }: GoldenCase, backend: Backend): Promise<Outcome> {
  const cell = cellOf(fields);
  const [T, N, D] = [fields.get("time", count), fields.get("batch", count), fields.get("input_size", count)];
  const layers = fields.get("num_layers", count);
  const bidirectional = fields.maybe("bidirectional", flag) ?? false;
  const lengths = fields.maybe("lengths", listOf(count));
  fields.finish();
  const directions = bidirectional ? 2 : 1;
  const L = layers * directions;
  if (lengths && (lengths.length !== N || Math.max(...lengths) > T))
    throw new Error(`lengths ${JSON.stringify(lengths)} do not fit ${N} rows of ${T} steps`);

  const feeds: [Variable, ArrayLike<number>][] = [];
  const sources = new Map<string, Tensor>();
  const input = (name: string, shape: Shape, data: () => ArrayLike<number>): Tensor => {
    const known = sources.get(name);
    if (known) return known;
    // Sequences and states [.., N, ·] have a batch, weights have none.
    const made = shape.length === 3 ? batchVariable(name, shape) : variable(name, shape);
    feeds.push([made, data()]);
    sources.set(name, current(made));
    return sources.get(name)!;
  };
  const given = (name: string, shape: Shape): Tensor => input(name, shape, () => tensors.floats(name, shape));
  const maskAt = (i: number): number => (Math.floor(i / N) < lengths![i % N]! ? 1 : 0);
  const mask = lengths && input("mask", [T, N, 1], () => Array.from({ length: T * N }, (_, i) => maskAt(i)));

  // "h_l1_reverse" is part 3 of h0 and hn.
  const place = (state: string): { readonly key: string; readonly index: number } => {
    const [, key, layer, reverse] = /^(\w)_l(\d+)(_reverse)?$/.exec(state)!;
    return { key: key!, index: Number(layer) * directions + (reverse ? 1 : 0) };
  };
  const finals = new Map<string, Tensor[]>(Object.keys(cell.state).map((key) => [key, []]));
  const context = contextOf({
    mask,
    parameter: given,
    state(name, shape) {
      const { key, index } = place(name);
      return reshape(sliceRows(given(`${key}0`, [L, N, columnsOf(shape)]), index, 1), shape);
    },
    carry(name, final) {
      const { key, index } = place(name);
      finals.get(key)![index] = final;
    },
  });
  const x = given("input", [T, N, D]);
  const output = recurrent(cell, { layers, bidirectional }).apply(x, context);
  // Everything that has come together so far has a gradient, but for the mask.
  const wrt = [...sources.keys()].filter((name) => name !== "mask");

  let loss = sumAll(output.mul(given("grad_output", output.shape)));
  for (const [key, states] of finals) {
    const dfinal = given(`grad_${key}n`, [L, N, cell.state[key]!]);
    states.forEach((state, i) => {
      loss = loss.add(sumAll(state.mul(reshape(sliceRows(dfinal, i, 1), state.shape))));
    });
  }
  const wanted = wrt.map((name) => sources.get(name)!);
  const dx = gradients(loss, wanted);
  const results: Record<string, Tensor> = { output };
  for (const [key, states] of finals) for (const [i, state] of states.entries()) results[`${key}n ${i}`] = state;
  for (const [i, name] of wrt.entries()) results[`grad.${name}`] = dx[i]!;

  const computed = await evaluate(backend, results, feeds);
  const comparisons: Comparison[] = ["output", ...wrt.map((name) => `grad.${name}`)].map((tensor) => ({
    tensor,
    actual: computed[tensor]!,
    expected: tensors.floats(tensor, results[tensor]!.shape),
  }));
  for (const [key, states] of finals)
    comparisons.push({
      tensor: `${key}n`,
      actual: states.flatMap((_, i) => [...computed[`${key}n ${i}`]!]),
      expected: tensors.floats(`${key}n`, [L, N, cell.state[key]!]),
    });
  tensors.finish();

  const rows = tensors.floats("input");
  const inputs = Array.from({ length: T * N }, (_, i) => rows.subarray(i * D, (i + 1) * D));
  return { comparisons, demand: demandOf(T, inputs, tensors) };
}
