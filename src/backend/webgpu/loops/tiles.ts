/**
 * What a loop keeps in workgroup memory. A tile holds a workgroup's rows of some columns; to the kernels it is a buffer like others.
 *
 *   memory without steps (a product that the gates read, a state)   is a tile, copied in before the first step where its numbers come
 *                                                                    from before, and out after the last for whoever reads it then
 *   values over time (a state that the backward pass wants)          go to memory, and into a tile too where the same or the next
 *                                                                    step reads them
 *   the rows that a product multiplies                               are copied into a tile where they are in none
 */
import { moveChain } from "../../../program/lowering/chains.js";
import type { Chain, Kernel, Loop, View } from "../../../program/program.js";
import { noProgramHas } from "../dispatch.js";
import { covered, meet, type Range, united } from "../range.js";
import { areaOf, type RowKernel, type RowLocal, type Touch, type Written } from "./row-local.js";

export interface TiledKernel {
  readonly kernel: Exclude<RowKernel, { kind: "fill" }>;
  /** Reads from memory what other invocations may have written there before. */
  readonly waits: boolean;
}

export interface TiledLoop {
  /** The columns of each tile. */
  readonly tiles: readonly number[];
  /** Copies into tiles before the first step. */
  readonly first: readonly (Kernel & Chain)[];
  readonly body: readonly TiledKernel[];
  /** Copies out of tiles after the last step. */
  readonly last: readonly (Kernel & Chain)[];
}

const FIRST_TILE = noProgramHas.firstTile;
/** The number of the tile that a view is of. */
export const tileNumber = ({ buffer }: View): number | undefined =>
  buffer <= FIRST_TILE ? FIRST_TILE - buffer : undefined;

/** A tile for columns of a buffer. */
interface Tile extends Range {
  readonly buffer: number;
}

/** `isWanted`: whether anything but the loop reads a buffer that it writes. */
export function tiled(loop: Loop, local: RowLocal, isWanted: (buffer: number) => boolean): TiledLoop {
  const places = placesOf(loop, local, isWanted);
  const body = loop.body.flatMap((kernel, number) => moved(kernel, number, places));
  const { tiles, first, last } = places;
  return { tiles, first, body, last };
}

/** Where the kernels of a loop find and leave their numbers. */
interface Places extends Omit<TiledLoop, "body"> {
  /** A tile beside those of the buffers. */
  fresh(columns: number): View;
  /** Where a kernel, by its number, reads a view. */
  read(view: View, kernel: number): View;
  /** Where it writes one: memory, a tile, or both. */
  write(view: View, kernel: number): readonly View[];
  /** Whether it reads or writes memory that other invocations, in another kernel, may have had to do with. */
  waits(kernel: number): boolean;
}

function placesOf(loop: Loop, { rows, written }: RowLocal, isWanted: (buffer: number) => boolean): Places {
  const tiles: number[] = [];
  const first: (Kernel & Chain)[] = [];
  const last: (Kernel & Chain)[] = [];
  const tileOf = new Map<Written, Tile>();

  const tile = ({ from, to }: Range): Tile => {
    tiles.push(to - from);
    return { from, to, buffer: FIRST_TILE + 1 - tiles.length };
  };
  const viewOf = ({ buffer, from, to }: Tile, area: Range): View => ({
    buffer,
    offset: area.from - from,
    rows,
    columns: area.to - area.from,
    stride: to - from,
    step: 0,
  });
  for (const [buffer, memory] of written) {
    const plan = memory.step === 0 ? keptWhole(memory) : mirrored(memory, loop);
    if (!plan) continue;
    const { start } = plan;
    const made = tile(plan);
    tileOf.set(memory, made);
    const { stride, step } = memory;
    const behind = (slot: number, { from, to }: Range): View => ({
      buffer,
      offset: slot * rows * stride + from,
      rows,
      columns: to - from,
      stride: rows === 1 ? to - from : stride,
      step,
    });
    if (start !== undefined) first.push(moveChain(behind(start, made), viewOf(made, made), loop.name));
    // A tile that begins with what was there before also passes on to the next dispatch, where the loop is several.
    if (step !== 0 || !(isWanted(buffer) || start !== undefined)) continue;
    // Only what the loop has written: others may have written between it meanwhile.
    for (const range of united(memory.touches.filter((touch) => touch.writes)))
      last.push(moveChain(viewOf(made, range), behind(0, range), loop.name));
  }

  const inTile = (touch: Touch, memory: Written): boolean => {
    if (memory.step === 0) return true;
    const origin = originOf(touch, memory, loop);
    return !touch.writes && tileOf.has(memory) && (origin === "this step" || origin === "the step before");
  };
  /** Whether a kernel must wait for what others do to memory before it touches it. */
  const meetsOthers = (touch: Touch, memory: Written): boolean => {
    if (inTile(touch, memory)) return false;
    if (!touch.writes) return originOf(touch, memory, loop) !== "before the loop";
    const isApart = (other: Touch): boolean => other.kernel !== touch.kernel || other.slot !== touch.slot;
    return memory.touches.some((other) => isApart(other) && meet(other, touch) && !inTile(other, memory));
  };
  return {
    tiles,
    first,
    last,
    fresh(columns) {
      const made = tile({ from: 0, to: columns });
      return viewOf(made, made);
    },
    read(view, kernel) {
      const memory = written.get(view.buffer);
      if (!memory) return view;
      const area = areaOf(view, memory, rows)!;
      return inTile({ ...area, kernel, writes: false }, memory) ? viewOf(tileOf.get(memory)!, area) : view;
    },
    write(view) {
      const memory = written.get(view.buffer)!;
      const area = areaOf(view, memory, rows)!;
      const made = tileOf.get(memory);
      const copies = made && meet(made, area) ? [viewOf(made, area)] : [];
      return memory.step === 0 ? copies : [view, ...copies];
    },
    waits: (kernel) =>
      [...written.values()].some((memory) =>
        memory.touches.some((touch) => touch.kernel === kernel && meetsOthers(touch, memory)),
      ),
  };
}

