/**
 * V8 settings for Node. They are flags of the whole process, so nothing here happens unless it is called.
 */
import { setFlagsFromString } from "node:v8";
import { hasRelaxedSimd, setRevectorizes } from "./features.js";

/**
 * Switches on relaxed SIMD (fused multiply-add in WebAssembly) where it still hides behind a flag: Node 20.
 * This changes the V8 flags of the process and stays; it has no effect on modules that do not use relaxed SIMD.
 * @returns whether relaxed SIMD is there now.
 */
export function enableRelaxedSimd(): boolean {
  if (!hasRelaxedSimd()) setFlagsFromString("--experimental-wasm-relaxed-simd");
  return hasRelaxedSimd();
}

/** The first V8 that fuses products: Node 24. Node 22's V8 12 knows the flag too and gains nothing by it. */
const REVECTORIZES_FROM = { v8: 13, arch: "x64" } as const;

/**
 * Lets V8 fuse neighbouring 128-bit vector operations of WebAssembly into 256-bit ones: an experiment of V8's own, in Node 24 and
 * newer on x64 processors with AVX2, where products become up to twice as fast. The numbers stay the same to the last bit.
 * This changes the V8 flags of the process and stays; it concerns modules compiled afterwards, so call it before a trainer is
 * created. Elsewhere it does nothing.
 * @returns whether this V8 has it.
 */
export function enableRevectorize(): boolean {
  const major = Number.parseInt(process.versions.v8 ?? "", 10);
  // Any other V8 would complain about the flag on stderr.
  const has = major >= REVECTORIZES_FROM.v8 && process.arch === REVECTORIZES_FROM.arch;
  if (!has) return false;
  setFlagsFromString("--experimental-wasm-revectorize");
  setRevectorizes();
  return true;
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
