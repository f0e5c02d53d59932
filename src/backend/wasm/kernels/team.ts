/**
 * Code for workers that run one program on rows of a batch: waiting for one another, and sums over what each has made. Loaded
 * when it is used: many pages have one thread.
 */
import type { FunctionBuilder, FunctionRef, ModuleBuilder } from "../assembler/assembler.js";
import { atomics } from "../assembler/atomics.js";
import { choose, f32x4, type I32, i32, plus, v128 } from "../assembler/instructions.js";
import { BYTES, callOf, LANES, type Pointer, type Team, VECTOR } from "./emission.js";

/** In the memory where the workers meet: how many have arrived, and behind a cache line how often all have. */
const TURNS = 64;
/** Looks at the number before going to sleep, some tens of microseconds: sleeping and waking costs as much. */
const LOOKS = 20_000;

/** `control`: where the workers meet, CONTROL_BYTES of memory, zeros at first. */
export const teamOf = (workers: number, control: number): Team => ({
  workers,
  barrier: (module) => emitBarrier(module, workers, control),
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

function emitBarrier(module: ModuleBuilder, workers: number, control: number): FunctionRef {
  const arrived = i32.const(control);
  const turns = i32.const(control + TURNS);
  return module.function("barrier", [], undefined, (f) => {
    const turn = f.let(atomics.load(turns));
    f.if(i32.eq(atomics.add(arrived, i32.const(1)), i32.const(workers - 1)), () => {
      f.do(atomics.store(arrived, i32.const(0)));
      f.do(atomics.store(turns, plus(turn, 1)));
      f.drop(atomics.notify(turns, i32.const(workers)));
      f.return();
    });
    const left = f.let(i32.const(LOOKS));
    f.repeat(() => {
      f.if(i32.ne(atomics.load(turns), turn), () => f.return());
      f.set(left, plus(left, -1));
      return left;
    });
    f.repeat(() => {
      f.drop(atomics.wait(turns, turn));
      return i32.eq(atomics.load(turns), turn);
    });
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

/** Ranges are whole cache lines, so that no two workers write to one. */
const LINE = 64;

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
