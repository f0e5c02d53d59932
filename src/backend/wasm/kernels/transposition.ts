/** The kernel that transposes a matrix. */
import type { Transpose } from "../../../program/program.js";
import { type I32, v128 } from "../assembler/instructions.js";
import { advance, BYTES, type Call, callOf, type Emission, moving, times } from "./emission.js";
import { transpose4 } from "./transpose.js";

/** Blocks of 4 × 4 through registers; edges by the lane. */
export const emitTranspose = (emission: Emission, { input, out }: Transpose, label: string): Call =>
  callOf(emission, label, [input, out], (f, inputStart, outStart) => {
    const block = (from: I32, to: I32, rows: number, columns: number): void => {
      const source = f.let(from);
      const lines = [0, 1, 2, 3].map((r) =>
        r < rows ? f.let(v128.load(source, r * input.stride * BYTES)) : f.constant(0),
      );
      transpose4(f, lines).forEach((line, c) => {
        if (c < columns) f.store(to, line, c * out.stride * BYTES, rows);
      });
    };
    const from = moving(f, inputStart);
    const to = moving(f, outStart);
    const band = (rows: number): void => {
      const [row, column] = [moving(f, from), moving(f, to)];
      times(f, Math.floor(input.columns / 4), () => {
        block(row, column, rows, 4);
        advance(f, row, 4 * BYTES);
        advance(f, column, 4 * out.stride * BYTES);
      });
      if (input.columns % 4 > 0) block(row, column, rows, input.columns % 4);
    };
    times(f, Math.floor(input.rows / 4), () => {
      band(4);
      advance(f, from, 4 * input.stride * BYTES);
      advance(f, to, 4 * BYTES);
    });
    if (input.rows % 4 > 0) band(input.rows % 4);
  });
