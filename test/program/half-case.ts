/** A text model's loss, gradients and last states, from weights of a size that saturates nothing. */
import { current } from "../../src/graph/language.js";
import { gradients } from "../../src/graph/sweep.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { batchVariable, type Variable, variable } from "../../src/graph/variable.js";
import { type CellName, textModel } from "../../src/models/text-model.js";
import { createRng } from "../../src/parameters/rng.js";
import type { ProgramOptions } from "../../src/program/lower.js";
import { crossEntropy } from "../../src/train/losses.js";
import { createNetwork } from "../../src/train/network.js";

const [T, N, V, H] = [24, 16, 21, 33];

export interface HalfCase {
  readonly options: ProgramOptions & { readonly loss: Tensor };
  readonly feeds: readonly (readonly [Variable, Float64Array])[];
}

/** `scale`: of the loss. */
export function halfCase(cell: CellName, { layers = 2, scale = 1 } = {}): HalfCase {
  const rng = createRng(cell);
  const network = createNetwork(textModel({ vocabularySize: V, cell, hidden: H, layers }), 1);
  const input = batchVariable("input", [T, N, 1], "index");
  const seed = current(variable("seed", [1], "index"));
  const { output, finals } = network.trace(current(input), { training: true, seed });
  const mean = crossEntropy();
  const wanted = mean.target(output.shape);
  const target = batchVariable("target", wanted.shape, wanted.type);
  const loss = mean.apply(output, current(target), undefined).mul(scale);
  const derived = gradients(loss, [...network.tensors.values()]);
  const named: (readonly [string, Tensor])[] = [
    ["loss", loss],
    ...[...network.tensors.keys()].map((name, i) => [`d${name}`, derived[i]!] as const),
    ...[...finals].map(([name, tensor]) => [`final ${name}`, tensor] as const),
  ];
  const ids = (): Float64Array => Float64Array.from({ length: T * N }, () => Math.floor(rng.uniform() * V));
  const weights = [...network.parameters.values()].map(
    (parameter) =>
      [
        parameter,
        Float64Array.from({ length: parameter.shape.reduce((size, length) => size * length, 1) }, () =>
          Math.fround((0.9 * rng.normal()) / Math.sqrt(parameter.shape.at(-1)!)),
        ),
      ] as const,
  );
  return {
    options: {
      name: cell,
      results: named.map(([name, tensor]) => ({ variable: variable(name, tensor.shape), tensor })),
      loss,
    },
    feeds: [[input, ids()], [target, ids()], ...weights],
  };
}

export type Numbers = ReadonlyMap<string, ArrayLike<number>>;

/** The largest difference of values, relative to the largest of them, over those whose name begins so. */
export function errorOf(found: Numbers, expected: Numbers, prefix: string): number {
  const errors = [...expected].flatMap(([name, values]) => {
    if (!name.startsWith(prefix)) return [];
    const largest = Array.from(values).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    return Array.from(values, (x, i) => Math.abs(x - found.get(name)![i]!) / largest);
  });
  // Math.max takes NaN for the largest.
  return errors.reduce((most, error) => Math.max(most, error), 0);
}
