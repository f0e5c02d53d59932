/**
 * A whole program as one WebAssembly module: a function for each kernel (equal ones once), and `run`, which calls them
 * in order with the addresses of this session's buffers, loops over time included. It returns 0 when it is done and 1
 * when a guard was not finite and nothing was committed.
 */
import type { ElementType, Kernel, Loop, Program, Statement, View } from "../../program/program.js";
import { reads, writes } from "../../program/program.js";
import { type ConstantAddress, createModule, type FunctionBuilder, type FunctionRef, type Local } from "./assembler.js";
import { emitChain } from "./chain.js";
import { type Argument, BYTES, type Call, type Emission, type Scratch } from "./emission.js";
import { f32, type I32, i32 } from "./instructions.js";
import { emitFill, emitGather, emitScatter, emitTranspose } from "./moves.js";
import { emitProduct } from "./products.js";
import { emitReduce } from "./reduce.js";
import { emitCrossEntropy, emitSoftmax } from "./softmax.js";

export interface ModuleRequest {
  readonly program: Program;
  readonly relaxed: boolean;
  readonly shared?: boolean;
  /** Calls the imported `mark` behind every kernel, with its number in `labels`. */
  readonly profile?: boolean;
  readonly constantAddress: ConstantAddress;
  /** Addresses of the buffers of kind "variable". */
  readonly variableAddress: (buffer: number) => number;
  /** Memory for temporaries and scratch, asked for once, when the size is known. Bytes in, an address out. */
  readonly arena: (bytes: number) => number;
}

export interface CompiledModule {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The kernel behind each number given to `mark`. */
  readonly labels: readonly string[];
}

/** From here on a loop-invariant matrix is packed before the loop: rows that will be multiplied with it in all. */
const ROWS_WORTH_PREPARING = 8;
const ALIGNMENT = 64;
const aligned = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/** A kernel's call, or a loop around calls; `prepare` comes before the loop. */
type Step =
  | { readonly kind: "call"; readonly call: Call; readonly label: string }
  | { readonly kind: "loop"; readonly loop: Loop; readonly prepare: readonly Step[]; readonly body: readonly Step[] };

export function emitProgram(request: ModuleRequest): CompiledModule {
  const { program } = request;
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
    typeOf: (view: View): ElementType => buffers.get(view.buffer)!.type,
    scratch(bytes, lifetime) {
      if (lifetime === "call") {
        needs.call = Math.max(needs.call, aligned(bytes));
        return { lifetime, offset: 0 };
      }
      const offset = needs.program;
      needs.program += aligned(bytes);
      return { lifetime, offset };
    },
  };
  const compute = program.compute.map((statement) => emitStatement(emission, statement));
  const commit = program.commit.map((statement) => emitStatement(emission, statement));

  const planned = aligned(program.plan.size * BYTES);
  const arena = request.arena(planned + needs.call + needs.program);
  const scratchAddress = (scratch: Scratch): number =>
    arena + planned + (scratch.lifetime === "call" ? 0 : needs.call) + scratch.offset;
  const bufferAddress = (id: number): number => {
    const offset = program.plan.offsets.get(id);
    return buffers.get(id)!.kind === "variable" ? request.variableAddress(id) : arena + offset! * BYTES;
  };
  const addressOf = (argument: Argument, t: Local<"i32"> | undefined): I32 => {
    const moved = (start: number, perStep: number): I32 =>
      t && perStep !== 0 ? i32.add(i32.const(start), i32.mul(t, i32.const(perStep))) : i32.const(start);
    switch (argument.kind) {
      case "view":
        return moved(bufferAddress(argument.view.buffer) + argument.view.offset * BYTES, argument.view.step * BYTES);
      case "counter":
        return moved(0, argument.perStep);
      case "scratch":
        return i32.const(scratchAddress(argument.scratch));
    }
  };

  const labels: string[] = [];
  const run = module.function("run", [], "i32", (f) => {
    const emit = (step: Step, t?: Local<"i32">): void => emitStep(f, step, t, addressOf, mark, labels);
    for (const step of compute) emit(step);
    for (const guard of program.guards) {
      const x = f.let(f32.load(addressOf({ kind: "view", view: guard }, undefined)));
      f.if(f32.ne(f32.sub(x, x), f32.const(0)), () => f.return(i32.const(1)));
    }
    for (const step of commit) emit(step);
    f.return(i32.const(0));
  });
  module.export("run", run);
  return { bytes: module.encode(), labels };
}

