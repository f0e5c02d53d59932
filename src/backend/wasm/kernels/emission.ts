/**
 * What the kernel emitters share: a kernel becomes one function (equal ones are kept once) and a call of it whose
 * arguments are addresses. Shapes and strides are baked into the function; where the data lies is not.
 */
import type {
  AllReduce,
  Chain,
  CrossEntropy,
  ElementType,
  Gather,
  Instruction,
  Kernel,
  Loop,
  Product,
  Reduce,
  Scatter,
  Softmax,
  Statement,
  Transpose,
  View,
} from "../../../program/program.js";
import { isDense } from "../../../program/views.js";
import type { FunctionBuilder, FunctionRef, Local, ModuleBuilder } from "../assembler/assembler.js";
import { f32x4, type I32, i32, plus, type V128, v128 } from "../assembler/instructions.js";

export type Vector = Local<"v128">;
export type Pointer = Local<"i32">;

/** Rows and columns of the loop over a view: of one without gaps they are one row. */
export const asLoop = (view: View): { readonly rows: number; readonly columns: number } =>
  isDense(view) ? { rows: 1, columns: view.rows * view.columns } : view;

/** What a call passes at loop index t. */
export type Argument =
  /** The address of the view's first element at t. */
  | { readonly kind: "view"; readonly view: View }
  /** t times a number, and another number for each row of the batch before the worker's own. */
  | { readonly kind: "counter"; readonly perStep: number; readonly perRow?: number }
  /** The number of the worker. */
  | { readonly kind: "worker" }
  /** The address of the view's first element in the first worker's copy of it, and the bytes from copy to copy. */
  | { readonly kind: "partials"; readonly view: View }
  | { readonly kind: "partialBytes" }
  /** The address of scratch memory. */
  | { readonly kind: "scratch"; readonly scratch: Scratch };

/** Memory for a kernel's own use, in bytes. "call": shared by all calls; "program": kept while the program runs. */
export interface Scratch {
  readonly lifetime: "call" | "program";
  readonly bytes: number;
  readonly offset: number;
}

export interface Call {
  readonly target: FunctionRef;
  readonly parameters: readonly Argument[];
}

export interface LabelledCall {
  readonly call: Call;
  readonly label: string;
}

export type RandomInstruction = Extract<Instruction, { op: "random" }>;

/** Random numbers, as a chain's loop over its elements asks for them. */
export interface RandomNumbers {
  /** What an instruction draws for the vector at so many bytes of the row. */
  at(offset: I32 | undefined, constant: number): (instruction: RandomInstruction) => V128;
  /** On to the next row. */
  nextRow(): void;
}

/** One of several passes of a chain over a row: some of its stores. */
export interface Pass {
  readonly stores: readonly number[];
  /** The values that it reads where an earlier pass stored them: in which store. */
  readonly given: ReadonlyMap<number, number>;
}

/** Functions and kernels that not every program uses, loaded with the first that does (`rare.ts`). */
export type Rare = Readonly<
  Record<"exp" | "expm1" | "log" | "log1p" | "softplus" | "erf", (f: FunctionBuilder, x: Vector) => Vector>
> & {
  /** `first`: the number of the chain's first element; `seedOf` gives the number behind a load. */
  readonly randomNumbers: (
    f: FunctionBuilder,
    chain: Pick<Chain, "code" | "rows" | "columns">,
    first: Pointer,
    seedOf: (load: number) => I32,
  ) => RandomNumbers;
  /** At least one; all of a chain at once where a program has no use for anything rare. */
  readonly passesOf: (chain: Chain, columns: number) => readonly Pass[];
  /** The calls of a loop's kernels, and before each what fetches for it. */
  readonly withFetches: (emission: Emission, loop: Loop, calls: readonly LabelledCall[]) => readonly LabelledCall[];
  readonly emitAcross: (f: FunctionBuilder, kernel: Reduce, input: Pointer, out: Pointer) => void;
  readonly emitTranspose: (emission: Emission, kernel: Transpose, label: string) => Call;
  readonly emitCrossEntropy: (emission: Emission, kernel: CrossEntropy, label: string) => Call;
  readonly emitSoftmax: (emission: Emission, kernel: Softmax, label: string) => Call;
  readonly emitGather: (emission: Emission, kernel: Gather, label: string) => Call;
  readonly emitScatter: (emission: Emission, kernel: Scatter, label: string) => Call;
  readonly emitDots: (emission: Emission, kernel: Product, label: string) => Call;
  readonly emitSwapped: (
    emission: Emission,
    kernel: Product,
    label: string,
    emitTiled: (swapped: Product) => Call,
  ) => Call;
};

/** Where a worker's rows of the batch begin; addresses of its temporaries and of its partial buffers. */
export type Own = readonly [firstRow: Pointer, arena: Pointer, partials: Pointer];

/** The code of a program as it is put together. */
export interface Run {
  readonly f: FunctionBuilder;
  readonly worker: Pointer;
  readonly own: Own;
  /** At loop index `t`. `of`: whose work it is, where it is another worker's; scratch memory is one's own. */
  call(call: Call, label: string, t?: Pointer, of?: Own): void;
  /** Until all workers are there. */
  wait(): void;
}

/** What is done for a statement, to be added to the program once all kernels are there. */
export type Step = (run: Run) => void;

