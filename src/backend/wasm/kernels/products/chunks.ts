/**
 * The layout of a packed A: a panel holds the rows of one tile, in chunks of four depths, so that a tile reads it straight
 * through and all offsets are constants. Negligible numbers are written as 0. What lies behind the depth is not specified,
 * and not read.
 *
 * Where elements are spread by shuffles a chunk begins with four rows at a time as a vector for each depth; then come the
 * others, each a vector along the four depths. Where they are spread by loads any order will do: the source's.
 */
import type { FunctionBuilder } from "../../assembler/assembler.js";
import { plus, type V128, v128 } from "../../assembler/instructions.js";
import { advance, BYTES, flushed, LANES, moving, type Pointer, times, VECTOR, type Vector } from "../emission.js";
import { transpose4 } from "../transpose.js";

/** How an element of A comes into all lanes: loaded with those of other rows and shuffled, or loaded by itself. */
export type Spread = "shuffle" | "load";

export interface Layout {
  /** Rows of a tile. */
  readonly rows: number;
  readonly spread: Spread;
  /** Whether the source is a [depth, rows] matrix in place of [rows, depth]. */
  readonly transposed: boolean;
}

/** Depths of a chunk. */
export const CHUNK = 4;

/** Rows in vectors of four: three are worth a vector too. */
const shuffled = ({ rows, spread }: Layout): number =>
  spread === "load" ? 0 : rows % LANES === LANES - 1 ? rows : rows - (rows % LANES);

/** Offset of the element of a row that is not shuffled. */
function elementOffset(layout: Layout, row: number, at: number): number {
  const many = shuffled(layout);
  if (layout.spread === "load" && layout.transposed) return (at * layout.rows + row) * BYTES;
  return (Math.ceil(many / LANES) * CHUNK + row - many) * VECTOR + at * BYTES;
}

export const chunkBytes = (layout: Layout): number =>
  layout.spread === "load" ? layout.rows * VECTOR : elementOffset(layout, layout.rows, 0);
export const panelBytes = (layout: Layout, depth: number): number => Math.ceil(depth / CHUNK) * chunkBytes(layout);

/** The elements of one depth of a chunk, each in all lanes. */
export function spreadRows(f: FunctionBuilder, layout: Layout, chunk: Pointer, at: number): (row: number) => Vector {
  const many = shuffled(layout);
  const vectors = Array.from({ length: Math.ceil(many / LANES) }, (_, i) =>
    f.let(v128.load(chunk, (i * CHUNK + at) * VECTOR)),
  );
  return (row) => {
    // The offset is added to the pointer: as the load's own, Node 24 would add it to the memory's address, and keep that
    // sum for a tile elsewhere in the function, on the stack (products of 34 GFLOP/s in place of 50).
    if (row >= many) return f.let(v128.load32Splat(plus(chunk, elementOffset(layout, row, at))));
    const vector = vectors[Math.floor(row / LANES)]!;
    const lane = row % LANES;
    return f.let(v128.shuffle32(vector, vector, [lane, lane, lane, lane]));
  };
}

/** Packs `panels` panels one after the other; moves both pointers behind what is read and written. `stride` is in bytes. */
export function packChunks(
  f: FunctionBuilder,
  layout: Layout,
  { depth, stride, panels }: { readonly depth: number; readonly stride: number; readonly panels: number },
  source: Pointer,
  target: Pointer,
): void {
  const { rows, transposed } = layout;
  const many = shuffled(layout);
  const vectorAt = (from: Pointer, offset: number): Vector => f.let(flushed(f, v128.load(from, offset)));
  /** Four rows, a vector for each depth. */
  const square = (from: Pointer, r: number, depths: number): Vector[] =>
    transposed
      ? Array.from({ length: depths }, (_, d) => vectorAt(from, d * stride + r * BYTES))
      : transpose4(
          f,
          [0, 1, 2, 3].map((i) => vectorAt(from, Math.min(r + i, rows - 1) * stride)),
        );
  /** A row along the depths. */
  const line = (from: Pointer, r: number, depths: number): V128 => {
    if (!transposed) return vectorAt(from, r * stride);
    let x: V128 = v128.load32Zero(from, r * BYTES);
    for (let d = 1; d < depths; d++) x = v128.load32Lane(from, x, d, d * stride + r * BYTES);
    return flushed(f, x);
  };
  const chunk = (from: Pointer, to: Pointer, depths: number): void => {
    if (layout.spread === "load" && transposed) {
      for (let d = 0; d < depths; d++)
        for (let r = 0; r < rows; r += LANES)
          f.store(to, vectorAt(from, d * stride + r * BYTES), elementOffset(layout, r, d), Math.min(LANES, rows - r));
      return;
    }
    for (let r = 0; r < many; r += LANES) {
      const vectors = square(from, r, depths);
      for (let d = 0; d < depths; d++) f.store(to, vectors[d]!, (r + d) * VECTOR);
    }
    for (let r = many; r < rows; r++) f.store(to, line(from, r, depths), elementOffset(layout, r, 0));
  };

  const rowBytes = rows * (transposed ? BYTES : stride);
  const depthBytes = CHUNK * (transposed ? stride : BYTES);
  /** Runs over the depths in chunks. */
  const alongDepth = (from: Pointer, to: Pointer, body: (depths: number) => void): void => {
    times(f, Math.floor(depth / CHUNK), () => {
      body(CHUNK);
      advance(f, from, depthBytes);
      advance(f, to, chunkBytes(layout));
    });
    if (depth % CHUNK > 0) body(depth % CHUNK);
  };
  const bytes = panelBytes(layout, depth);
  if (transposed) {
    // Along the source's rows, so that the machine fetches ahead.
    const [from, to] = [moving(f, source), moving(f, target)];
    alongDepth(from, to, (depths) => {
      const [x, y] = [moving(f, from), moving(f, to)];
      times(f, panels, () => {
        chunk(x, y, depths);
        advance(f, x, rowBytes);
        advance(f, y, bytes);
      });
    });
    advance(f, source, panels * rowBytes);
    advance(f, target, panels * bytes);
    return;
  }
  times(f, panels, () => {
    const [from, to] = [moving(f, source), moving(f, target)];
    alongDepth(from, to, (depths) => chunk(from, to, depths));
    advance(f, source, rowBytes);
    advance(f, target, bytes);
  });
}
