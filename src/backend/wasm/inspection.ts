/** What looks into programs, by whoever asks for it: where their views end, where the time goes, what lies in a buffer. */
import type { Buffer, Program } from "../../program/program.js";

export { checkBounds } from "./bounds.js";
export { createClock } from "./clock.js";

/** A buffer that can be read. `isThere`: whether the temporaries are still those of the program's last run, on one thread. */
export function bufferOf({ name, buffers }: Program, id: number, isThere: boolean): Buffer {
  const buffer = buffers.find((other) => other.id === id);
  if (!buffer) throw new Error(`the program "${name}" has no buffer ${id}`);
  if (!buffer.variable && !isThere) throw new Error(`the program "${name}" was not the last to run, or has threads`);
  return buffer;
}
