import type { FunctionBuilder } from "../assembler/assembler.js";
import { v128 } from "../assembler/instructions.js";
import type { Vector } from "./emission.js";

/** Four rows of four lanes, transposed. */
export function transpose4(f: FunctionBuilder, rows: readonly Vector[]): Vector[] {
  const [a, b, c, d] = rows as [Vector, Vector, Vector, Vector];
  const low = f.let(v128.shuffle32(a, b, [0, 4, 1, 5]));
  const lowOther = f.let(v128.shuffle32(c, d, [0, 4, 1, 5]));
  const high = f.let(v128.shuffle32(a, b, [2, 6, 3, 7]));
  const highOther = f.let(v128.shuffle32(c, d, [2, 6, 3, 7]));
  return [
    f.let(v128.shuffle32(low, lowOther, [0, 1, 4, 5])),
    f.let(v128.shuffle32(low, lowOther, [2, 3, 6, 7])),
    f.let(v128.shuffle32(high, highOther, [0, 1, 4, 5])),
    f.let(v128.shuffle32(high, highOther, [2, 3, 6, 7])),
  ];
}
