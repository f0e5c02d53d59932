/** Register tiles, the innermost code of matrix products, and the 4 × 4 transpose. */
import type { FunctionBuilder } from "./assembler.js";
import { BYTES, LANES, moving, type Pointer, VECTOR, type Vector } from "./emission.js";
import { type I32, i32, plus, v128 } from "./instructions.js";

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
  /** A lies packed: at each depth the elements of these rows, side by side. */
  readonly rows: number;
  readonly columns: number;
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
 * The elements of A at one depth, each in all lanes. Four rows are loaded as a vector and spread by shuffles, which the
 * compiler puts right before their use; broadcasting loads it puts first, all at once, and with more than four rows
 * there are not enough registers for that.
 */
function spreadA(f: FunctionBuilder, rows: number, a: Pointer): (row: number) => Vector {
  const vectors = Array.from({ length: Math.floor(rows / LANES) }, (_, i) => f.let(v128.load(a, i * VECTOR)));
  return (row) => {
    const vector = vectors[Math.floor(row / LANES)];
    if (!vector) return f.let(v128.load32Splat(a, row * BYTES));
    const lane = row % LANES;
    return f.let(v128.shuffle32(vector, vector, [lane, lane, lane, lane]));
  };
}

/**
 * out tile (+)= A·B over the depth. For each depth: the vectors of B, then each row's element of A, multiplied into
 * that row's accumulators. 5 × 8 takes 10 accumulators, 2 vectors of B, a vector and a broadcast of A and one for the
 * shuffle: 15, all that the compiler has. Ten independent sums hide the four cycles of a multiply-add, two a cycle.
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
    const spread = spreadA(f, rows, a);
    for (let r = 0; r < rows; r++) {
      const x = spread(r);
      for (let v = 0; v < vectors; v++) f.set(sums[r]![v]!, f.madd(x, bs[v]!, sums[r]![v]!));
    }
    f.set(a, plus(a, rows * BYTES));
    f.set(b, plus(b, tile.bDepth));
    return i32.ne(b, place.end);
  });
  each((r, v) => f.store(place.out, sums[r]![v]!, r * tile.outRow + v * VECTOR, lanesOf(columns, v)));
}
