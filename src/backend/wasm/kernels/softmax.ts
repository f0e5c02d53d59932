/** Softmax and log-softmax, a row at a time. */
import type { Softmax } from "../../../program/program.js";
import { f32x4, v128 } from "../assembler/instructions.js";
import { advance, at, BYTES, type Call, type Emission, forColumns, moving, times, viewArgument } from "./emission.js";
import { rowMax, sumOfExponentials } from "./exponentials.js";
import { log } from "./functions.js";

export function emitSoftmax(emission: Emission, kernel: Softmax, label: string): Call {
  const { input, out } = kernel;
  const target = emission.module.function(label, ["i32", "i32"], undefined, (f, inputStart, outStart) => {
    const source = moving(f, inputStart);
    const to = moving(f, outStart);
    times(f, input.rows, () => {
      const largest = rowMax(f, source, input.columns);
      const total = sumOfExponentials(f, source, input.columns, largest, kernel.log ? undefined : to);
      const logTotal = kernel.log ? log(f, total) : undefined;
      forColumns(f, input.columns, (offset, constant, lanes) => {
        const address = f.let(at(kernel.log ? source : to, offset));
        const x = v128.load(address, constant);
        const result = logTotal ? f32x4.sub(f32x4.sub(x, largest), logTotal) : f32x4.div(x, total);
        f.store(at(to, offset), result, constant, lanes);
      });
      advance(f, source, input.stride * BYTES);
      advance(f, to, out.stride * BYTES);
    });
  });
  return { target, parameters: [viewArgument(input), viewArgument(out)] };
}
