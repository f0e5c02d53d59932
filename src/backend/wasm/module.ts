/**
 * A whole program as one WebAssembly module: a function for each kernel (equal ones once), and `run`, which calls them
 * in order with the addresses of this session's buffers, loops over time included. It returns 0 when it is done and 1
 * when a guard was not finite and nothing was committed.
 */
import type { ElementType, Kernel, Loop, Program, Statement, Variable, View } from "../../program/program.js";
import { writes } from "../../program/program.js";
import { type ConstantAddress, createModule, type Local } from "./assembler/assembler.js";
import type { Code } from "./assembler/encoding.js";
import { f32, type I32, i32, plus } from "./assembler/instructions.js";
import {
  type Argument,
  BYTES,
  type Emission,
  type Own,
  type Rare,
  type Run,
  type Step,
  type Team,
} from "./kernels/emission.js";
import { oncePerShape } from "./kernels/kernels.js";

export interface ModuleRequest {
  readonly program: Program;
  readonly relaxed: boolean;
  /** Whether the engine makes one instruction of two on neighbouring vectors: products are laid out for it. */
  readonly revectorized?: boolean;
  readonly shared: boolean;
  /** The workers that run the program, each on its rows, where there are several. */
  readonly team?: Team | undefined;
  /** Where a kernel uses something of it. */
  readonly rare?: Rare | undefined;
  /** Calls the imported `mark` behind every kernel, with its number in `labels`. */
  readonly profile?: boolean | undefined;
  readonly constantAddress: ConstantAddress;
  readonly variableAddress: (variable: Variable) => number;
}

/** What the exported `run` takes, in this order; each worker's own. */
export interface RunParameters {
  readonly worker: number;
  /** The first row of the batch that is the worker's. */
  readonly firstRow: number;
  /** Addresses: of the worker's temporaries and scratch, of the first worker's partial buffers, of the common ones. */
  readonly arena: number;
  readonly partials: number;
  readonly common: number;
}

export interface EmittedModule {
  /** A module for `toBytes`; equal modules are equal strings. */
  readonly code: Code;
  /** Bytes that `run` wants at its addresses; `partials` for one worker. */
  readonly memory: { readonly arena: number; readonly partials: number; readonly common: number };
  /** The kernel behind each number given to `mark`. */
  readonly labels: readonly string[];
}

/** From here on a loop-invariant matrix is packed before the loop: rows that will be multiplied with it in all. */
const ROWS_WORTH_PREPARING = 8;
const ALIGNMENT = 64;
const aligned = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

export function emitProgram(request: ModuleRequest): EmittedModule {
  const { program, team } = request;
  const buffers = new Map(program.buffers.map((buffer) => [buffer.id, buffer]));
  const module = createModule({
    relaxed: request.relaxed,
    constantAddress: request.constantAddress,
    memory: { minimum: 1, maximum: 65536, shared: request.shared },
  });
  const mark = request.profile ? module.importFunction("mark", ["i32"]) : undefined;
  const needs = { call: 0, program: 0 };
  const emission: Emission = {
    module,
    rare: request.rare,
    team,
    revectorized: request.revectorized ?? false,
    typeOf: (view: View): ElementType => buffers.get(view.buffer)!.type,
    scratch(bytes, lifetime) {
      if (lifetime === "call") {
        needs.call = Math.max(needs.call, aligned(bytes));
        return { lifetime, bytes, offset: 0 };
      }
      const offset = needs.program;
      needs.program += aligned(bytes);
      return { lifetime, bytes, offset };
    },
  };
  const stepsOf = createSteps(emission);
  const barrier = team?.barrier(module);
  const compute = stepsOf(program.compute);
  const commit = stepsOf(program.commit);

  const planned = aligned(program.plan.size * BYTES);
  const places = placesOf(program);
  const memory = {
    arena: planned + needs.call + needs.program,
    partials: places.bytes.partial,
    common: places.bytes.common,
  };
  const labels: string[] = [];
  const run = module.function(
    "run",
    ["i32", "i32", "i32", "i32", "i32"],
    "i32",
    (f, worker, firstRow, arena, partials, common) => {
      const ownPartials = team ? f.let(i32.add(partials, i32.mul(worker, i32.const(memory.partials)))) : partials;
      const own: Own = [firstRow, arena, ownPartials];
      const bufferAddress = (id: number, [, arena, partials] = own): I32 => {
        const { kind, variable } = buffers.get(id)!;
        if (variable) return i32.const(request.variableAddress(variable));
        if (kind === "temporary") return plus(arena, program.plan.offsets.get(id)! * BYTES);
        return plus(kind === "common" ? common : partials, places.offsets.get(id)!);
      };
      /** x + index·factor. */
      const moved = (x: I32, index: I32 | undefined, factor = 0): I32 =>
        index && factor !== 0 ? i32.add(x, i32.mul(index, i32.const(factor))) : x;
      const addressOf = (argument: Argument, t: Local<"i32"> | undefined, of = own): I32 => {
        switch (argument.kind) {
          case "view": {
            const { buffer, offset, step, perRow = 0 } = argument.view;
            return moved(
              moved(plus(bufferAddress(buffer, of), offset * BYTES), t, step * BYTES),
              of[0],
              perRow * BYTES,
            );
          }
          case "counter":
            return moved(moved(i32.const(0), t, argument.perStep), firstRow, argument.perRow);
          case "scratch": {
            const { lifetime, offset } = argument.scratch;
            return plus(arena, planned + (lifetime === "call" ? 0 : needs.call) + offset);
          }
          case "worker":
            return worker;
          case "partials":
            return plus(partials, places.offsets.get(argument.view.buffer)! + argument.view.offset * BYTES);
          case "partialBytes":
            return i32.const(memory.partials);
        }
      };
      const marked = (label: string): void => {
        if (!mark) return;
        f.call(mark, i32.const(labels.length));
        labels.push(label);
      };
      const steps: Run = {
        f,
        worker,
        own,
        call({ target, parameters }, label, t, of) {
          f.call(target, ...parameters.map((parameter) => addressOf(parameter, t, of)));
          marked(label);
        },
        wait() {
          if (!barrier) return;
          f.call(barrier);
          marked("waiting for other threads");
        },
      };
      const finish = (code: number): void => {
        if (barrier) f.call(barrier);
        f.return(i32.const(code));
      };
      for (const step of compute) step(steps);
      for (const guard of program.guards) {
        const x = f.let(f32.load(addressOf({ kind: "view", view: guard }, undefined)));
        f.if(f32.ne(f32.sub(x, x), f32.const(0)), () => finish(1));
      }
      for (const step of commit) step(steps);
      finish(0);
    },
  );
  module.export("run", run);
  return { code: module.code(), memory, labels };
}

