/** Random graphs: tensors grown from a pool by random ops, the same for the same seed and shapes. */
import {
  abs,
  concat,
  constant,
  crossEntropyRows,
  dropped,
  expand,
  gather,
  layerNormalize,
  less,
  logSoftmax,
  matmul,
  maxColumns,
  maximum,
  minimum,
  reshape,
  select,
  sigmoid,
  slice,
  sliceRows,
  softmax,
  stopGradient,
  sumAll,
  sumColumns,
  sumRows,
  tanh,
  transpose,
} from "../../src/graph/language.js";
import { scatter } from "../../src/graph/ops/rows.js";
import { columnsOf, rowsOf, sizeOf } from "../../src/graph/shape.js";
import type { Tensor } from "../../src/graph/tensor.js";
import type { Rng } from "../../src/parameters/rng.js";

export const below = (rng: Rng, count: number): number => Math.floor(rng.uniform() * count);
export const oneOf = <X>(rng: Rng, items: readonly X[]): X => items[below(rng, items.length)]!;

export interface GrowOptions {
  readonly count: number;
  /** A step's seed, where dropout may occur. */
  readonly seed?: Tensor;
  readonly smooth?: boolean;
}

/** Adds `count` tensors to `pool`, made of those in it. Values stay of order one. */
export function grow(pool: Tensor[], rng: Rng, { count, seed, smooth = false }: GrowOptions): void {
  let made = 0;
  for (let attempt = 0; made < count && attempt < 20 * count; attempt++) {
    const next = attemptOp(pool, rng, seed, smooth);
    if (!next || pool.includes(next) || sizeOf(next.shape) > 150) continue;
    pool.push(next);
    made++;
  }
}

function attemptOp(pool: readonly Tensor[], rng: Rng, seed: Tensor | undefined, smooth: boolean): Tensor | undefined {
  const floats = pool.filter(({ type }) => type === "float");
  const indices = pool.filter(({ type }) => type === "index" && seed !== undefined).filter((each) => each !== seed);
  const recent = floats.slice(-6);
  const a = rng.uniform() < 0.6 ? oneOf(rng, recent) : oneOf(rng, floats);
  const b = oneOf(rng, floats);
  const c = oneOf(rng, floats);
  const choices: (() => Tensor)[] = [
    () => tanh(a),
    () => sigmoid(a),
    () => a.neg(),
    () => a.add(b).mul(0.5),
    () => a.sub(b).mul(0.7),
    () => a.mul(b),
    () => a.mul(a),
    () => a.add(oneOf(rng, [0.5, -1, 0, 1])),
    () => tanh(matmul(a, b, { transposeA: rng.uniform() < 0.3, transposeB: rng.uniform() < 0.5 }).mul(0.5)),
    () => matmul(a, b, { transposeA: rng.uniform() < 0.3, transposeB: rng.uniform() < 0.5 }).mul(0.3),
    () => {
      const start = below(rng, columnsOf(a.shape));
      return slice(a, start, 1 + below(rng, columnsOf(a.shape) - start));
    },
    () => concat(rng.uniform() < 0.5 ? [a, b] : [a, b, a]),
    () => {
      const start = below(rng, a.shape[0]!);
      return sliceRows(a, start, 1 + below(rng, a.shape[0]! - start));
    },
    () => reshape(a, [rowsOf(a.shape), columnsOf(a.shape)]),
    () => transpose(a),
    () => stopGradient(a),
    () => sumRows(a, oneOf(rng, [[columnsOf(a.shape)], [1, columnsOf(a.shape)], a.shape.slice(-2)])).mul(0.4),
    () => sumColumns(a).mul(0.4),
    () => sumAll(a).mul(0.1),
    () => sumAll(a.mul(a)).mul(0.1),
    () => softmax(a),
    () => tanh(logSoftmax(a)),
    () => layerNormalize(a.add(0.1)).mul(0.5),
    () => expand(a, b.shape),
    () => select(less(0, c), a, b),
    () => constant(oneOf(rng, [0.5, 2, -1]), a.shape).mul(b),
    () => slice(constant(0.3, [rowsOf(a.shape), columnsOf(a.shape) + 1]), 1, columnsOf(a.shape)),
  ];
  if (!smooth)
    choices.push(
      () => maximum(a, b),
      () => minimum(a, 0.2),
      () => abs(a),
      () => less(a, b),
      () => maxColumns(a),
    );
  if (indices.length > 0) {
    const index = oneOf(rng, indices);
    choices.push(
      () => gather(a, index),
      () => scatter(a, index, [3, columnsOf(a.shape)]),
      () => tanh(crossEntropyRows(a, index, { smoothing: 0.1 })),
      () => index.mul(a),
    );
  }
  if (seed) {
    choices.push(
      () => dropped(a, 0.3, seed, below(rng, 5)),
      () => dropped(constant(1, a.shape), 0.4, seed, below(rng, 5)).mul(b),
    );
  }
  const choice = oneOf(rng, choices);
  try {
    const result = choice();
    // expand and scatter check little themselves: ill-formed ones are not of interest
    if (result.op === "expand" && !repeats(result)) return undefined;
    if (result.op === "scatter" && rowsOf(result.inputs[0]!.shape) !== rowsOf(result.inputs[1]!.shape))
      return undefined;
    return result;
  } catch (error) {
    if ((error as Error).name !== "UserError") throw error;
    return undefined;
  }
}

function repeats(tensor: Tensor): boolean {
  try {
    return tensor.inputs[0]!.add(constant(0, tensor.shape)).shape.join() === tensor.shape.join();
  } catch {
    return false;
  }
}
