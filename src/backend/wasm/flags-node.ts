/** V8 settings for Node. They hold for the whole process, so nothing here happens unless it is called. */
import { setFlagsFromString } from "node:v8";
import { hasRelaxedSimd } from "./features.js";

/**
 * Switches on relaxed SIMD (fused multiply-add in WebAssembly) where it still hides behind a flag: Node 20 and 21.
 * This changes the V8 flags of the process; it has no effect on modules that do not use relaxed SIMD.
 * @returns whether relaxed SIMD is there now.
 */
export function enableRelaxedSimd(): boolean {
  if (!hasRelaxedSimd()) setFlagsFromString("--experimental-wasm-relaxed-simd");
  return hasRelaxedSimd();
}
