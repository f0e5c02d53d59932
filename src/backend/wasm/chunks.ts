/**
 * The layout of a packed A: a panel holds the rows of one tile, in chunks of four depths. A chunk begins with the rows
 * that are spread by shuffles, four at a time, as a vector of four rows for each depth; then come the others, each a
 * vector along the four depths. So a tile reads it straight through, every vector aligned, and an offset is a constant.
 * Negligible numbers are written as 0. What lies behind the depth or the rows is not specified, and not read.
 */
import type { FunctionBuilder } from "./assembler.js";
import { advance, BYTES, flushed, LANES, moving, type Pointer, times, VECTOR, type Vector } from "./emission.js";
import { plus, type V128, v128 } from "./instructions.js";
import { transpose4 } from "./transpose.js";

/** How an element of A comes into all lanes: loaded with those of other rows and shuffled, or loaded by itself. */
export type Spread = "shuffle" | "load";

/** Depths of a chunk. */
export const CHUNK = 4;

/** Rows in vectors of four: three are worth a vector too. */
const shuffled = (rows: number, spread: Spread): number =>
  spread === "load" ? 0 : rows % LANES === LANES - 1 ? rows : rows - (rows % LANES);

/** Offset of the vectors of each row that is not shuffled. */
const singleOffset = (rows: number, spread: Spread, row: number): number =>
  (Math.ceil(shuffled(rows, spread) / LANES) * CHUNK + row - shuffled(rows, spread)) * VECTOR;

export const chunkBytes = (rows: number, spread: Spread): number => singleOffset(rows, spread, rows);
export const panelBytes = (rows: number, depth: number, spread: Spread): number =>
  Math.ceil(depth / CHUNK) * chunkBytes(rows, spread);

/** Elements that a row of a transposed A should give at a time: a cache line. */
const LINE = 16;

/** The elements of one depth of a chunk, each in all lanes. */
export function spreadRows(
  f: FunctionBuilder,
  rows: number,
  spread: Spread,
  chunk: Pointer,
  at: number,
): (row: number) => Vector {
  const many = shuffled(rows, spread);
  const vectors = Array.from({ length: Math.ceil(many / LANES) }, (_, i) =>
    f.let(v128.load(chunk, (i * CHUNK + at) * VECTOR)),
  );
  return (row) => {
    if (row >= many) return f.let(v128.load32Splat(chunk, singleOffset(rows, spread, row) + at * BYTES));
    const vector = vectors[Math.floor(row / LANES)]!;
    const lane = row % LANES;
    return f.let(v128.shuffle32(vector, vector, [lane, lane, lane, lane]));
  };
}

/** Where A lies: a [rows, depth] matrix, or [depth, rows] with `transposed`. */
export interface Source {
  readonly transposed: boolean;
  /** Bytes from row to row of the matrix. */
  readonly stride: number;
}

/** Packs `panels` panels one after the other; moves both pointers behind what is read and written. */
export function packChunks(
  f: FunctionBuilder,
  tile: { readonly rows: number; readonly depth: number; readonly spread: Spread },
  { transposed, stride }: Source,
  panels: number,
  source: Pointer,
  target: Pointer,
): void {
  const { rows, depth, spread } = tile;
  const many = shuffled(rows, spread);
  const vectorAt = (from: Pointer, offset: number): Vector => f.let(flushed(f, v128.load(from, offset)));
  /** Row r along the depths of a chunk, of which the last may have fewer. */
  const alongDepth = (from: Pointer, r: number, depths: number): V128 => {
    if (!transposed) return vectorAt(from, r * stride);
    let x: V128 = v128.load32Zero(from, r * BYTES);
    for (let d = 1; d < depths; d++) x = v128.load32Lane(from, x, d, d * stride + r * BYTES);
    return flushed(f, x);
  };
  const chunk = (from: Pointer, to: Pointer, depths: number): void => {
    for (let r = 0; r < many; r += LANES) {
      const columns = transposed
        ? Array.from({ length: depths }, (_, d) => vectorAt(from, d * stride + r * BYTES))
        : transpose4(
            f,
            [0, 1, 2, 3].map((i) => vectorAt(from, Math.min(r + i, rows - 1) * stride)),
          );
      for (let d = 0; d < depths; d++) f.store(to, columns[d]!, (r + d) * VECTOR);
    }
    for (let r = many; r < rows; r++) f.store(to, alongDepth(from, r, depths), singleOffset(rows, spread, r));
  };
  const bytes = panelBytes(rows, depth, spread);
  /** `together` panels side by side. */
  const pass = (together: number): void => {
    const [from, to] = [moving(f, source), moving(f, target)];
    const next = (depths: number): void => {
      for (let i = 0; i < together; i++)
        chunk(f.let(plus(from, i * rows * (transposed ? BYTES : stride))), f.let(plus(to, i * bytes)), depths);
    };
    times(f, Math.floor(depth / CHUNK), () => {
      next(CHUNK);
      advance(f, from, CHUNK * (transposed ? stride : BYTES));
      advance(f, to, chunkBytes(rows, spread));
    });
    if (depth % CHUNK > 0) next(depth % CHUNK);
    advance(f, source, together * rows * (transposed ? BYTES : stride));
    advance(f, target, together * bytes);
  };
  const together = transposed ? Math.min(panels, Math.ceil(LINE / rows)) : 1;
  times(f, Math.floor(panels / together), () => pass(together));
  if (panels % together > 0) pass(panels % together);
}
