/**
 * Code for workers that run one program on rows of a batch: waiting for one another, work done for one another, and sums
 * over what each has made. Loaded when it is used: many pages have one thread.
 */
import type { Kernel, Product } from "../../../program/program.js";
import type { FunctionBuilder, FunctionRef, ModuleBuilder } from "../assembler/assembler.js";
import { atomics } from "../assembler/atomics.js";
import { choose, f32x4, type I32, i32, plus, v128 } from "../assembler/instructions.js";
import { BYTES, type Call, callOf, LANES, type Own, type Pointer, type Run, type Team, VECTOR } from "./emission.js";

/** A cache line: no two workers write to one. */
const LINE = 64;
/** In the memory where the workers meet, each in a line: how many have arrived, and how often all have. */
const TURNS = 64;
/** How many have pieces to share; then a line for each worker: how many pieces are left, and whose they are. */
const READY = 128;
const PIECES = 192;
/** Looks at a number before going to sleep, some tens of microseconds: sleeping and waking costs as much. */
const LOOKS = 20_000;

/** `control`: where the workers meet, `controlBytes` of memory, zeros at first. */
export const teamOf = (workers: number, control: number): Team => ({
  workers,
  barrier: (module) => emitBarrier(module, workers, control),
  shareOut(statements, emit) {
    const end = statements.findIndex(({ by }) => by !== "any");
    const products = statements.slice(0, end) as (Kernel & Product)[];
    // The smallest last, so that all workers end at about the same time.
    const bySize = (a: Product, b: Product): number => workOf(b) - workOf(a);
    products.sort(bySize);
    const last = products.findLastIndex(({ out }) => out.rows >= 2 * FEWEST_ROWS);
    const pieces = products.flatMap((product, i) => (i === last ? piecesOf(product) : [product])).sort(bySize);
    const calls = pieces.map((piece) => ({ call: emit(piece), label: piece.label }));
    // The depth is a worker's rows at all times: with as many rows others have the same pieces.
    return (run) => emitPieces(run, workers, control, depthOf(products[0]!), calls);
  },
  forRange(f, count, worker, body) {
    const { start, whole, last } = rangeOf(f, count, workers, worker);
    const end = f.let(i32.add(start, whole));
    // Past the end of all elements a range is empty or less.
    f.if(i32.gtS(whole, i32.const(0)), () => f.count(start, end, VECTOR, (offset) => body(offset, 0, LANES)));
    if (count % LANES > 0) f.if(i32.and(last, i32.gtS(whole, i32.const(-1))), () => body(end, 0, count % LANES));
  },
  /** out = Σ over the workers, each worker for its range. Barriers come before and after. */
  allReduce: (emission, { input, out }, label) =>
    callOf(
      emission,
      label,
      [{ kind: "partials", view: input }, { kind: "partialBytes" }, out, { kind: "worker" }],
      (f, first, perWorker, to, worker) =>
        emission.team!.forRange(f, out.rows * out.columns, worker, (offset, _, lanes) => {
          const from = f.let(i32.add(first, offset));
          const sum = f.let(v128.load(from));
          for (let w = 1; w < workers; w++) {
            f.set(from, i32.add(from, perWorker));
            f.set(sum, f32x4.add(sum, v128.load(from)));
          }
          f.store(i32.add(to, offset), sum, 0, lanes);
        }),
    ),
});

/** Rows of a piece: each packs what it multiplies with anew, and with fewer rows that takes its share. */
const FEWEST_ROWS = 128;

const depthOf = ({ a, transposeA }: Product): number => (transposeA ? a.rows : a.columns);
const workOf = (product: Product): number => depthOf(product) * product.out.rows * product.out.columns;

/** So many rows in pieces: a half, half of what is left, and so on. */
const halves = (rows: number): number[] => {
  if (rows < 2 * FEWEST_ROWS) return [rows];
  const rest = Math.max(FEWEST_ROWS, Math.floor(rows / 2));
  return [rows - rest, ...halves(rest)];
};

/** A product in pieces of its rows. */
function piecesOf<P extends Product>(product: P): P[] {
  const { a, out, transposeA } = product;
  let from = 0;
  return halves(out.rows).map((rows) => {
    const of = transposeA
      ? { ...a, offset: a.offset + from, columns: rows }
      : { ...a, offset: a.offset + from * a.stride, rows };
    const to = { ...out, offset: out.offset + from * out.stride, rows };
    from += rows;
    return { ...product, a: of, out: to };
  });
}

