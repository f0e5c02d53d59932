/** How a product is cut up: tiles of rows, panels of columns, blocks of rows and of the depth. */

import { BYTES } from "../emission.js";

export interface TileShape {
  readonly rows: number;
  readonly columns: number;
}

interface Tile extends TileShape {
  readonly cost: number;
}

export interface Tuning {
  /** Columns of a panel of B where there are 1, 2 or 3 rows in all; they are one tile. */
  readonly fewRows: readonly number[];
  /** Columns of a panel of B otherwise. */
  readonly panel: number;
  /**
   * Tiles for the rest, tallest and best first, each with the time it takes per column in terms of a row of the best. At
   * most one of several panels' width is used, for the last one or two rows.
   */
  readonly tiles: readonly Tile[];
}

/** Tiles of 6 rows to 1, a panel wide; of 2 rows two panels, of 1 row three. */
const tuning = (panel: number, fewRows: readonly number[], costs: readonly number[]): Tuning => ({
  panel,
  fewRows,
  tiles: costs.map((cost, i) => ({ rows: 6 - i, columns: panel * Math.max(1, i - 2), cost })),
});

/** Measured on Node 20 and 24: `test/backend/wasm/bench.ts`. */
export const tuning128 = tuning(8, [28, 16, 12], [6, 5.05, 4.4, 3.9, 2.25, 1.5]);

/** For V8's 256-bit revectorisation, which makes one instruction of two on neighbouring vectors: Node 24. */
export const tuning256 = tuning(16, [48, 32, 24], [6, 5.4, 4.7, 4.6, 2.4, 3.2]);

/** Greatest depth of a block, and greatest size in bytes of a block of A. */
const BLOCK = { depth: 512, bytes: 24576 };
/** Of a transposed A, whose rows lie across: a deep block touches many pages. */
const TRANSPOSED_BLOCK = { depth: 64, bytes: 131072 };

/** A total in `count` parts of `size` and a rest: even parts where some divisor is at least half of the greatest size. */
export function split(total: number, greatest: number): { size: number; count: number; rest: number } {
  if (total <= greatest) return { size: total, count: 1, rest: 0 };
  for (let size = greatest; 2 * size >= greatest; size--)
    if (total % size === 0) return { size, count: total / size, rest: 0 };
  const size = Math.ceil(total / Math.ceil(total / greatest));
  return { size, count: Math.floor(total / size), rest: total % size };
}

/** Tiles one below the other. */
export interface Tiles extends TileShape {
  readonly count: number;
}

/** So many rows in tiles: the last one, and how those before it are cut. */
interface Way {
  readonly cost: number;
  readonly tile?: Tile;
  readonly before?: Way;
}

/** The tiles that take the least time for m rows; of many rows, most are of the best height and come first. */
export function tilesOf(m: number, tuning: Tuning): Tiles[] {
  const few = tuning.fewRows[m - 1];
  if (few) return [{ rows: m, columns: few, count: 1 }];
  const best = tuning.tiles[0]!;
  const bulk = Math.max(0, Math.floor(m / best.rows) - best.rows);
  const rest = m - bulk * best.rows;
  /** How 0, 1, … rows are best cut. */
  const ways: Way[] = [{ cost: 0 }];
  for (let rows = 1; rows <= rest; rows++)
    for (const tile of tuning.tiles) {
      const before = ways[rows - tile.rows];
      if (!before || (tile.columns > tuning.panel && rows < rest)) continue;
      const cost = before.cost + tile.cost;
      if (cost < (ways[rows]?.cost ?? Infinity)) ways[rows] = { cost, tile, before };
    }
  const used: Tile[] = [];
  for (let way = ways[rest]; way?.tile; way = way.before) used.push(way.tile);
  return tuning.tiles.flatMap((tile) => {
    const count = used.filter((other) => other === tile).length + (tile === best ? bulk : 0);
    return count > 0 ? [{ rows: tile.rows, columns: tile.columns, count }] : [];
  });
}

/** Blocks of rows that are packed together: `count` blocks, each of these tiles. */
export interface RowBlocks {
  readonly count: number;
  readonly tiles: readonly Tiles[];
}

export const rowsOf = (tiles: readonly Tiles[]): number =>
  tiles.reduce((sum, { rows, count }) => sum + rows * count, 0);

/** Blocks of about `rows` rows; the tiles of other heights than the first come with the last. */
function rowBlocks(tiles: readonly Tiles[], rows: number): RowBlocks[] {
  const [first, ...others] = tiles as [Tiles, ...Tiles[]];
  const { size, count, rest } = split(first.count, Math.max(1, Math.floor(rows / first.rows)));
  const block = (tilesOfFirst: number): Tiles => ({ ...first, count: tilesOfFirst });
  if (rest === 0 && others.length === 0) return [{ count, tiles: [block(size)] }];
  const whole = rest > 0 ? count : count - 1;
  const last = { count: 1, tiles: [block(rest > 0 ? rest : size), ...others] };
  return whole > 0 ? [{ count: whole, tiles: [block(size)] }, last] : [last];
}

/** From here on out does not stay in the second-level cache from one block of the depth to the next. */
const LARGE_OUT = 2 ** 20;
/** Up to here all of A is one block, so that a large B passes by once. */
const SMALL_A = 2 ** 17;
const SHALLOW = 16;
/** Of a shallow product out should stay in the cache from panel to panel (8000 × 384 of depth 2: twice as fast). */
const SHALLOW_OUT = 2 ** 16;

export interface Blocking {
  readonly depths: ReturnType<typeof split>;
  readonly blocks: readonly RowBlocks[];
}

/** Blocks of the depth, and of the rows in each. */
export function blocking(m: number, n: number, k: number, transposedA: boolean, tuning: Tuning): Blocking {
  const limits = transposedA ? TRANSPOSED_BLOCK : BLOCK;
  const depths = split(k, m * n * BYTES < LARGE_OUT ? limits.depth : BLOCK.depth);
  const bytes = depths.size * BYTES;
  let rows = m;
  if (depths.size <= SHALLOW) rows = Math.floor(SHALLOW_OUT / (n * BYTES));
  else if (m * bytes > SMALL_A) rows = Math.floor(limits.bytes / bytes);
  return { depths, blocks: rowBlocks(tilesOf(m, tuning), rows) };
}