/** Where the buffers lie that workers exchange: one behind the other. */
function placesOf({ buffers }: Program) {
  const bytes = { partial: 0, common: 0 };
  const offsets = new Map<number, number>();
  for (const { id, kind, size } of buffers) {
    if (kind !== "partial" && kind !== "common") continue;
    offsets.set(id, bytes[kind]);
    bytes[kind] += aligned(size * BYTES);
  }
  return { offsets, bytes };
}

const wait: Step = (run) => run.wait();

/** What is done for the statements of a program. */
function createSteps(emission: Emission): (statements: readonly Statement[]) => Step[] {
  const emit = oncePerShape(emission);

  function callOf(kernel: Kernel): Step {
    const { call } = emit(kernel, false);
    return (run) => run.call(call, kernel.label);
  }

  function loopOf(loop: Loop): Step {
    const { steps, reverse, body } = loop;
    const written = new Set(body.flatMap((kernel) => writes(kernel).map((view) => view.buffer)));
    const calls = body.map((kernel) => {
      const worthPreparing =
        kernel.kind === "product" &&
        kernel.b.step === 0 &&
        !written.has(kernel.b.buffer) &&
        steps * kernel.out.rows >= ROWS_WORTH_PREPARING;
      return { ...emit(kernel, worthPreparing), label: kernel.label };
    });
    const inStep = emission.rare?.withFetches(emission, loop, calls) ?? calls;
    return (run) => {
      if (steps === 0) return;
      for (const { prepare, label } of calls) if (prepare) run.call(prepare, `${label}: pack`);
      const [from, to, by] = reverse ? [steps - 1, -1, -1] : [0, steps, 1];
      run.f.count(from, to, by, (t) => {
        for (const { call, label } of inStep) run.call(call, label, t);
      });
    };
  }

  function stepOf(statement: Statement): Step {
    if (statement.kind === "barrier") return wait;
    const step = statement.kind === "loop" ? loopOf(statement) : callOf(statement);
    return statement.by === "first" ? (run) => run.f.if(i32.eqz(run.worker), () => step(run)) : step;
  }

  // All-reduces that follow one another share the waits before and after; products that anyone may do are shared out together.
  return (statements) =>
    statements.flatMap((statement, i) => {
      const borders = (other: Statement | undefined): Step[] =>
        statement.kind === "allReduce" && other?.kind !== "allReduce" ? [wait] : [];
      if (statement.by === "any")
        return statements[i - 1]?.by === "any"
          ? []
          : [emission.team!.shareOut(statements.slice(i), (kernel) => emit(kernel, false).call)];
      return [...borders(statements[i - 1]), stepOf(statement), ...borders(statements[i + 1])];
    });
}
