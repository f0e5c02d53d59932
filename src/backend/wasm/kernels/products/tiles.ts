/** Register tiles: the innermost code of matrix products. */
import type { FunctionBuilder, FunctionRef, ModuleBuilder } from "../../assembler/assembler.js";
import { i32, plus, v128 } from "../../assembler/instructions.js";
import { reordersCode } from "../../features.js";
import { LANES, moving, type Pointer, VECTOR, type Vector } from "../emission.js";
import { CHUNK, chunkBytes, type Layout, spreadRow } from "./chunks.js";

/** What the code of a tile depends on; what does not need to be in the code is passed, so that many products share it. */
export interface Tile {
  /** How A lies (`chunks.ts`). */
  readonly layout: Layout;
  /** Columns of out: `layout.rows` rows of them are held in rows × ⌈columns/4⌉ accumulators. */
  readonly columns: number;
  /** Whether there are whole chunks of the depth, and the depths behind them. */
  readonly chunks: boolean;
  readonly rest: number;
  /** Byte step through B from one depth to the next, and the offset of each of its vectors. */
  readonly bDepth: number;
  readonly bVector: (vector: number) => number;
}

/** The pointers `a` and `out` are moved on to the next tile below. */
interface Place {
  readonly a: Pointer;
  readonly b: Pointer;
  readonly out: Pointer;
  /** Byte step through out from row to row. */
  readonly outRow: Pointer;
  /** Bytes of B beside the whole chunks. */
  readonly bBytes: Pointer;
  /** Whether the accumulators begin with what out holds. */
  readonly accumulate: Pointer;
}

/**
 * out tile (+)= A·B over the depth. For each depth: the vectors of B, then row after row an element of A in all lanes,
 * multiplied into that row's accumulators. 6 × 8 takes 12 accumulators, 2 vectors of B and an element of A: 15, all that
 * the compiler has. What counts is instructions for a multiply-add, since other work on the same core takes its share of them.
 */
function emitTile(f: FunctionBuilder, tile: Tile, { a, out, outRow, ...place }: Place): void {
  const { layout, columns, bDepth } = tile;
  const { rows } = layout;
  const vectors = Math.ceil(columns / LANES);
  const each = (body: (row: number, vector: number) => void, nextRow = (): void => {}): void => {
    for (let r = 0; r < rows; r++) {
      for (let v = 0; v < vectors; v++) body(r, v);
      nextRow();
    }
  };
  const sums = Array.from({ length: rows }, () => Array.from({ length: vectors }, () => f.local("v128")));
  const step = (row: Pointer) => (): void => f.set(row, i32.add(row, outRow));
  // Each its own zeros: a register that held them for all would be the lowest, and sums would be moved about at every turn.
  const clear = (): void => each((r, v) => f.set(sums[r]![v]!, v128.const([0, 0, 0, 0])));
  const fetch = (): void => {
    const row = moving(f, out);
    each((r, v) => f.set(sums[r]![v]!, v128.load(row, v * VECTOR)), step(row));
  };
  f.if(place.accumulate, fetch, clear);

  const b = moving(f, place.b);
  const loadB = (at: number): Vector[] =>
    Array.from({ length: vectors }, (_, v) => f.let(v128.load(b, at * bDepth + tile.bVector(v))));
  const multiply = (at: number, bs: readonly Vector[], upwards: boolean): void => {
    const element = spreadRow(f, layout, a, at);
    for (let i = 0; i < rows; i++) {
      const r = upwards ? rows - 1 - i : i;
      const x = element(r);
      for (let j = 0; j < vectors; j++) {
        const v = upwards ? vectors - 1 - j : j;
        f.set(sums[r]![v]!, f.madd(x, bs[v]!, sums[r]![v]!));
      }
    }
  };
  /**
   * Node 20's and 22's compiler orders the code between two jumps by itself, and would put the loads of all depths first: too
   * many for the registers. So there each depth is a stretch of its own, behind a jump over it that is never taken, since
   * pointers are multiples of 4: afterwards the sums are those that went in or those that came out, and the ordering begins anew.
   * It goes from the end backwards, sum by sum. If rows are read in the order in which it meets the sums, each element of A
   * is loaded just before its products: upwards, but downwards in the stretch before the sums are stored. The jumps ask
   * two pointers in turn, since two alike would be joined. B is read before the jump, so that its address is made once a turn.
   */
  const apart = reordersCode();
  const steps = (depths: number, last: boolean): void => {
    for (let at = 0; at < depths; at++) {
      const bs = loadB(at);
      if (!apart) multiply(at, bs, false);
      else f.if(i32.eqz(i32.and(at % 2 ? a : b, i32.const(1))), () => multiply(at, bs, !last || at < depths - 1));
    }
  };
  if (tile.chunks) {
    const end = f.let(i32.add(b, place.bBytes));
    f.repeat(() => {
      steps(CHUNK, tile.rest === 0);
      f.set(a, plus(a, chunkBytes(layout)));
      f.set(b, plus(b, CHUNK * bDepth));
      return i32.ne(b, end);
    });
  }
  steps(tile.rest, true);
  if (tile.rest > 0) f.set(a, plus(a, chunkBytes(layout)));
  each((r, v) => f.store(out, sums[r]![v]!, v * VECTOR, Math.min(LANES, columns - v * LANES)), step(out));
}

/**
 * A function over tiles one below the other: (a, b, out, how many, bytes from row to row of out, bytes of B beside the whole
 * chunks of the depth, whether to accumulate).
 */
export const tileStrip = (module: ModuleBuilder, tile: Tile): FunctionRef =>
  module.function(
    `tiles ${tile.layout.rows}×${tile.columns}`,
    ["i32", "i32", "i32", "i32", "i32", "i32", "i32"],
    undefined,
    (f, a, b, out, count, outRow, bBytes, accumulate) =>
      f.count(0, count, 1, () => emitTile(f, tile, { a, b, out, outRow, bBytes, accumulate })),
  );
