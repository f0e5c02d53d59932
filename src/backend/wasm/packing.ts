/**
 * Packing: a matrix copied into panels, so that a product reads it in the order in which it lies. A panel holds `width`
 * lanes for each depth, [panel][depth][width]; the lanes past the edge are 0, and so are negligible numbers. The lanes are
 * the columns of B or the rows of A.
 */
import type { FunctionBuilder } from "./assembler.js";
import { advance, BYTES, flushed, keepLanes, LANES, moving, type Pointer, times, VECTOR } from "./emission.js";
import { type I32, v128 } from "./instructions.js";
import { transpose4 } from "./tiles.js";

export interface Packing {
  /** Lanes of a panel. */
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

/** Lanes that one row of the source should at least give at a time: a cache line. */
const LINE = 16;

export const panelBytes = (packing: Packing): number => packing.capacity * packing.width * BYTES;
export const packedBytes = (packing: Packing): number => Math.ceil(packing.lanes / packing.width) * panelBytes(packing);

/** Packs `depth` depths from `source` on. */
export function emitPack(f: FunctionBuilder, packing: Packing, source: Pointer, target: Pointer, depth: number): void {
  if (packing.alongDepth) packAlongDepth(f, packing, source, target, depth);
  else packAlongLanes(f, packing, source, target, depth);
}

/** Calls `body` for the lanes of a panel in vectors: the first lane and the number of lanes of each. */
function forVectors(width: number, body: (lane: number, count: number) => void): void {
  for (let lane = 0; lane < width; lane += LANES) body(lane, Math.min(LANES, width - lane));
}

/** A few panels of each source row at a time. */
function packAlongLanes(f: FunctionBuilder, packing: Packing, source: Pointer, target: Pointer, depth: number): void {
  const { width, lanes, stride } = packing;
  const from = moving(f, source);
  const to = moving(f, target);
  const strip = (panels: number, count: number): void => {
    const [row, place] = [moving(f, from), moving(f, to)];
    times(f, depth, () => {
      for (let panel = 0; panel < panels; panel++) {
        forVectors(width, (lane, size) => {
          const first = panel * width + lane;
          const valid = Math.max(0, Math.min(LANES, count - first));
          const x =
            valid === 0 ? f.constant(0) : keepLanes(f, flushed(f, v128.load(row, first * BYTES)), valid, f.constant(0));
          f.store(place, x, panel * panelBytes(packing) + lane * BYTES, size);
        });
      }
      advance(f, row, stride);
      advance(f, place, width * BYTES);
    });
    advance(f, from, panels * width * BYTES);
    advance(f, to, panels * panelBytes(packing));
  };
  const panels = Math.ceil(LINE / width);
  const whole = Math.floor(lanes / (panels * width));
  const rest = lanes - whole * panels * width;
  times(f, whole, () => strip(panels, panels * width));
  if (rest > 0) strip(Math.ceil(rest / width), rest);
}

/** Blocks of 4 lanes × 4 depths through registers. */
function packAlongDepth(f: FunctionBuilder, packing: Packing, source: Pointer, target: Pointer, depth: number): void {
  const { width, lanes, stride } = packing;
  const from = moving(f, source);
  const to = moving(f, target);
  const block = (row: I32, place: I32, count: number, depths: number): void => {
    const line = (lane: number) => (lane < count ? f.let(flushed(f, v128.load(row, lane * stride))) : f.constant(0));
    forVectors(width, (lane, size) => {
      const offset = (d: number): number => (d * width + lane) * BYTES;
      if (width === 1) return f.store(place, line(0), 0, depths);
      if (size === 1) {
        const x = line(lane);
        for (let d = 0; d < depths; d++) f.storeLane(place, x, d, offset(d));
        return;
      }
      const columns = transpose4(
        f,
        [0, 1, 2, 3].map((i) => line(i < size ? lane + i : count)),
      );
      for (let d = 0; d < depths; d++) f.store(place, columns[d]!, offset(d), size);
    });
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
