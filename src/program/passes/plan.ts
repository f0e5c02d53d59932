/**
 * The memory plan: each temporary buffer gets a place in one arena; buffers whose lifetimes do not meet share it. Offsets
 * are in elements, in multiples of 16 (64 bytes).
 */
import { type Buffer, type Kernel, type MemoryPlan, reads, type Statement, type View, writes } from "../program.js";

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

const align = (size: number): number => Math.ceil(size / 16) * 16;

/** Plans the temporaries of `statements`, run in this order. `keep`: nothing is shared, so that every value can be looked at after a run. */
export function planMemory(buffers: readonly Buffer[], statements: readonly Statement[], keep = false): MemoryPlan {
  const lifetimes = findLifetimes(statements);
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
function findLifetimes(statements: readonly Statement[]): Map<number, Lifetime> {
  const lifetimes = new Map<number, Lifetime>();
  const touch = (buffer: number, moment: number): void => {
    const known = lifetimes.get(buffer);
    if (!known) lifetimes.set(buffer, { first: moment, last: moment });
    else {
      known.first = Math.min(known.first, moment);
      known.last = Math.max(known.last, moment);
    }
  };
  const touched = (kernel: Kernel): readonly View[] => [...reads(kernel), ...writes(kernel)];
  let moment = 0;
  const inLoops: {
    readonly first: number;
    readonly last: number;
    readonly crossing: ReadonlySet<number>;
    readonly all: ReadonlySet<number>;
  }[] = [];
  for (const statement of statements) {
    if (statement.kind !== "loop") {
      for (const view of touched(statement)) touch(view.buffer, moment);
      moment++;
      continue;
    }
    const first = moment;
    const written = new Set<number>();
    const crossing = new Set<number>();
    const all = new Set<number>();
    for (const kernel of statement.body) {
      for (const view of reads(kernel)) if (!written.has(view.buffer) || view.step !== 0) crossing.add(view.buffer);
      for (const view of writes(kernel)) {
        written.add(view.buffer);
        if (view.step !== 0) crossing.add(view.buffer);
      }
      for (const view of touched(kernel)) {
        all.add(view.buffer);
        touch(view.buffer, moment);
      }
      moment++;
    }
    inLoops.push({ first, last: moment - 1, crossing, all });
  }
  for (const loop of inLoops) {
    for (const buffer of loop.all) {
      const { first, last } = lifetimes.get(buffer)!;
      if (!loop.crossing.has(buffer) && first >= loop.first && last <= loop.last) continue;
      touch(buffer, loop.first);
      touch(buffer, loop.last);
    }
  }
  return lifetimes;
}
