/**
 * Packing: a matrix copied into panels, so that a product reads it in the order in which it lies. A panel holds `width`
 * lanes for each depth, [panel][depth][width]; the lanes past the edge are 0.
 */
import type { FunctionBuilder } from "./assembler.js";
import { advance, BYTES, keepLanes, LANES, moving, type Pointer, times, VECTOR } from "./emission.js";
import { type I32, v128 } from "./instructions.js";
import { transpose4 } from "./tiles.js";

export interface Packing {
  /** Lanes of a panel, 4 or 8. */
  readonly width: number;
  /** Lanes in all: the columns of B, or the rows of A. */
  readonly lanes: number;
  /** Bytes between rows of the source. */
  readonly stride: number;
  /** Whether a source row runs along the depth (a [lanes, depth] matrix) or along the lanes ([depth, lanes]). */
  readonly alongDepth: boolean;
  /** Depth a panel has room for. */
  readonly capacity: number;
}

export const panelBytes = (packing: Packing): number => packing.capacity * packing.width * BYTES;
export const packedBytes = (packing: Packing): number => Math.ceil(packing.lanes / packing.width) * panelBytes(packing);

/** Packs `depth` depths from `source` on. */
export function emitPack(f: FunctionBuilder, packing: Packing, source: Pointer, target: Pointer, depth: number): void {
  if (packing.alongDepth) packAlongDepth(f, packing, source, target, depth);
  else packAlongLanes(f, packing, source, target, depth);
}

/** A cache line (16 lanes) of each source row at a time, spread over its panels. */
function packAlongLanes(f: FunctionBuilder, packing: Packing, source: Pointer, target: Pointer, depth: number): void {
  const { width, lanes, stride } = packing;
  const from = moving(f, source);
  const to = moving(f, target);
  const LINE = 16;
  const strip = (count: number): void => {
    const padded = Math.ceil(count / width) * width;
    const [row, place] = [moving(f, from), moving(f, to)];
    times(f, depth, () => {
      for (let lane = 0; lane < padded; lane += LANES) {
        const valid = Math.max(0, Math.min(LANES, count - lane));
        const x = valid === 0 ? f.constant(0) : keepLanes(f, v128.load(row, lane * BYTES), valid, f.constant(0));
        f.store(place, x, Math.floor(lane / width) * panelBytes(packing) + (lane % width) * BYTES);
      }
      advance(f, row, stride);
      advance(f, place, width * BYTES);
    });
    advance(f, from, LINE * BYTES);
    advance(f, to, (LINE / width) * panelBytes(packing));
  };
  times(f, Math.floor(lanes / LINE), () => strip(LINE));
  if (lanes % LINE > 0) strip(lanes % LINE);
}

/** Blocks of 4 lanes × 4 depths through registers. */
function packAlongDepth(f: FunctionBuilder, packing: Packing, source: Pointer, target: Pointer, depth: number): void {
  const { width, lanes, stride } = packing;
  const from = moving(f, source);
  const to = moving(f, target);
  const block = (row: I32, place: I32, count: number, depths: number): void => {
    for (let lane = 0; lane < width; lane += LANES) {
      const lines = [0, 1, 2, 3].map((i) => (lane + i < count ? f.let(v128.load(row, (lane + i) * stride)) : f.constant(0)));
      const columns = transpose4(f, lines);
      for (let d = 0; d < depths; d++) f.store(place, columns[d]!, d * width * BYTES + lane * BYTES);
    }
  };
  const panel = (count: number): void => {
    const [row, place] = [moving(f, from), moving(f, to)];
    times(f, Math.floor(depth / LANES), () => {
      block(row, place, count, LANES);
      advance(f, row, VECTOR);
      advance(f, place, LANES * width * BYTES);
    });
    if (depth % LANES > 0) block(row, place, count, depth % LANES);
    advance(f, from, width * stride);
    advance(f, to, panelBytes(packing));
  };
  times(f, Math.floor(lanes / width), () => panel(width));
  if (lanes % width > 0) panel(lanes % width);
}