/** The workers that run a program together, each on its rows, and the code with which they meet (`team.ts`). */
export interface Team {
  readonly workers: number;
  /** A function that returns when all workers have called it. */
  barrier(module: ModuleBuilder): FunctionRef;
  allReduce(emission: Emission, kernel: AllReduce, label: string): Call;
  /** Does the products that stand first, by anyone: not all are done when it is over, a wait must follow. */
  shareOut(statements: readonly Statement[], emit: (kernel: Kernel) => Call): Step;
  /** As `forColumns`, over the worker's part of `count` elements; `offset` is from the first element of all. */
  forRange(
    f: FunctionBuilder,
    count: number,
    worker: Pointer,
    body: (offset: I32, constant: number, lanes: number) => void,
  ): void;
}

export interface Emission {
  readonly module: ModuleBuilder;
  readonly rare: Rare | undefined;
  readonly team: Team | undefined;
  /** Whether the engine makes one instruction of two on neighbouring vectors. */
  readonly revectorized: boolean;
  typeOf(view: View): ElementType;
  scratch(bytes: number, lifetime: Scratch["lifetime"]): Scratch;
}

export const viewArgument = (view: View): Argument => ({ kind: "view", view });

/** A kernel's function, and its call on these arguments; a view stands for its address. */
export function callOf(
  { module }: Emission,
  label: string,
  given: readonly (Argument | View)[],
  body: (f: FunctionBuilder, ...pointers: Pointer[]) => void,
): Call {
  const parameters = given.map((argument) => ("kind" in argument ? argument : viewArgument(argument)));
  return {
    target: module.function(
      label,
      parameters.map(() => "i32" as const),
      undefined,
      body,
    ),
    parameters,
  };
}

/** A float has 4 bytes, and so has an index. */
export const BYTES = 4;
/** Bytes of a vector, and its lanes. */
export const VECTOR = 16;
export const LANES = 4;

/**
 * Runs `body` for the columns of a row, a vector at a time: in a loop for the whole vectors, then once for the rest.
 * `offset` is the byte offset from the row's start as a local, `constant` a further one known when the code is built.
 * `vectors`: so many at a time, and their lanes are as many; only the last may then be a part.
 */
export function forColumns(
  f: FunctionBuilder,
  columns: number,
  body: (offset: I32 | undefined, constant: number, lanes: number) => void,
  vectors = 1,
): void {
  const turn = vectors * LANES;
  const whole = columns - (columns % turn);
  if (whole === turn) body(undefined, 0, turn);
  else if (whole > 0) f.count(0, whole * BYTES, vectors * VECTOR, (offset) => body(offset, 0, turn));
  if (columns > whole) body(undefined, whole * BYTES, columns - whole);
}

/** From so many numbers on they come from far: beyond the second-level cache, or close to it. */
export const FAR = 2 ** 16;

/**
 * Reads a number of every 32 bytes of `rows` rows that are to be read otherwise than one after the other: the machine then
 * fetches ahead, which it does not where packing jumps from row to row (weights' gradients: 1.05 to 1.15 times as fast). Of
 * what is in the first-level cache it would be work for nothing. The engines keep a load that nobody uses, since it might
 * trap. `stride` is in bytes.
 */
export function prefetch(f: FunctionBuilder, source: Pointer, stride: number, rows: number, columns: number): void {
  const row = moving(f, source);
  times(f, rows, () => {
    forColumns(f, columns, (from, more) => void f.let(i32.load(at(row, from), more)), 2);
    advance(f, row, stride);
  });
}

/**
 * Below this a number is written as 0 where it would go on in a loop or into a product. Not only denormal numbers
 * (below 2⁻¹²⁶) cost hundreds of times an ordinary one, results that are denormal do too: a state that decays would
 * slow everything it is multiplied with long before it is denormal itself. 2⁻¹⁰⁰ leaves factors down to 2⁻²⁶ free.
 */
const NEGLIGIBLE = 2 ** -100;

/** 0 in place of negligible numbers; NaN stays. */
export function flushed(f: FunctionBuilder, x: V128): V128 {
  const local = f.let(x);
  // A constant masks the sign in one instruction where `abs` takes three.
  return v128.andnot(local, f32x4.lt(v128.and(local, f.bits(0x7fffffff)), f.constant(NEGLIGIBLE)));
}

/** Runs `body` `times` times. */
export function times(f: FunctionBuilder, count: number, body: () => void): void {
  if (count === 1) body();
  else if (count > 1) f.count(0, count, 1, body);
}

/** base + offset, where there is an offset. */
export const at = (base: I32, offset: I32 | undefined): I32 => (offset ? i32.add(base, offset) : base);

export const advance = (f: FunctionBuilder, pointer: Pointer, bytes: number): void => {
  if (bytes !== 0) f.set(pointer, plus(pointer, bytes));
};

/** A copy that may be moved. */
export const moving = (f: FunctionBuilder, pointer: I32): Pointer => f.let(pointer);

/** The lanes behind the first `lanes` replaced by `filler`. */
export function keepLanes(f: FunctionBuilder, x: V128, lanes: number, filler: V128): V128 {
  if (lanes === LANES) return x;
  const on = (lane: number): number => (lane < lanes ? -1 : 0);
  return v128.bitselect(x, filler, f.let(v128.const([on(0), on(1), on(2), on(3)])));
}
