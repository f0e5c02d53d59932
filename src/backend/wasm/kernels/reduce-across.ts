/** Sums and largest values of each row, a vector at a time and then across its lanes, and the largest value of all. */
import type { Reduce } from "../../../program/program.js";
import type { FunctionBuilder } from "../assembler/assembler.js";
import { f32x4, v128 } from "../assembler/instructions.js";
import { advance, at, BYTES, forColumns, keepLanes, moving, type Pointer, times } from "./emission.js";
import { maxLanes, sumLanes } from "./horizontal.js";
import { combine, forAll, neutral, term } from "./reduce.js";

export function emitAcross(f: FunctionBuilder, kernel: Reduce, input: Pointer, out: Pointer): void {
  (kernel.axis === "all" ? emitMax : emitColumns)(f, kernel, input, out);
}

/** out[r] = Σ_c input[r, c]. */
function emitColumns(f: FunctionBuilder, kernel: Reduce, input: Pointer, out: Pointer): void {
  const source = moving(f, input);
  const target = moving(f, out);
  const total = f.local("v128");
  times(f, kernel.input.rows, () => {
    f.set(total, neutral(f, kernel));
    forColumns(f, kernel.input.columns, (offset, constant, lanes) => {
      const x = keepLanes(f, v128.load(at(source, offset), constant), lanes, neutral(f, kernel));
      f.set(total, combine(kernel)(total, term(f, kernel, x)));
    });
    f.store(target, kernel.op === "sum" ? sumLanes(f, total) : maxLanes(f, total), 0, 1);
    advance(f, source, kernel.input.stride * BYTES);
    advance(f, target, kernel.out.stride * BYTES);
  });
}

function emitMax(f: FunctionBuilder, kernel: Reduce, input: Pointer, out: Pointer): void {
  const largest = f.let(neutral(f, kernel));
  forAll(f, kernel, input, (x) => f.set(largest, f32x4.max(largest, x)));
  f.store(out, maxLanes(f, largest), 0, 1);
}
