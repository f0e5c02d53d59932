/** The reference backend: float64, slow and obvious. Every buffer has memory of its own, so no plan can spoil a value. */
import { sizeOf } from "../../graph/shape.js";
import { initialOf } from "../../graph/variable.js";
import { lower } from "../../program/lower.js";
import type { Program, Statement, Variable } from "../../program/program.js";
import type { Backend, Executable, HostArray, RunResult, Session } from "../contract.js";
import { runKernel } from "./kernels.js";

/** Plain TypeScript in float64: the oracle for the other backends and for gradient checks. */
export function reference(): Backend {
  const backend: Backend = {
    name: "reference",
    precision: "float64",
    createSession: async () => createSession(backend),
  };
  return backend;
}

function createSession(backend: Backend): Session {
  const variables = new Map<Variable, Float64Array>();
  let temporaries = 0;
  let disposed = false;
  const alive = (): void => {
    if (disposed) throw new Error("the session has been disposed of");
  };
  const memoryOf = (variable: Variable): Float64Array => {
    alive();
    let data = variables.get(variable);
    if (!data) {
      data = new Float64Array(sizeOf(variable.shape));
      const initial = initialOf(variable);
      if (initial) data.set(initial);
      variables.set(variable, data);
    }
    return data;
  };
  const readNow = (variable: Variable, into?: HostArray): HostArray => {
    const data = memoryOf(variable);
    const out = into ?? (variable.type === "index" ? new Int32Array(data.length) : new Float64Array(data.length));
    out.set(data);
    return out;
  };
  const bytes = (): number => [...variables.values()].reduce((sum, data) => sum + data.byteLength, 0);
  return {
    backend,
    async compile(source) {
      alive();
      const program = "compute" in source ? source : lower(source);
      const memory = program.buffers.map((buffer) =>
        buffer.variable ? memoryOf(buffer.variable) : new Float64Array(buffer.size),
      );
      temporaries += program.buffers.reduce((sum, buffer) => sum + (buffer.variable ? 0 : 8 * buffer.size), 0);
      return executable(program, memory, alive);
    },
    write(variable, data, offset = 0) {
      memoryOf(variable).set(data, offset);
    },
    read: async (variable, into) => readNow(variable, into),
    readNow,
    memory: () => ({ variables: bytes(), temporaries, total: bytes() + temporaries }),
    dispose() {
      disposed = true;
      variables.clear();
    },
  };
}

function executable(program: Program, memory: readonly Float64Array[], alive: () => void): Executable {
  let result: RunResult = "done";
  return {
    program,
    threads: 1,
    run() {
      alive();
      for (const statement of program.compute) runStatement(statement, memory);
      const finite = program.guards.every((guard) => Number.isFinite(memory[guard.buffer]![guard.offset]));
      if (finite) for (const statement of program.commit) runStatement(statement, memory);
      result = finite ? "done" : "refused";
      return result;
    },
    settled: async () => result,
    peek: async (buffer) => Float64Array.from(memory[buffer]!),
  };
}

function runStatement(statement: Statement, memory: readonly Float64Array[]): void {
  if (statement.kind !== "loop") {
    runKernel(statement, memory, 0);
    return;
  }
  for (let i = 0; i < statement.steps; i++) {
    const t = statement.reverse ? statement.steps - 1 - i : i;
    for (const kernel of statement.body) runKernel(kernel, memory, t);
  }
}