/** A kernel on the places of its views. */
function moved(kernel: Kernel, number: number, places: Places): TiledKernel[] {
  const waits = places.waits(number);
  const read = (view: View): View => places.read(view, number);
  const write = (view: View): readonly View[] => places.write(view, number);
  const out = (view: View): View => write(view)[0]!;
  switch (kernel.kind) {
    case "chain": {
      const loads = kernel.loads.map(read);
      const stores = kernel.stores.flatMap((store) => write(store.to).map((to) => ({ ...store, to })));
      return [{ kernel: { ...kernel, loads, stores }, waits }];
    }
    case "fill": {
      const { value, label, out: to } = kernel;
      const code = [{ op: "constant", value } as const];
      const stores = write(to).map((view) => ({ value: 0, to: view, flush: false }));
      return [{ kernel: { kind: "chain", label, rows: to.rows, columns: to.columns, loads: [], code, stores }, waits }];
    }
    case "product": {
      const a = read(kernel.a);
      const made = { ...kernel, out: out(kernel.out) };
      if (tileNumber(a) !== undefined) return [{ kernel: { ...made, a }, waits }];
      const copy = places.fresh(a.columns);
      return [
        { kernel: moveChain(a, copy, kernel.label) as Kernel & Chain, waits },
        { kernel: { ...made, a: copy }, waits },
      ];
    }
    case "reduce":
    case "softmax":
      return [{ kernel: { ...kernel, input: read(kernel.input), out: out(kernel.out) }, waits }];
    case "gather":
      return [{ kernel: { ...kernel, out: out(kernel.out) }, waits }];
    default:
      throw new Error(`${kernel.label}: a ${kernel.kind} is not done by rows`);
  }
}

/** The columns of a tile, and the matrix that it begins with, where it does not begin empty. */
interface Plan extends Range {
  readonly start: number | undefined;
}

/** Memory that is the same for every step. */
function keptWhole({ touches }: Written): Plan {
  const from = Math.min(...touches.map((touch) => touch.from));
  const to = Math.max(...touches.map((touch) => touch.to));
  const writes = touches.filter((touch) => touch.writes);
  const fromBefore = touches.some(
    (touch) =>
      !touch.writes &&
      !covered(
        touch,
        writes.filter(({ kernel }) => kernel < touch.kernel),
      ),
  );
  return { from, to, start: fromBefore ? 0 : undefined };
}

/** Values over time that the step that makes them, or the next one, reads. */
function mirrored(memory: Written, loop: Loop): Plan | undefined {
  const writes = memory.touches.filter((touch) => touch.writes);
  if (!writes.every(({ kernel }) => ["chain", "fill"].includes(loop.body[kernel]!.kind))) return undefined;
  const reads = memory.touches
    .filter((touch) => !touch.writes)
    .map((touch) => ({ touch, origin: originOf(touch, memory, loop) }))
    .filter(({ origin }) => origin === "this step" || origin === "the step before");
  if (reads.length === 0) return undefined;
  let from = Math.min(...reads.map(({ touch }) => touch.from));
  let to = Math.max(...reads.map(({ touch }) => touch.to));
  // What is written is written whole.
  for (let width = -1; width !== to - from; ) {
    width = to - from;
    for (const write of writes)
      if (meet(write, { from, to })) [from, to] = [Math.min(from, write.from), Math.max(to, write.to)];
  }
  return { from, to, start: reads.find(({ origin }) => origin === "the step before")?.touch.slot };
}

type Origin = "before the loop" | "this step" | "the step before" | "any step";

/** When the values over time that a kernel reads were written. */
function originOf(read: Omit<Touch, "writes">, { touches }: Written, { reverse }: Loop): Origin {
  const writes = touches.filter((touch) => touch.writes);
  const [slot, ...others] = new Set(writes.map((write) => write.slot));
  if (slot === undefined || others.length > 0) return "any step";
  const ahead = reverse ? slot - read.slot : read.slot - slot;
  const earlier = writes.filter(({ kernel }) => kernel < read.kernel);
  if (ahead > 0) return "before the loop";
  if (ahead === 0) {
    if (covered(read, earlier)) return "this step";
    return earlier.some((write) => meet(write, read)) ? "any step" : "before the loop";
  }
  // The tile has them until they are written over; a chain writes over just the element that it has read.
  const still = writes.every(
    (write) =>
      !meet(write, read) ||
      write.kernel > read.kernel ||
      (write.kernel === read.kernel && write.from === read.from && write.to === read.to),
  );
  return ahead === -1 && still && covered(read, writes) ? "the step before" : "any step";
}
