/**
 * The memory plan: each temporary buffer gets a place in one arena; buffers whose lifetimes do not meet share it. Offsets
 * are in elements, in multiples of 16 (64 bytes).
 */
import { kept } from "../../graph/maps.js";
import {
  type Buffer,
  kernelsIn,
  type MemoryPlan,
  reads,
  type Statement,
  type View,
  viewsOf,
  writes,
} from "../program.js";

/** Guards are read between compute and commit; the plan must know. */
export const readGuard = (guard: View): Statement => ({
  kind: "reduce",
  op: "sum",
  axis: "all",
  square: false,
  input: guard,
  out: guard,
  label: "guard",
});

interface Lifetime {
  first: number;
  last: number;
}

export type Apart = (statements: readonly Statement[]) => boolean;

const align = (size: number): number => Math.ceil(size / 16) * 16;

/**
 * Plans the temporaries of `statements`, run in this order. `keep`: nothing is shared, so that every value can be looked at after a run.
 * `apart`: of a loop, what follows it and the next one, whether the two do not need one another; they then share nothing, so that a
 * device can carry them out at once.
 */
export function planMemory(
  buffers: readonly Buffer[],
  statements: readonly Statement[],
  keep = false,
  apart?: Apart,
): MemoryPlan {
  const lifetimes = findLifetimes(statements, apart);
  const temporaries = buffers.filter((buffer) => buffer.kind === "temporary" && lifetimes.has(buffer.id));
  /** By offset. */
  const placed: { readonly first: number; readonly last: number; readonly offset: number; readonly end: number }[] = [];
  const offsets = new Map<number, number>();
  let size = 0;
  // The largest first: small ones fill the gaps.
  for (const buffer of [...temporaries].sort((a, b) => b.size - a.size || a.id - b.id)) {
    const { first, last } = keep ? { first: 0, last: Infinity } : lifetimes.get(buffer.id)!;
    const length = align(buffer.size);
    let offset = 0;
    for (const other of placed) {
      if (other.first > last || first > other.last) continue;
      if (offset + length <= other.offset) break;
      offset = Math.max(offset, other.end);
    }
    const behind = placed.findIndex((other) => other.offset > offset);
    placed.splice(behind < 0 ? placed.length : behind, 0, { first, last, offset, end: offset + length });
    offsets.set(buffer.id, offset);
    size = Math.max(size, offset + length);
  }
  return { offsets, size };
}

/** First and last moment at which each buffer is touched. What crosses a loop's steps, or its border, lives for the whole loop. */
function findLifetimes(statements: readonly Statement[], apart?: Apart): Map<number, Lifetime> {
  const lifetimes = new Map<number, Lifetime>();
  const touch = (buffer: number, first: number, last = first): void => {
    const known = kept(lifetimes, buffer, () => ({ first, last }));
    known.first = Math.min(known.first, first);
    known.last = Math.max(known.last, last);
  };
  let moment = 0;
  const loops: (Lifetime & { readonly at: number; readonly crosses: ReadonlyMap<number, boolean> })[] = [];
  for (const [at, statement] of statements.entries()) {
    const first = moment;
    /** Whether each buffer crosses the steps: it is not written first, or has a part for each step. */
    const crosses = new Map<number, boolean>();
    for (const kernel of kernelsIn(statement)) {
      for (const { buffer, step } of reads(kernel)) crosses.set(buffer, (crosses.get(buffer) ?? true) || step !== 0);
      for (const { buffer, step } of writes(kernel)) crosses.set(buffer, (crosses.get(buffer) ?? false) || step !== 0);
      for (const { buffer } of viewsOf(kernel)) touch(buffer, moment);
      moment++;
    }
    if (statement.kind === "loop") loops.push({ at, first, last: moment - 1, crosses });
  }
  loops.forEach(({ at, first, last, crosses }, i) => {
    const next = loops[i + 1];
    const until = next && apart?.(statements.slice(at, next.at + 1)) ? next : undefined;
    const end = until?.last ?? last;
    // What is done between them can also go on ahead of either.
    for (const { buffer } of statements
      .slice(at + 1, until?.at ?? 0)
      .flatMap(kernelsIn)
      .flatMap(viewsOf))
      touch(buffer, end);
    for (const [buffer, crossing] of crosses) {
      const known = lifetimes.get(buffer)!;
      if (crossing || known.first < first || known.last > last) touch(buffer, first, end);
    }
  });
  return lifetimes;
}
