/**
 * V8 settings for Node. They are flags of the whole process, so nothing here happens unless it is called.
 */
import { setFlagsFromString } from "node:v8";
import { hasRelaxedSimd } from "./features.js";

/**
 * Switches on relaxed SIMD (fused multiply-add in WebAssembly) where it still hides behind a flag: Node 20.
 * This changes the V8 flags of the process and stays; it has no effect on modules that do not use relaxed SIMD.
 * @returns whether relaxed SIMD is there now.
 */
export function enableRelaxedSimd(): boolean {
  if (!hasRelaxedSimd()) setFlagsFromString("--experimental-wasm-relaxed-simd");
  return hasRelaxedSimd();
}

/** V8 starts with a quick, slow compiler and compiles a function when it is first called; both are off meanwhile. */
const tiers = ["liftoff", "wasm-lazy-compilation"] as const;

/** What the process was started with stays as it is. */
const startedWith = (flag: string): boolean =>
  [...process.execArgv, ...(process.env.NODE_OPTIONS ?? "").split(/\s+/)].some(
    (argument) => argument.replace(/^--(no-)?/, "").replaceAll("_", "-") === flag,
  );

/**
 * For the option `compile` of `wasm()`: compiles with V8's optimising compiler at once, all functions, so that the first
 * step is as fast as any other. Changes V8 flags of the process for the length of the call, and blocks for it (some tens
 * of milliseconds for a training step).
 */
export function compileOptimized(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  const changed = tiers.filter((flag) => !startedWith(flag));
  for (const flag of changed) setFlagsFromString(`--no-${flag}`);
  try {
    return new WebAssembly.Module(bytes);
  } finally {
    for (const flag of changed) setFlagsFromString(`--${flag}`);
  }
}
