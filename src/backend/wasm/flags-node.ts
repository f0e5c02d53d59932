/**
 * V8 settings for Node. They are flags of the whole process, so nothing here happens unless it is called.
 */
import { setFlagsFromString } from "node:v8";
import { compiling, hasRelaxedSimd, setCompiling, setRevectorizes } from "./features.js";

const RELAXED_SIMD = "experimental-wasm-relaxed-simd";
let beingCompiled = 0;

/**
 * Sets the flag of relaxed SIMD until what `act` compiles is compiled. No longer, since V8 does not use the code that Node
 * keeps of its own modules while its flags are not those that Node was built with: a worker would take twice as long to start.
 */
function withRelaxedSimd<T>(act: () => T): T {
  const end = (): void => {
    if (--beingCompiled === 0) setFlagsFromString(`--no-${RELAXED_SIMD}`);
  };
  if (++beingCompiled === 1) setFlagsFromString(`--${RELAXED_SIMD}`);
  let result: T | undefined;
  try {
    result = act();
  } finally {
    if (result instanceof Promise) result.then(end, end);
    else end();
  }
  return result;
}

/**
 * Has throughtime use relaxed SIMD (fused multiply-add in WebAssembly) where it still hides behind a flag: Node 20.
 * From now on a V8 flag of the process is set while a program is compiled; other modules are not concerned.
 * @returns whether throughtime uses relaxed SIMD now.
 */
export function enableRelaxedSimd(): boolean {
  if (hasRelaxedSimd()) return true;
  setCompiling(withRelaxedSimd);
  const has = hasRelaxedSimd();
  if (!has) setCompiling((act) => act());
  return has;
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
    return compiling(() => new WebAssembly.Module(bytes));
  } finally {
    for (const flag of changed) setFlagsFromString(`--${flag}`);
  }
}
