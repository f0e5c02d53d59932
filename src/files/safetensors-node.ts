import { writeFileAtomic } from "./atomic-node.js";
import { readBytes } from "./io-node.js";
import { decodeSafetensors, encodeSafetensors, type Safetensors } from "./safetensors.js";

/** Reads a safetensors file; see `decodeSafetensors`. Messages name the path. */
export async function readSafetensors(path: string): Promise<Safetensors> {
  return decodeSafetensors(await readBytes(path), path);
}

/** Writes a safetensors file, such as `await trainer.parameters()`, whole or not at all; see `encodeSafetensors` and `writeFileAtomic`. */
export async function writeSafetensors(path: string, ...contents: Parameters<typeof encodeSafetensors>): Promise<void> {
  await writeFileAtomic(path, encodeSafetensors(...contents));
}
