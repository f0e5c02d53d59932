/** Recurrent layers as cases to compute, and the loops of a plan. */
import type { Dispatch, Plan, Planned, RepeatedDispatches } from "../../../src/backend/webgpu/dispatch.js";
import type { Cell } from "../../../src/cells/cell.js";
import * as language from "../../../src/graph/language.js";
import { gradients } from "../../../src/graph/sweep.js";
import type { Tensor } from "../../../src/graph/tensor.js";
import { type Variable, variable } from "../../../src/graph/variable.js";
import { type RecurrentOptions, recurrent } from "../../../src/layers/recurrent.js";
import { createRng } from "../../../src/parameters/rng.js";
import { lower } from "../../../src/program/lower.js";
import type { Program } from "../../../src/program/program.js";
import { throughput } from "../../../src/program/throughput.js";
import { createNetwork } from "../../../src/train/network.js";

export const isWhole = (planned: Planned): planned is Dispatch =>
  !("loop" in planned) && / steps in one dispatch/.test(planned.how);
const isStepwise = (planned: Planned): planned is RepeatedDispatches => "loop" in planned;
export const wholeLoops = ({ compute }: Plan): readonly Dispatch[] => compute.filter(isWhole);
export const stepwiseLoops = ({ compute }: Plan): readonly RepeatedDispatches[] => compute.filter(isStepwise);

type Feed = readonly [Variable, ArrayLike<number>];

export interface Case {
  readonly outputs: Record<string, Tensor>;
  readonly feeds: readonly Feed[];
}

interface Sizes {
  readonly steps?: number;
  readonly rows: number;
  readonly features?: number;
  /** Valid steps of each row, in turn. */
  readonly lengths?: readonly number[];
  readonly training?: boolean;
}

/** A layer's outputs, final state and the gradients of all that they come from, its parameters of a size that saturates nothing. */
export function layerCase(
  cell: Cell,
  { steps = 4, rows, features = 3, lengths, training = false }: Sizes,
  options: RecurrentOptions = {},
): Case {
  const rng = createRng(rows);
  const noise = (length: number, scale = 1): Float64Array =>
    Float64Array.from({ length }, () => Math.fround(scale * rng.normal()));
  const x = variable("x", [steps, rows, features]);
  const seed: Variable = { name: "seed", shape: [1], type: "index", initial: [5] };
  const network = createNetwork(recurrent(cell, options), 1);
  const mask = variable("mask", [steps, rows, 1]);
  const { output } = network.trace(language.current(x), {
    training,
    seed: language.current(seed),
    ...(lengths ? { mask: language.current(mask) } : {}),
  });
  const dy = variable("dy", output.shape);
  const wrt = { x: language.current(x), ...Object.fromEntries(network.tensors) };
  const loss = language.sumAll(output.mul(language.current(dy)));
  const d = gradients(loss, Object.values(wrt));
  const valid = Float64Array.from({ length: steps * rows }, (_, i) =>
    Math.floor(i / rows) < (lengths?.[(i % rows) % lengths.length] ?? steps) ? 1 : 0,
  );
  const own = [...network.parameters.values()].map((weights): Feed => {
    const size = weights.shape.reduce((product, length) => product * length, 1);
    return [weights, noise(size, 0.9 / Math.sqrt(weights.shape.at(-1)!))];
  });
  return {
    outputs: Object.fromEntries([
      ["output", output],
      ...Object.keys(wrt).map((name, i) => [`d${name}`, d[i]!] as const),
    ]),
    feeds: [
      [x, noise(steps * rows * features)],
      [dy, noise(dy.shape.reduce((a, b) => a * b, 1))],
      ...(lengths ? [[mask, valid] as const] : []),
      ...own,
    ],
  };
}

export const programOf = ({ outputs }: Case): Program =>
  lower(
    {
      name: "case",
      results: Object.entries(outputs).map(([name, tensor]) => ({ variable: variable(name, tensor.shape), tensor })),
    },
    throughput,
  );
