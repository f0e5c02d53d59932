/** Register tiles: the innermost code of matrix products. */
import type { FunctionBuilder, FunctionRef, ModuleBuilder } from "../../assembler/assembler.js";
import { type I32, i32, plus, v128 } from "../../assembler/instructions.js";
import { LANES, moving, type Pointer, VECTOR } from "../emission.js";
import { CHUNK, chunkBytes, type Layout, panelBytes, spreadRows } from "./chunks.js";

/** A tile of out: `rows` rows by `columns` columns, held in rows × ⌈columns/4⌉ accumulators. */
export interface Tile {
  /** How A lies (`chunks.ts`). */
  readonly layout: Layout;
  readonly columns: number;
  readonly depth: number;
  /** Byte step through B from one depth to the next, and the offset of each of its vectors. */
  readonly bDepth: number;
  readonly bVector: (vector: number) => number;
  /** Byte step through out from row to row. */
  readonly outRow: number;
}

interface Place {
  readonly a: Pointer;
  readonly b: Pointer;
  readonly out: Pointer;
  /** Whether the accumulators begin with what out holds; a local decides at run time. */
  readonly accumulate: boolean | Pointer;
}

/**
 * out tile (+)= A·B over the depth. For each depth: the vectors of B, then each row's element of A, multiplied into
 * that row's accumulators. 5 × 8 takes 10 accumulators, 2 vectors of B, a vector and a broadcast of A and one for the
 * shuffle: 15, all that the compiler has. Ten independent sums hide the four cycles of a multiply-add, two a cycle.
 */
function emitTile(f: FunctionBuilder, tile: Tile, place: Place): void {
  const { layout, columns, depth, bDepth } = tile;
  const { rows, spread } = layout;
  const vectors = Math.ceil(columns / LANES);
  const each = (body: (row: number, vector: number) => void): void => {
    for (let r = 0; r < rows; r++) for (let v = 0; v < vectors; v++) body(r, v);
  };
  const sums = Array.from({ length: rows }, () => Array.from({ length: vectors }, () => f.local("v128")));
  const clear = (): void => each((r, v) => f.set(sums[r]![v]!, f.constant(0)));
  const fetch = (): void => each((r, v) => f.set(sums[r]![v]!, v128.load(place.out, r * tile.outRow + v * VECTOR)));
  if (typeof place.accumulate !== "boolean") f.if(place.accumulate, fetch, clear);
  else if (place.accumulate) fetch();
  else clear();

  const [a, b] = [moving(f, place.a), moving(f, place.b)];
  const step = (at: number): void => {
    const bs = Array.from({ length: vectors }, (_, v) => f.let(v128.load(b, at * bDepth + tile.bVector(v))));
    const element = spreadRows(f, layout, a, at);
    for (let r = 0; r < rows; r++) {
      const x = element(r);
      for (let v = 0; v < vectors; v++) f.set(sums[r]![v]!, f.madd(x, bs[v]!, sums[r]![v]!));
    }
  };
  /**
   * Between depths a jump out of the loop that is never taken, since pointers are multiples of 4: within a stretch
   * without jumps Node 20's compiler puts all loads first, and four depths are too many for the registers (58 % of the
   * peak in place of 98 %). Where every load is a broadcast two registers wide this does not happen.
   */
  const parts = (leaveIf: (condition: I32) => void): void => {
    const never = [i32.and(b, i32.const(1)), i32.and(b, i32.const(2)), i32.and(a, i32.const(1))];
    for (let at = 0; at < CHUNK; at++) {
      step(at);
      if (spread === "shuffle" && at < never.length) leaveIf(never[at]!);
    }
  };
  const chunks = Math.floor(depth / CHUNK);
  if (chunks > 0) {
    const end = f.let(plus(b, chunks * CHUNK * bDepth));
    f.repeat((leaveIf) => {
      parts(leaveIf);
      f.set(a, plus(a, chunkBytes(layout)));
      f.set(b, plus(b, CHUNK * bDepth));
      return i32.ne(b, end);
    });
  }
  for (let at = 0; at < depth % CHUNK; at++) step(at);
  each((r, v) => f.store(place.out, sums[r]![v]!, r * tile.outRow + v * VECTOR, Math.min(LANES, columns - v * LANES)));
}

/**
 * A function over tiles one below the other: (a, b, out, how many, and whether to accumulate where that is undecided).
 * Loops that are alike in several places, edges and blocks are then compiled once.
 */
export function tileStrip(module: ModuleBuilder, tile: Tile, accumulate: boolean | "given"): FunctionRef {
  const body = (f: FunctionBuilder, a: Pointer, b: Pointer, out: Pointer, count: Pointer, given?: Pointer): void =>
    f.count(0, count, 1, () => {
      emitTile(f, tile, { a, b, out, accumulate: given ?? accumulate === true });
      f.set(a, plus(a, panelBytes(tile.layout, tile.depth)));
      f.set(out, plus(out, tile.layout.rows * tile.outRow));
    });
  const name = `tiles ${tile.layout.rows}×${tile.columns}`;
  return accumulate === "given"
    ? module.function(name, ["i32", "i32", "i32", "i32", "i32"], undefined, body)
    : module.function(name, ["i32", "i32", "i32", "i32"], undefined, body);
}
