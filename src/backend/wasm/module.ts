/**
 * A whole program as one WebAssembly module: a function for each kernel (equal ones once), and `run`, which calls them
 * in order with the addresses of this session's buffers, loops over time included. It returns 0 when it is done and 1
 * when a guard was not finite and nothing was committed.
 */
import { kept } from "../../graph/maps.js";
import type { ElementType, Kernel, Loop, Program, Statement, View } from "../../program/program.js";
import { writes } from "../../program/program.js";
import { withViews } from "../../program/views.js";
import {
  type ConstantAddress,
  createModule,
  type FunctionBuilder,
  type FunctionRef,
  type Local,
} from "./assembler/assembler.js";
import { type Code, toBytes } from "./assembler/encoding.js";
import { f32, type I32, i32, plus } from "./assembler/instructions.js";
import { checkBounds } from "./bounds.js";
import { emitChain } from "./kernels/chain.js";
import { type Argument, BYTES, type Call, type Emission, type Rare, type Team } from "./kernels/emission.js";
import { emitFill, emitGather, emitScatter } from "./kernels/moves.js";
import { emitProduct } from "./kernels/products/products.js";
import { emitReduce } from "./kernels/reduce.js";
import { emitCrossEntropy, emitSoftmax } from "./kernels/softmax.js";

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
  /** Addresses of the buffers of kind "variable". */
  readonly variableAddress: (buffer: number) => number;
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

export interface CompiledModule {
  /** A module for `toBytes`; equal modules are equal strings. */
  readonly code: Code;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Bytes that `run` wants at its addresses; `partials` for one worker. */
  readonly memory: { readonly arena: number; readonly partials: number; readonly common: number };
  /** The kernel behind each number given to `mark`. */
  readonly labels: readonly string[];
}

/** From here on a loop-invariant matrix is packed before the loop: rows that will be multiplied with it in all. */
const ROWS_WORTH_PREPARING = 8;
const ALIGNMENT = 64;
const aligned = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/** A kernel's call, or a loop around calls; `prepare` comes before the loop. `by`: the worker that does it alone. */
type Step =
  | { readonly kind: "call"; readonly call: Call; readonly label: string; readonly by?: "first" | undefined }
  | {
      readonly kind: "loop";
      readonly loop: Loop;
      readonly prepare: readonly Step[];
      readonly body: readonly Step[];
      readonly by?: "first" | undefined;
    }
  | { readonly kind: "barrier" };

