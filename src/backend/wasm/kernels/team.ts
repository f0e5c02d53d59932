/**
 * Code for workers that run one program on rows of a batch: waiting for one another, and sums over what each has made.
 */
import type { AllReduce } from "../../../program/program.js";
import type { FunctionBuilder, FunctionRef, ModuleBuilder } from "../assembler/assembler.js";
import { atomics, choose, f32x4, type I32, i32, plus, v128 } from "../assembler/instructions.js";
import { BYTES, type Call, type Emission, LANES, type Pointer, VECTOR, viewArgument } from "./emission.js";

/** The workers as a program's code knows them. */
export interface Team {
  readonly workers: number;
  /** Where the workers meet: CONTROL_BYTES of memory, zeros at first. */
  readonly control: number;
}

/** Two cache lines: how many have arrived, and how often all have. */
export const CONTROL_BYTES = 128;
const TURNS = 64;
/** Looks at the number before going to sleep, some tens of microseconds: sleeping and waking costs as much. */
const LOOKS = 20_000;

/** A function that returns when all workers have called it. */
export function emitBarrier(module: ModuleBuilder, { workers, control }: Team): FunctionRef {
  const arrived = i32.const(control);
  const turns = i32.const(control + TURNS);
  return module.function("barrier", [], undefined, (f) => {
    const turn = f.let(atomics.load(turns));
    f.if(i32.eq(atomics.add(arrived, i32.const(1)), i32.const(workers - 1)), () => {
      f.storeAtomic(arrived, i32.const(0));
      f.storeAtomic(turns, plus(turn, 1));
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

/** As `forColumns`, over the worker's part of `count` elements; `offset` is from the first element of all. */
export function forRange(
  f: FunctionBuilder,
  { count, workers, worker }: { readonly count: number; readonly workers: number; readonly worker: Pointer },
  body: (offset: I32, lanes: number) => void,
): void {
  const { start, whole, last } = rangeOf(f, count, workers, worker);
  const end = f.let(i32.add(start, whole));
  // Past the end of all elements a range is empty or less.
  f.if(i32.gtS(whole, i32.const(0)), () => f.count(start, end, VECTOR, (offset) => body(offset, LANES)));
  if (count % LANES > 0) f.if(i32.and(last, i32.gtS(whole, i32.const(-1))), () => body(end, count % LANES));
}

/** out = Σ over the workers, each worker for its range. Barriers come before and after. */
export function emitAllReduce(emission: Emission, { input, out }: AllReduce, label: string): Call {
  const { workers } = emission;
  const count = out.rows * out.columns;
  const target = emission.module.function(
    label,
    ["i32", "i32", "i32", "i32"],
    undefined,
    (f, first, perWorker, to, worker) => {
      forRange(f, { count, workers, worker }, (offset, lanes) => {
        const from = f.let(i32.add(first, offset));
        const sum = f.let(v128.load(from));
        for (let w = 1; w < workers; w++) {
          f.set(from, i32.add(from, perWorker));
          f.set(sum, f32x4.add(sum, v128.load(from)));
        }
        f.store(i32.add(to, offset), sum, 0, lanes);
      });
    },
  );
  return {
    target,
    parameters: [{ kind: "partials", view: input }, { kind: "partialBytes" }, viewArgument(out), { kind: "worker" }],
  };
}
