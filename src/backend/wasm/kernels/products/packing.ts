/**
 * Packing of B: copied into panels, so that a product reads it in the order in which it lies. A panel holds `width` lanes,
 * columns of B, for each depth, [panel][depth][width]; the lanes past the edge are 0, and so are negligible numbers.
 */
import type { FunctionBuilder } from "../../assembler/assembler.js";
import { type I32, type V128, v128 } from "../../assembler/instructions.js";
import { advance, BYTES, flushed, keepLanes, LANES, moving, type Pointer, times, VECTOR } from "../emission.js";
import { transpose4 } from "../transpose.js";

export interface Packing {
  /** Lanes of a panel, whole vectors. */
  readonly width: number;
  /** Lanes in all. */
  readonly lanes: number;
  /** Bytes between rows of the source. */
  readonly stride: number;
  /** Whether a source row runs along the depth (a [lanes, depth] matrix) or along the lanes ([depth, lanes]). */
  readonly alongDepth: boolean;
  /** Depth a panel has room for. */
  readonly capacity: number;
}

/** Lanes that a row of the source should at least give at a time, where they lie side by side in it: a cache line. */
const LINE = 16;

export const panelBytes = (packing: Packing): number => packing.capacity * packing.width * BYTES;
export const packedBytes = (packing: Packing): number => Math.ceil(packing.lanes / packing.width) * panelBytes(packing);

/** Packs `depth` depths from `source` on. */
export function emitPack(f: FunctionBuilder, packing: Packing, source: Pointer, target: Pointer, depth: number): void {
  const { width, lanes, stride, alongDepth } = packing;
  const from = moving(f, source);
  const to = moving(f, target);
  /** Four lanes from `lane` on, of the `count` that are left: of four depths where rows run along them, else of one. */
  const vectors = (row: I32, lane: number, count: number): readonly V128[] => {
    const load = (offset: number) => f.let(flushed(f, v128.load(row, offset)));
    if (!alongDepth)
      return lane < count
        ? [keepLanes(f, load(lane * BYTES), Math.min(LANES, count - lane), f.constant(0))]
        : [f.constant(0)];
    // Blocks of 4 lanes × 4 depths through registers.
    return transpose4(
      f,
      [0, 1, 2, 3].map((i) => (lane + i < count ? load((lane + i) * stride) : f.constant(0))),
    );
  };
  const step = alongDepth ? LANES : 1;
  const greatest = alongDepth ? width : Math.ceil(LINE / width) * width;
  const strip = (count: number): void => {
    const [row, place] = [moving(f, from), moving(f, to)];
    const panels = Math.ceil(count / width);
    const block = (depths: number): void => {
      for (let lane = 0; lane < panels * width; lane += LANES) {
        const columns = vectors(row, lane, count);
        const offset = Math.floor(lane / width) * panelBytes(packing) + (lane % width) * BYTES;
        for (let d = 0; d < depths; d++) f.store(place, columns[d]!, offset + d * width * BYTES);
      }
    };
    times(f, Math.floor(depth / step), () => {
      block(step);
      advance(f, row, alongDepth ? VECTOR : stride);
      advance(f, place, step * width * BYTES);
    });
    if (depth % step > 0) block(depth % step);
    advance(f, from, count * (alongDepth ? stride : BYTES));
    advance(f, to, panels * panelBytes(packing));
  };
  times(f, Math.floor(lanes / greatest), () => strip(greatest));
  if (lanes % greatest > 0) strip(lanes % greatest);
}
