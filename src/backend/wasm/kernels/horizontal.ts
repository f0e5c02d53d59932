/** Sums and largest values across lanes, and float64 sums of float32 vectors. */
import type { FunctionBuilder } from "../assembler/assembler.js";
import { type F64, f32x4, f64, f64x2, type V128, v128 } from "../assembler/instructions.js";
import type { Vector } from "./emission.js";

/** One operation over the four lanes; every lane holds the result. */
export function acrossLanes(f: FunctionBuilder, x: V128, combine: (a: V128, b: V128) => V128): Vector {
  const first = f.let(x);
  const pairs = f.let(combine(first, v128.shuffle32(first, first, [2, 3, 0, 1])));
  return f.let(combine(pairs, v128.shuffle32(pairs, pairs, [1, 0, 3, 2])));
}

export const sumLanes = (f: FunctionBuilder, x: V128): Vector => acrossLanes(f, x, f32x4.add);
export const maxLanes = (f: FunctionBuilder, x: V128): Vector => acrossLanes(f, x, f32x4.max);

/** sum += x (or x²), each lane in float64: `low` takes lanes 0 and 1, `high` 2 and 3. */
export function accumulate64(f: FunctionBuilder, low: Vector, high: Vector, x: Vector, square: boolean): void {
  const add = (sum: Vector, half: V128): void => {
    const wide = f.let(f64x2.promoteLow(half));
    f.set(sum, f64x2.add(sum, square ? f64x2.mul(wide, wide) : wide));
  };
  add(low, x);
  add(high, v128.shuffle32(x, x, [2, 3, 0, 1]));
}

export function sum64(f: FunctionBuilder, low: Vector, high: Vector): F64 {
  const both = f.let(f64x2.add(low, high));
  return f64.add(f64x2.lane(both, 0), f64x2.lane(both, 1));
}
