/**
 * The processor backend: kernels generated at run time as WebAssembly with 128-bit vectors, in float32. Nothing to
 * load, nothing to host.
 */
import { checkCount, checkOptions, UserError } from "../../errors.js";
import type { Backend } from "../contract.js";
import { hasRelaxedSimd, hasSimd, revectorizes } from "./features.js";
import { type CompileModule, createWasmSession, type WasmSession } from "./session.js";
import { hasSharedMemory, isPage, processors } from "./threads/thread.js";

/** Options of `wasm`; all have defaults. */
export interface WasmOptions {
  /**
   * "auto" (default) uses the fused multiply-add of relaxed SIMD where the engine has it; "off" never. Node 20 has it
   * behind a flag: `enableRelaxedSimd()` of flags-node.ts. Results differ in the last bits between the two.
   */
  readonly relaxedSimd?: "auto" | "off";
  /**
   * Whether the engine makes one 256-bit instruction of two on neighbouring 128-bit vectors; products are then cut for
   * that. Default: whether `enableRevectorize()` of flags-node.ts switched it on. Numbers are the same with and without.
   */
  readonly revectorized?: boolean;
  /**
   * How a module is compiled; default: at once, in a page `WebAssembly.compile`. V8 first translates quickly into slow code and
   * optimises what proves busy, so the first steps are slow; `compileOptimized` of flags-node.ts has it optimise at once.
   */
  readonly compile?: CompileModule;
  /**
   * Threads that share a program, each with its rows of the batch; "auto" (default): as many as there are processors, at
   * most 8. Results are the same from run to run for one number of threads. Small programs, and those that mix the rows
   * of a batch, run on one. Threads need shared memory: a page must be cross-origin isolated. In a page all the work is
   * done by workers, by one where memory cannot be shared, and the page stays responsive.
   */
  readonly threads?: number | "auto";
  /** Threads share programs of at least this many multiplications and additions a run; default 10 million, about 0.25 ms of work. */
  readonly shareFrom?: number;
  /** Measures the time of each kernel (and slows the run a little); see the session's `profile()`. */
  readonly profile?: boolean;
}

export interface WasmBackend extends Backend {
  readonly name: "wasm";
  createSession(): Promise<WasmSession>;
}

/** The wasm backend. @throws UserError on wrong options, and when a session is created where WebAssembly has no SIMD */
export function wasm(options: WasmOptions = {}): WasmBackend {
  checkOptions("wasm", options, "relaxedSimd revectorized compile threads shareFrom profile");
  const { threads = "auto" } = options;
  if (threads !== "auto") checkCount('threads, unless they are "auto",', threads);
  const backend: WasmBackend = {
    name: "wasm",
    precision: "float32",
    async createSession() {
      if (!hasSimd()) throw new UserError("the wasm backend needs WebAssembly SIMD, which this engine does not have");
      const relaxed = options.relaxedSimd !== "off" && hasRelaxedSimd();
      const { profile, compile, shareFrom, revectorized = revectorizes() } = options;
      const remote = isPage() && !hasSharedMemory();
      const sessionOptions = { relaxed, remote, revectorized, shareFrom, profile, compile };
      return createWasmSession(backend, { ...sessionOptions, threads: await threadsFor(threads) });
    },
  };
  return backend;
}

/** More than this rarely pays for one batch. */
const MOST_THREADS = 8;

async function threadsFor(wanted: number | "auto"): Promise<number> {
  const threads = wanted === "auto" ? Math.min(processors(), MOST_THREADS) : wanted;
  if (threads === 1 || hasSharedMemory()) return threads;
  (await import("./threads/one-thread.js")).sayWhy(threads);
  return 1;
}

export type { CompileModule, WasmSession } from "./session.js";
