/**
 * The processor backend: kernels generated at run time as WebAssembly with 128-bit vectors, in float32. Nothing to
 * load, nothing to host.
 */
import { UserError } from "../../errors.js";
import type { Backend } from "../contract.js";
import { hasRelaxedSimd, hasSimd } from "./features.js";
import { type CompileModule, createWasmSession, type WasmSession } from "./session.js";

export interface WasmOptions {
  /**
   * "auto" (default) uses the fused multiply-add of relaxed SIMD where the engine has it; "off" never. Node 20 has it
   * behind a flag: `enableRelaxedSimd()` of flags-node.ts. Results differ in the last bits between the two.
   */
  readonly relaxedSimd?: "auto" | "off";
  /**
   * How a module is compiled; default `WebAssembly.compile`. V8 first translates quickly into slow code and optimises
   * what proves busy, so the first steps are slow; `compileOptimized` of flags-node.ts has it optimise at once.
   */
  readonly compile?: CompileModule;
  /** Measures the time of each kernel (and slows the run a little); see the session's `profile()`. */
  readonly profile?: boolean;
}

export interface WasmBackend extends Backend {
  readonly name: "wasm";
  createSession(): Promise<WasmSession>;
}

/** The wasm backend. @throws UserError when a session is created where WebAssembly has no SIMD. */
export function wasm(options: WasmOptions = {}): WasmBackend {
  const backend: WasmBackend = {
    name: "wasm",
    precision: "float32",
    async createSession() {
      if (!hasSimd()) throw new UserError("the wasm backend needs WebAssembly SIMD, which this engine does not have");
      const relaxed = options.relaxedSimd !== "off" && hasRelaxedSimd();
      return createWasmSession(backend, { relaxed, profile: options.profile, compile: options.compile });
    },
  };
  return backend;
}

export type { CompileModule, ProfileEntry, WasmSession } from "./session.js";
