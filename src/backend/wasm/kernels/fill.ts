/** One number everywhere. */
import type { Fill, View } from "../../../program/program.js";
import type { FunctionBuilder } from "../assembler/assembler.js";
import {
  advance,
  asLoop,
  at,
  BYTES,
  type Call,
  callOf,
  type Emission,
  forColumns,
  moving,
  type Pointer,
  times,
} from "./emission.js";

export function fill(f: FunctionBuilder, view: View, start: Pointer, bits: number): void {
  const { rows, columns } = asLoop(view);
  const to = moving(f, start);
  times(f, rows, () => {
    forColumns(f, columns, (offset, constant, lanes) => f.store(at(to, offset), f.bits(bits), constant, lanes));
    if (rows > 1) advance(f, to, view.stride * BYTES);
  });
}

export function emitFill(emission: Emission, kernel: Fill, label: string): Call {
  const number = new DataView(new ArrayBuffer(4));
  if (emission.typeOf(kernel.out) === "index") number.setInt32(0, kernel.value);
  else number.setFloat32(0, kernel.value);
  return callOf(emission, label, [kernel.out], (f, out) => fill(f, kernel.out, out, number.getInt32(0)));
}
