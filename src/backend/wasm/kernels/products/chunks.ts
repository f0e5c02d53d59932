/**
 * The layout of a packed A: a panel holds the rows of one tile, in chunks of four depths, so that a tile reads it straight
 * through and all offsets are constants. Within a chunk the order is the source's. Negligible numbers are written as 0.
 * What lies behind the depth is not specified, and not read.
 */
import type { FunctionBuilder } from "../../assembler/assembler.js";
import { plus, v128 } from "../../assembler/instructions.js";
import { advance, BYTES, flushed, LANES, moving, type Pointer, times, VECTOR, type Vector } from "../emission.js";

export interface Layout {
  /** Rows of a tile. */
  readonly rows: number;
  /** Whether the source is a [depth, rows] matrix in place of [rows, depth]. */
  readonly transposed: boolean;
}

/** Depths of a chunk. */
export const CHUNK = 4;

/** Offsets in a chunk: of a row, and from one depth to the next. */
const rowOffset = ({ transposed }: Layout, row: number): number => row * (transposed ? BYTES : VECTOR);
const depthStep = ({ transposed, rows }: Layout): number => (transposed ? rows * BYTES : BYTES);

export const chunkBytes = ({ rows }: Layout): number => rows * VECTOR;
export const panelBytes = (layout: Layout, depth: number): number => Math.ceil(depth / CHUNK) * chunkBytes(layout);

/** The elements of one depth, counted from the chunk's first, each in all lanes. */
export function spreadRow(f: FunctionBuilder, layout: Layout, chunk: Pointer, at: number): (row: number) => Vector {
  const offset = Math.floor(at / CHUNK) * chunkBytes(layout) + (at % CHUNK) * depthStep(layout);
  // V8 folds no offset of such a load into its address: so there is a pointer for each depth, and the row's offset, the
  // load's own, is added to the memory's address outside of the loop.
  const place = offset === 0 ? chunk : f.let(plus(chunk, offset));
  return (row) => f.let(v128.load32Splat(place, rowOffset(layout, row)));
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
  const chunk = (from: Pointer, to: Pointer, depths: number): void => {
    const lines = transposed ? depths : rows;
    const count = transposed ? rows : depths;
    for (let line = 0; line < lines; line++)
      for (let i = 0; i < count; i += LANES) {
        const x = f.let(flushed(f, v128.load(from, line * stride + i * BYTES)));
        const offset = transposed ? line * depthStep(layout) : rowOffset(layout, line);
        f.store(to, x, offset + i * BYTES, transposed ? Math.min(LANES, count - i) : LANES);
      }
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
