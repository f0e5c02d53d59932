/** Register tiles: the innermost code of matrix products. */
import type { FunctionBuilder, FunctionRef, ModuleBuilder } from "../../assembler/assembler.js";
import { i32, plus, v128 } from "../../assembler/instructions.js";
import { reordersCode } from "../../features.js";
import { LANES, moving, type Pointer, VECTOR, type Vector } from "../emission.js";
import { CHUNK, chunkBytes, type Layout, panelBytes, spreadRow } from "./chunks.js";

/** Depths of a turn of the innermost loop, in chunks: one, or two where there are so many turns that it is worth the code. */
const chunksOfTurn = (depth: number): number => (depth < 256 ? 1 : 2);

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
 * out tile (+)= A·B over the depth. For each depth: the vectors of B, then row after row an element of A in all lanes,
 * multiplied into that row's accumulators. 6 × 8 takes 12 accumulators, 2 vectors of B and an element of A: 15, all that
 * the compiler has. What counts is instructions for a multiply-add, since other work on the same core takes its share of them.
 */
function emitTile(f: FunctionBuilder, tile: Tile, place: Place): void {
  const { layout, columns, depth, bDepth } = tile;
  const { rows } = layout;
  const vectors = Math.ceil(columns / LANES);
  const each = (body: (row: number, vector: number) => void): void => {
    for (let r = 0; r < rows; r++) for (let v = 0; v < vectors; v++) body(r, v);
  };
  const sums = Array.from({ length: rows }, () => Array.from({ length: vectors }, () => f.local("v128")));
  // Each its own zeros: a register that held them for all would be the lowest, and sums would be moved about at every turn.
  const clear = (): void => each((r, v) => f.set(sums[r]![v]!, v128.const([0, 0, 0, 0])));
  const fetch = (): void => each((r, v) => f.set(sums[r]![v]!, v128.load(place.out, r * tile.outRow + v * VECTOR)));
  if (typeof place.accumulate !== "boolean") f.if(place.accumulate, fetch, clear);
  else if (place.accumulate) fetch();
  else clear();

  const [a, b] = [moving(f, place.a), moving(f, place.b)];
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
  const chunks = chunksOfTurn(depth);
  const turn = chunks * CHUNK;
  const turns = Math.floor(depth / turn);
  const rest = depth % turn;
  if (turns > 0) {
    const end = f.let(plus(b, turns * turn * bDepth));
    f.repeat(() => {
      steps(turn, rest === 0);
      f.set(a, plus(a, chunks * chunkBytes(layout)));
      f.set(b, plus(b, turn * bDepth));
      return i32.ne(b, end);
    });
  }
  steps(rest, true);
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
