/** Register tiles: the innermost code of matrix products, and the 4 × 4 transpose. */
import type { FunctionBuilder } from "./assembler.js";
import { BYTES, LANES, moving, type Pointer, type Vector, VECTOR } from "./emission.js";
import { f32x4, i32, type I32, v128 } from "./instructions.js";

/** Four rows of four lanes, transposed. */
export function transpose4(f: FunctionBuilder, rows: readonly Vector[]): Vector[] {
  const [a, b, c, d] = rows as [Vector, Vector, Vector, Vector];
  const low = f.let(v128.shuffle32(a, b, [0, 4, 1, 5]));
  const lowOther = f.let(v128.shuffle32(c, d, [0, 4, 1, 5]));
  const high = f.let(v128.shuffle32(a, b, [2, 6, 3, 7]));
  const highOther = f.let(v128.shuffle32(c, d, [2, 6, 3, 7]));
  return [
    f.let(v128.shuffle32(low, lowOther, [0, 1, 4, 5])),
    f.let(v128.shuffle32(low, lowOther, [2, 3, 6, 7])),
    f.let(v128.shuffle32(high, highOther, [0, 1, 4, 5])),
    f.let(v128.shuffle32(high, highOther, [2, 3, 6, 7])),
  ];
}

/** A tile of out: `rows` rows by `columns` columns, held in rows × ⌈columns/4⌉ accumulators. */
export interface Tile {
  readonly rows: number;
  readonly columns: number;
  /** Byte steps through A: from row to row, and from one depth to the next. */
  readonly aRow: number;
  readonly aDepth: number;
  /** Byte step through B from one depth to the next, and the offset of each of its vectors. */
  readonly bDepth: number;
  readonly bVector: (vector: number) => number;
  /** Byte step through out from row to row. */
  readonly outRow: number;
}

export interface TilePlace {
  readonly a: Pointer;
  readonly b: Pointer;
  readonly out: Pointer;
  /** Where B's pointer ends: b + depth·bDepth. */
  readonly end: I32;
  /** Whether the accumulators begin with what out holds; a local decides at run time. */
  readonly accumulate: boolean | Pointer;
}

const vectorsOf = (columns: number): number => Math.ceil(columns / LANES);
/** Lanes of the v-th vector that lie within the columns. */
const lanesOf = (columns: number, v: number): number => Math.min(LANES, columns - v * LANES);

/**
 * out tile (+)= A·B over the depth. For each depth: the vectors of B, then one broadcast of A for each row, multiplied
 * into that row's accumulators. 4 × 8 takes 8 accumulators, 2 vectors of B and 4 broadcasts: 14 of the 16 registers.
 */
export function emitTile(f: FunctionBuilder, tile: Tile, place: TilePlace): void {
  const { rows, columns } = tile;
  const vectors = vectorsOf(columns);
  const each = (body: (row: number, vector: number) => void): void => {
    for (let r = 0; r < rows; r++) for (let v = 0; v < vectors; v++) body(r, v);
  };
  const sums = Array.from({ length: rows }, () => Array.from({ length: vectors }, () => f.local("v128")));
  const clear = (): void => each((r, v) => f.set(sums[r]![v]!, f.constant(0)));
  const fetch = (): void => each((r, v) => f.set(sums[r]![v]!, v128.load(place.out, r * tile.outRow + v * VECTOR)));
  if (typeof place.accumulate !== "boolean") f.if(place.accumulate, fetch, clear);
  else if (place.accumulate) fetch();
  else clear();

  const a = moving(f, place.a);
  const b = moving(f, place.b);
  f.repeat(() => {
    const bs = Array.from({ length: vectors }, (_, v) => f.let(v128.load(b, tile.bVector(v))));
    for (let r = 0; r < rows; r++) {
      const broadcast = f.let(v128.load32Splat(a, r * tile.aRow));
      for (let v = 0; v < vectors; v++) f.set(sums[r]![v]!, f.madd(broadcast, bs[v]!, sums[r]![v]!));
    }
    f.set(a, i32.add(a, i32.const(tile.aDepth)));
    f.set(b, i32.add(b, i32.const(tile.bDepth)));
    return i32.ne(b, place.end);
  });
  each((r, v) => f.store(place.out, sums[r]![v]!, r * tile.outRow + v * VECTOR, lanesOf(columns, v)));
}

/** A tile of dot products: A's rows and B's columns both lie along the depth, vectors run along it too. */
export interface DotTile {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly aRow: number;
  readonly bColumn: number;
  readonly outRow: number;
}

export function emitDotTile(f: FunctionBuilder, tile: DotTile, place: Omit<TilePlace, "end"> & { accumulate: boolean }): void {
  const { rows, columns, depth } = tile;
  const sums = Array.from({ length: rows }, () => Array.from({ length: columns }, () => f.let(f.constant(0))));
  const step = (a: I32, b: I32, constant: number, mask?: Vector): void => {
    const as = Array.from({ length: rows }, (_, r) => v128.load(a, r * tile.aRow + constant));
    const bs = Array.from({ length: columns }, (_, c) => f.let(v128.load(b, c * tile.bColumn + constant)));
    if (mask) bs.forEach((x) => f.set(x, v128.and(x, mask)));
    as.forEach((load, r) => {
      const x = f.let(mask ? v128.and(load, mask) : load);
      for (let c = 0; c < columns; c++) f.set(sums[r]![c]!, f.madd(x, bs[c]!, sums[r]![c]!));
    });
  };
  const whole = depth - (depth % LANES);
  if (whole > 0) {
    f.count(0, whole * BYTES, VECTOR, (i) => step(f.let(i32.add(place.a, i)), f.let(i32.add(place.b, i)), 0));
  }
  if (depth > whole) {
    const on = (lane: number): number => (lane < depth - whole ? -1 : 0);
    step(place.a, place.b, whole * BYTES, f.let(v128.const([on(0), on(1), on(2), on(3)])));
  }
  const zero = f.constant(0);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c += LANES) {
      const lanes = Math.min(LANES, columns - c);
      // The sums across the lanes of four accumulators at once: transpose, then add.
      const [x, y, z, w] = transpose4(f, [0, 1, 2, 3].map((i) => sums[r]![c + i] ?? zero)) as [Vector, Vector, Vector, Vector];
      const total = f32x4.add(f32x4.add(x, y), f32x4.add(z, w));
      const offset = r * tile.outRow + c * BYTES;
      f.store(place.out, place.accumulate ? f32x4.add(total, v128.load(place.out, offset)) : total, offset, lanes);
    }
  }
}