export function emitProgram(request: ModuleRequest): CompiledModule {
  const { program, team } = request;
  checkBounds(program);
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
  const calls = oncePerShape(emission);
  const barrier = team?.barrier(module);
  const compute = emitStatements(calls, program.compute);
  const commit = emitStatements(calls, program.commit);

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
      const bufferAddress = (id: number): I32 => {
        const { kind } = buffers.get(id)!;
        if (kind === "variable") return i32.const(request.variableAddress(id));
        if (kind === "temporary") return plus(arena, program.plan.offsets.get(id)! * BYTES);
        return plus(kind === "common" ? common : ownPartials, places.offsets.get(id)!);
      };
      /** x + index·factor. */
      const moved = (x: I32, index: I32 | undefined, factor = 0): I32 =>
        index && factor !== 0 ? i32.add(x, i32.mul(index, i32.const(factor))) : x;
      const addressOf = (argument: Argument, t: Local<"i32"> | undefined): I32 => {
        switch (argument.kind) {
          case "view": {
            const { buffer, offset, step, perRow = 0 } = argument.view;
            return moved(moved(plus(bufferAddress(buffer), offset * BYTES), t, step * BYTES), firstRow, perRow * BYTES);
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
      const emitter: StepEmitter = { f, worker, addressOf, mark, labels, barrier };
      const finish = (code: number): void => {
        if (barrier) f.call(barrier);
        f.return(i32.const(code));
      };
      for (const step of compute) emitStep(emitter, step);
      for (const guard of program.guards) {
        const x = f.let(f32.load(addressOf({ kind: "view", view: guard }, undefined)));
        f.if(f32.ne(f32.sub(x, x), f32.const(0)), () => finish(1));
      }
      for (const step of commit) emitStep(emitter, step);
      finish(0);
    },
  );
  module.export("run", run);
  const code = module.code();
  return {
    code,
    get bytes() {
      return toBytes(code);
    },
    memory,
    labels,
  };
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

interface StepEmitter {
  readonly f: FunctionBuilder;
  readonly worker: Local<"i32">;
  readonly addressOf: (argument: Argument, t: Local<"i32"> | undefined) => I32;
  readonly mark: FunctionRef | undefined;
  readonly labels: string[];
  readonly barrier: FunctionRef | undefined;
}

function emitStep(emitter: StepEmitter, step: Step, t?: Local<"i32">): void {
  const { f, worker, addressOf, mark, labels, barrier } = emitter;
  const marked = (label: string): void => {
    if (!mark) return;
    f.call(mark, i32.const(labels.length));
    labels.push(label);
  };
  if (step.kind === "barrier") {
    if (barrier) f.call(barrier);
    if (barrier) marked("waiting for other threads");
  } else if (step.by === "first") {
    const { by: _, ...alone } = step;
    f.if(i32.eqz(worker), () => emitStep(emitter, alone, t));
  } else if (step.kind === "loop") {
    const { steps, reverse } = step.loop;
    if (steps === 0) return;
    for (const inner of step.prepare) emitStep(emitter, inner);
    const [from, to, by] = reverse ? [steps - 1, -1, -1] : [0, steps, 1];
    f.count(from, to, by, (index) => {
      for (const inner of step.body) emitStep(emitter, inner, index);
    });
  } else {
    f.call(step.call.target, ...step.call.parameters.map((parameter) => addressOf(parameter, t)));
    marked(step.label);
  }
}

/** All-reduces that follow one another share the waits before and after. */
function emitStatements(calls: CallsOf, statements: readonly Statement[]): Step[] {
  const steps: Step[] = [];
  statements.forEach((statement, i) => {
    const borders = (other: Statement | undefined): boolean =>
      statement.kind === "allReduce" && other?.kind !== "allReduce";
    if (borders(statements[i - 1])) steps.push({ kind: "barrier" });
    steps.push(emitStatement(calls, statement));
    if (borders(statements[i + 1])) steps.push({ kind: "barrier" });
  });
  return steps;
}

function emitStatement(callsOf: CallsOf, statement: Statement): Step {
  if (statement.kind === "barrier") return statement;
  const by = statement.by === "first" ? statement.by : undefined;
  if (statement.kind !== "loop")
    return { kind: "call", call: callsOf(statement, false).call, label: statement.label, by };
  const written = new Set(statement.body.flatMap((kernel) => writes(kernel).map((view) => view.buffer)));
  const prepare: Step[] = [];
  const body = statement.body.map((kernel): Step => {
    const worthPreparing =
      kernel.kind === "product" &&
      kernel.b.step === 0 &&
      !written.has(kernel.b.buffer) &&
      statement.steps * kernel.out.rows >= ROWS_WORTH_PREPARING;
    const calls = callsOf(kernel, worthPreparing);
    if (calls.prepare) prepare.push({ kind: "call", call: calls.prepare, label: `${kernel.label}: pack` });
    return { kind: "call", call: calls.call, label: kernel.label };
  });
  return { kind: "loop", loop: statement, prepare, body, by };
}

interface Calls {
  readonly prepare?: Call;
  readonly call: Call;
}

/** `prepared`: what the kernel multiplies with does not change in its loop, and is made ready before it. */
type CallsOf = (kernel: Kernel, prepared: boolean) => Calls;

/** Emits kernels that differ in nothing but where their numbers lie only once. */
function oncePerShape(emission: Emission): CallsOf {
  const emitted = new Map<string, { readonly calls: Calls; readonly views: readonly View[] }>();
  return (kernel, prepared) => {
    const views: View[] = [];
    const firsts = new Map<number, View>();
    const steps = new Set<number>();
    const shape = withViews({ ...kernel, label: "" }, (view) => {
      views.push(view);
      const first = kept(firsts, view.buffer, () => view);
      const buffer = [...firsts.values()].indexOf(first);
      steps.add(view.step);
      const [offset, step] = [view.offset - first.offset, [...steps].indexOf(view.step)];
      return { ...view, buffer, offset, step, type: emission.typeOf(view) };
    });
    // JSON knows neither −0 nor infinities.
    const key = JSON.stringify([shape, prepared], (_, value) =>
      typeof value === "number" && !(value && Number.isFinite(value)) ? `${value} ${1 / value}` : value,
    );
    const known = emitted.get(key);
    if (!known) {
      const calls = emitKernel(emission, kernel, prepared);
      emitted.set(key, { calls, views });
      return calls;
    }
    const moved = new Map<unknown, Argument>();
    const again = ({ target, parameters }: Call): Call => ({
      target,
      parameters: parameters.map((parameter) => {
        if ("view" in parameter) return { ...parameter, view: views[known.views.indexOf(parameter.view)]! };
        if (parameter.kind !== "scratch") return parameter;
        const { lifetime, bytes } = parameter.scratch;
        return kept(moved, parameter.scratch, () => ({ ...parameter, scratch: emission.scratch(bytes, lifetime) }));
      }),
    });
    const { prepare, call } = known.calls;
    return { call: again(call), ...(prepare && { prepare: again(prepare) }) };
  };
}

function emitKernel(emission: Emission, kernel: Kernel, prepared: boolean): Calls {
  const { label } = kernel;
  switch (kernel.kind) {
    case "chain":
      return { call: emitChain(emission, kernel, label, kernel.by === "ranges" && emission.team !== undefined) };
    case "product":
      return emitProduct(emission, kernel, label, prepared);
    case "reduce":
      return { call: emitReduce(emission, kernel, label) };
    case "softmax":
      return { call: emitSoftmax(emission, kernel, label) };
    case "crossEntropy":
      return { call: emitCrossEntropy(emission, kernel, label) };
    case "gather":
      return { call: emitGather(emission, kernel, label) };
    case "scatter":
      return { call: emitScatter(emission, kernel, label) };
    case "transpose":
      return { call: emission.rare!.emitTranspose(emission, kernel, label) };
    case "fill":
      return { call: emitFill(emission, kernel, label) };
    case "allReduce":
      return { call: emission.team!.allReduce(emission, kernel, label) };
    case "barrier":
      throw new Error("a barrier is no kernel of its own");
  }
}