function emitStep(
  f: FunctionBuilder,
  step: Step,
  t: Local<"i32"> | undefined,
  addressOf: (argument: Argument, t: Local<"i32"> | undefined) => I32,
  mark: FunctionRef | undefined,
  labels: string[],
): void {
  if (step.kind === "loop") {
    const { steps, reverse } = step.loop;
    if (steps === 0) return;
    for (const inner of step.prepare) emitStep(f, inner, undefined, addressOf, mark, labels);
    const [from, to, by] = reverse ? [steps - 1, -1, -1] : [0, steps, 1];
    f.count(from, to, by, (index) => {
      for (const inner of step.body) emitStep(f, inner, index, addressOf, mark, labels);
    });
    return;
  }
  f.call(step.call.target, ...step.call.parameters.map((parameter) => addressOf(parameter, t)));
  if (!mark) return;
  f.call(mark, i32.const(labels.length));
  labels.push(step.label);
}

function emitStatement(emission: Emission, statement: Statement): Step {
  if (statement.kind !== "loop")
    return { kind: "call", call: emitKernel(emission, statement).call, label: statement.label };
  const written = new Set(statement.body.flatMap((kernel) => writes(kernel).map((view) => view.buffer)));
  const prepare: Step[] = [];
  const body = statement.body.map((kernel): Step => {
    const calls = emitKernel(emission, kernel, { steps: statement.steps, written });
    if (calls.prepare) prepare.push({ kind: "call", call: calls.prepare, label: `${kernel.label}: pack` });
    return { kind: "call", call: calls.call, label: kernel.label };
  });
  return { kind: "loop", loop: statement, prepare, body };
}

/** The loop a kernel stands in: how often it runs, and what is written there. */
interface Surroundings {
  readonly steps: number;
  readonly written: ReadonlySet<number>;
}

function emitKernel(emission: Emission, kernel: Kernel, loop?: Surroundings): { prepare?: Call; call: Call } {
  const { label } = kernel;
  switch (kernel.kind) {
    case "chain":
      return { call: emitChain(emission, kernel, label) };
    case "product": {
      const constant = loop !== undefined && kernel.b.step === 0 && !loop.written.has(kernel.b.buffer);
      const worthIt = loop !== undefined && loop.steps * kernel.out.rows >= ROWS_WORTH_PREPARING;
      return emitProduct(emission, kernel, label, constant && worthIt);
    }
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
      return { call: emitTranspose(emission, kernel, label) };
    case "fill":
      return { call: emitFill(emission, kernel, label) };
  }
}

/** WebAssembly checks the ends of memory, not of buffers: a view that leaves its own would destroy another's numbers. */
function checkBounds(program: Program): void {
  const sizes = new Map(program.buffers.map((buffer) => [buffer.id, buffer]));
  const check = (view: View, label: string, lastStep: number): void => {
    const buffer = sizes.get(view.buffer);
    const place = `program "${program.name}", kernel "${label}"`;
    if (!buffer) throw new Error(`${place}: there is no buffer ${view.buffer}`);
    if (buffer.kind === "temporary" && !program.plan.offsets.has(buffer.id))
      throw new Error(`${place}: "${buffer.name}" has no place`);
    if (!(view.rows >= 1 && view.columns >= 1)) throw new Error(`${place}: an empty view of "${buffer.name}"`);
    const ends = [view.offset, view.offset + lastStep * view.step];
    const extent = (view.rows - 1) * view.stride + view.columns;
    if (Math.min(...ends) < 0 || Math.max(...ends) + extent > buffer.size) {
      throw new Error(
        `${place}: a view of ${view.rows} × ${view.columns} reaches outside "${buffer.name}" (${buffer.size} elements)`,
      );
    }
  };
  const kernel = (item: Kernel, lastStep: number): void => {
    for (const view of [...reads(item), ...writes(item)]) check(view, item.label, lastStep);
  };
  for (const statement of [...program.compute, ...program.commit]) {
    if (statement.kind === "loop") for (const item of statement.body) kernel(item, statement.steps - 1);
    else kernel(statement, 0);
  }
  for (const guard of program.guards) check(guard, "guard", 0);
}
