/** How far figures may lie apart. */
import type { Backend } from "../../src/backend/contract.js";
import type { Tensors } from "./case.js";

/** One tensor: what the toolkit computed beside what the case holds. */
export interface Comparison {
  readonly tensor: string;
  readonly actual: ArrayLike<number>;
  readonly expected: ArrayLike<number>;
}

/** What makes a case demanding: many steps, or gates driven far into saturation. */
export type Demand = "long" | "saturated" | undefined;

export interface Outcome {
  readonly comparisons: readonly Comparison[];
  readonly demand: Demand;
}

/** The largest error allowed, relative to the largest expected value of the tensor, and the demand where it widened it. */
export function toleranceOf(
  precision: Backend["precision"],
  demand: Demand,
): { readonly tolerance: number; readonly demand?: Demand } {
  if (precision === "float64") return { tolerance: 1e-9 };
  return demand ? { tolerance: 2e-4, demand } : { tolerance: 2e-5 };
}

/** max |a − b| / max |b|; where b is exactly zero throughout, max |a|. Infinite where something is not a number or missing. */
export function errorOf({ actual, expected }: Comparison): number {
  if (actual.length !== expected.length || expected.length === 0) return Number.POSITIVE_INFINITY;
  let [largest, error] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (Number.isNaN(difference)) return Number.POSITIVE_INFINITY;
    largest = Math.max(largest, Math.abs(expected[i]!));
    error = Math.max(error, difference);
  }
  return largest === 0 ? error : error / largest;
}

/** Steps from which a sequence counts as long: rounding errors have that many steps to add up. */
const longSequence = 100;
/** A gate of this pre-activation is saturated: 1 − σ(6) = 0.0025, and what is left loses as many digits. */
const saturation = 6;

/**
 * Whether a recurrent case is demanding, from its figures alone: its length, and the largest |W_ih·x + b_ih + b_hh| of the first
 * layer. `inputs` are rows of D features; parameters are called `prefix` and PyTorch's name.
 */
export function demandOf(steps: number, inputs: readonly Float64Array[], tensors: Tensors, prefix = ""): Demand {
  if (steps >= longSequence) return "long";
  const parameter = (name: string): Float64Array | undefined =>
    tensors.has(prefix + name) ? tensors.floats(prefix + name) : undefined;
  const [weight, b_ih, b_hh] = [parameter("weight_ih_l0")!, parameter("bias_ih_l0"), parameter("bias_hh_l0")];
  let largest = 0;
  for (const x of inputs) {
    for (let g = 0; g < weight.length / x.length; g++) {
      const bias = (b_ih?.[g] ?? 0) + (b_hh?.[g] ?? 0);
      const z = x.reduce((sum, value, d) => sum + weight[g * x.length + d]! * value, bias);
      largest = Math.max(largest, Math.abs(z));
    }
  }
  return largest >= saturation ? "saturated" : undefined;
}
