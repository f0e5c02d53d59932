/**
 * Sums and largest values. Along the rows: eight rows at a time are added into the output row, so that a tall matrix is
 * read in the order in which it lies. Sums over all: in float64. The rest is in `reduce-across.ts`.
 */
import type { Reduce } from "../../../program/program.js";
import type { FunctionBuilder } from "../assembler/assembler.js";
import { f32, f32x4, type I32, type V128, v128 } from "../assembler/instructions.js";
import {
  advance,
  asLoop,
  at,
  BYTES,
  type Call,
  callOf,
  type Emission,
  forColumns,
  keepLanes,
  moving,
  type Pointer,
  times,
  type Vector,
} from "./emission.js";
import { accumulate64, sum64 } from "./horizontal.js";

const ROWS_AT_A_TIME = 8;

/** Whether a reduction is one of those that are loaded on demand. */
export const isAcross = ({ axis, op }: Reduce): boolean => axis === "columns" || (axis === "all" && op === "max");

export function emitReduce(emission: Emission, kernel: Reduce, label: string): Call {
  const along = kernel.axis === "rows" ? emitRows : emitSum;
  const emit = isAcross(kernel) ? emission.rare!.emitAcross : along;
  return callOf(emission, label, [kernel.input, kernel.out], (f, input, out) => emit(f, kernel, input, out));
}

export const combine = (kernel: Reduce) => (kernel.op === "sum" ? f32x4.add : f32x4.max);

/** What changes nothing: 0 for a sum, −∞ for the largest. */
export const neutral = (f: FunctionBuilder, kernel: Reduce): Vector => f.constant(kernel.op === "sum" ? 0 : -Infinity);

/** x or x². */
export function term(f: FunctionBuilder, kernel: Reduce, x: V128): V128 {
  if (!kernel.square) return x;
  const local = f.let(x);
  return f32x4.mul(local, local);
}

/** out[i] = Σ input[r], r ≡ i modulo the rows of out. */
function emitRows(f: FunctionBuilder, kernel: Reduce, input: Pointer, out: Pointer): void {
  const { columns } = kernel.input;
  const period = kernel.out.rows;
  const count = kernel.input.rows / period;
  const rowBytes = kernel.input.stride * period * BYTES;
  const source = moving(f, input);
  const target = moving(f, out);

  /** Adds `rows` rows below `from` into the output row, or begins it with them. */
  const add = (from: I32, rows: number, begin: boolean): void =>
    forColumns(f, columns, (offset, constant, lanes) => {
      const address = f.let(at(from, offset));
      const to = f.let(at(target, offset));
      const terms = Array.from({ length: rows }, (_, r) =>
        term(f, kernel, v128.load(address, constant + r * rowBytes)),
      );
      if (!begin) terms.unshift(v128.load(to, constant));
      f.store(to, terms.reduce(combine(kernel)), constant, lanes);
    });

  times(f, period, () => {
    const from = moving(f, source);
    const first = Math.min(count, ROWS_AT_A_TIME);
    const blocks = Math.floor((count - first) / ROWS_AT_A_TIME);
    const rest = count - first - blocks * ROWS_AT_A_TIME;
    add(from, first, !kernel.accumulate);
    advance(f, from, first * rowBytes);
    times(f, blocks, () => {
      add(from, ROWS_AT_A_TIME, false);
      advance(f, from, ROWS_AT_A_TIME * rowBytes);
    });
    if (rest > 0) add(from, rest, false);
    advance(f, source, kernel.input.stride * BYTES);
    advance(f, target, kernel.out.stride * BYTES);
  });
}

/** All elements, a row at a time or as one row. */
export function forAll(f: FunctionBuilder, kernel: Reduce, input: Pointer, body: (x: Vector) => void): void {
  const { input: view } = kernel;
  const { rows, columns } = asLoop(view);
  const source = moving(f, input);
  times(f, rows, () => {
    forColumns(f, columns, (offset, constant, lanes) => {
      body(f.let(keepLanes(f, v128.load(at(source, offset), constant), lanes, neutral(f, kernel))));
    });
    if (rows > 1) advance(f, source, view.stride * BYTES);
  });
}

function emitSum(f: FunctionBuilder, kernel: Reduce, input: Pointer, out: Pointer): void {
  const low = f.let(f.constant(0));
  const high = f.let(f.constant(0));
  forAll(f, kernel, input, (x) => accumulate64(f, low, high, x, kernel.square));
  f.storeF32(out, f32.demote(sum64(f, low, high)));
}