/** Each worker's pieces: its own first, then those of others whose products have the same depth, for as long as there are any. */
function emitPieces(
  { f, worker, own, call: add }: Run,
  workers: number,
  control: number,
  depth: number,
  calls: readonly { readonly call: Call; readonly label: string }[],
): void {
  const ready = i32.const(control + READY);
  const first = control + PIECES;
  // How many pieces are left, of which depth, and where their numbers lie.
  const place = f.let(plus(i32.mul(worker, i32.const(LINE)), first));
  const word = (i: number): I32 => plus(place, BYTES * i);
  for (const [i, n] of [i32.const(depth), ...own].entries()) f.do(atomics.store(word(i + 1), n));
  f.do(atomics.store(place, i32.const(calls.length)));
  f.drop(atomics.add(ready, i32.const(1)));
  f.drop(atomics.notify(ready, i32.const(workers)));
  const of: Own = [f.local("i32"), f.local("i32"), f.local("i32")];
  const [seen, left, others] = [f.local("i32"), f.local("i32"), f.local("i32")];
  const takePieces = (): void =>
    f.repeat((leaveIf) => {
      f.set(left, atomics.add(place, i32.const(-1)));
      // Before its worker has come there are none, or less.
      leaveIf(i32.gtS(i32.const(1), left));
      for (const [i, local] of of.entries()) f.set(local, atomics.load(word(i + 2)));
      for (const [i, { call, label }] of calls.entries())
        f.if(i32.eq(left, i32.const(calls.length - i)), () => add(call, label, undefined, of));
      return i32.const(1);
    });
  f.repeat((leaveIf) => {
    f.set(seen, atomics.load(ready));
    f.set(others, i32.const(workers));
    f.repeat(() => {
      f.if(i32.eq(atomics.load(word(1)), i32.const(depth)), takePieces);
      f.set(place, word(LINE / BYTES));
      f.if(i32.eq(place, i32.const(first + workers * LINE)), () => f.set(place, i32.const(first)));
      f.set(others, plus(others, -1));
      return others;
    });
    // Who came after the look may have left some.
    leaveIf(i32.eq(seen, i32.const(workers)));
    awaitOther(f, ready, seen);
    return i32.const(1);
  });
}

/** Until the number at an address is another one. */
function awaitOther(f: FunctionBuilder, address: I32, known: I32): void {
  const changed = (): I32 => i32.ne(atomics.load(address), known);
  const left = f.let(i32.const(LOOKS));
  f.repeat((leaveIf) => {
    leaveIf(changed());
    f.set(left, plus(left, -1));
    return left;
  });
  f.repeat((leaveIf) => {
    leaveIf(changed());
    f.drop(atomics.wait(address, known));
    return i32.const(1);
  });
}

function emitBarrier(module: ModuleBuilder, workers: number, control: number): FunctionRef {
  const arrived = i32.const(control);
  const turns = i32.const(control + TURNS);
  return module.function("barrier", [], undefined, (f) => {
    const turn = f.let(atomics.load(turns));
    f.if(
      i32.eq(atomics.add(arrived, i32.const(1)), i32.const(workers - 1)),
      () => {
        f.do(atomics.store(arrived, i32.const(0)));
        f.do(atomics.store(i32.const(control + READY), i32.const(0)));
        f.do(atomics.store(turns, plus(turn, 1)));
        f.drop(atomics.notify(turns, i32.const(workers)));
      },
      () => awaitOther(f, turns, turn),
    );
  });
}

/** What a worker does of `count` elements: from where, and how many bytes (a whole number of vectors, but at the end). */
interface Range {
  /** Byte offset of the range. */
  readonly start: I32;
  /** Bytes of whole vectors, 0 or less where there are none. */
  readonly whole: Pointer;
  /** Whether the elements behind the last whole vector are the worker's. */
  readonly last: I32;
}

function rangeOf(f: FunctionBuilder, count: number, workers: number, worker: Pointer): Range {
  const bytes = count * BYTES;
  const share = Math.ceil(bytes / workers / LINE) * LINE;
  const start = f.let(i32.mul(worker, i32.const(share)));
  const left = f.let(i32.sub(i32.const(bytes), start));
  const size = f.let(choose(i32.gtS(left, i32.const(share)), i32.const(share), left));
  return {
    start,
    whole: f.let(i32.and(size, i32.const(-VECTOR))),
    last: i32.gtS(i32.and(size, i32.const(VECTOR - 1)), i32.const(0)),
  };
}
