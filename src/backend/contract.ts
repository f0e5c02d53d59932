/**
 * The one contract that every backend fulfils: a session owns memory, compiles programs against it and runs them.
 *
 * Only creating, compiling and reading are asynchronous; a run enqueues. Host data goes in and out as plain numbers in
 * row-major order; each backend stores them in its own precision.
 */
import type { ProgramOptions } from "../program/lower.js";
import type { Program, Variable } from "../program/program.js";

/** Numbers as the host sees them. */
export type HostArray = Float64Array | Float32Array | Int32Array;

/** What a session holds, in bytes. */
export interface Memory {
  /** Bytes of variables: weights, optimiser state, carried state, inputs and results. */
  readonly variables: number;
  /** Bytes of temporaries over all compiled programs, as planned. */
  readonly temporaries: number;
  /** Bytes the session holds in all, code and packing included as far as the backend knows them. */
  readonly total: number;
}

/** How a run ended: "done", or "refused": a guard was not finite and nothing was committed. */
export type RunResult = "done" | "refused";

/** Time spent in a kernel since the session began. */
export interface ProfileEntry {
  readonly label: string;
  readonly calls: number;
  readonly milliseconds: number;
}

/** A compiled program of a session. */
export interface Executable {
  /** What runs; where threads share the work, the first one's part. */
  readonly program: Program;
  /** Threads that share it. */
  readonly threads: number;
  /**
   * Carries the program out. Where the backend works in the background it enqueues, and the result is what is known so
   * far; `settled` says how the latest run ended.
   */
  run(): RunResult;
  /** How the latest run ended, once it has. Rejects where a device or a thread failed. */
  settled(): Promise<RunResult>;
  /** The value of a temporary buffer after a run, for looking into a program compiled with `keep`. */
  peek(buffer: number): Promise<HostArray>;
}

/** Memory and programs of a backend. Calls after `dispose` throw. */
export interface Session {
  /** What made it. */
  readonly backend: Backend;
  /** The most threads that run a program together, where the backend has threads. */
  readonly threads?: number;
  /**
   * Compiles a program, or makes one of what is to be computed, for as many threads as the session has. Variables that
   * are new to the session are created and hold zeros, or their `initial`. Throws when the plan is too large, with its figure.
   */
  compile(source: Program | ProgramOptions): Promise<Executable>;
  /** Copies numbers into a variable (all of its elements), from element `offset` on. A variable not seen yet is created. */
  write(variable: Variable, data: ArrayLike<number>, offset?: number): void;
  /** Copies a variable out, into `into` where given, else into a new array. */
  read(variable: Variable, into?: HostArray): Promise<HostArray>;
  /** As `read`, where the backend can answer at once (processor backends); undefined elsewhere. */
  readNow?(variable: Variable, into?: HostArray): HostArray;
  /** What it holds now. */
  memory(): Memory;
  /** Frees everything; further calls throw. */
  dispose(): void;
}

/** Where programs run: `wasm()`, `webgpu()`, `reference()`. */
export interface Backend {
  /** For messages. */
  readonly name: "reference" | "wasm" | "webgpu";
  /** Unit round-off of its floats. */
  readonly precision: "float64" | "float32";
  /** Memory of its own, to be disposed of. Rejects with a UserError where the backend is not to be had here. */
  createSession(): Promise<Session>;
}
