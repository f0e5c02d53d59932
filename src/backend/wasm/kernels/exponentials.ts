/** Of a row: the largest element, so that no exponential overflows, and the sum of the exponentials. */
import type { FunctionBuilder } from "../assembler/assembler.js";
import { f32x4, v128 } from "../assembler/instructions.js";
import { at, forColumns, keepLanes, type Pointer, type Vector } from "./emission.js";
import { maxLanes, sumLanes } from "./horizontal.js";
import { expNegativeNormal } from "./math.js";

/** The largest element of a row, in every lane. */
export function rowMax(f: FunctionBuilder, row: Pointer, columns: number): Vector {
  const largest = f.let(f.constant(-Infinity));
  forColumns(f, columns, (offset, constant, lanes) => {
    const x = keepLanes(f, v128.load(at(row, offset), constant), lanes, f.constant(-Infinity));
    f.set(largest, f32x4.max(largest, x));
  });
  return maxLanes(f, largest);
}

/** Σ_c e^(row[c] − largest) in every lane; with `keep` the exponentials are stored there. */
export function sumOfExponentials(
  f: FunctionBuilder,
  row: Pointer,
  columns: number,
  largest: Vector,
  keep?: Pointer,
): Vector {
  const total = f.let(f.constant(0));
  forColumns(f, columns, (offset, constant, lanes) => {
    const e = expNegativeNormal(f, f.let(f32x4.sub(v128.load(at(row, offset), constant), largest)));
    if (keep) f.store(at(keep, offset), e, constant, lanes);
    f.set(total, f32x4.add(total, keepLanes(f, e, lanes, f.constant(0))));
  });
  return sumLanes(f, total);
}
