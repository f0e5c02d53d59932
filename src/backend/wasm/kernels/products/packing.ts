/**
 * Packing of B: copied into panels, so that a product reads it in the order in which it lies. A panel holds `width` lanes,
 * columns of B, for each depth, [panel][depth][width]; the lanes past the edge are 0, and so are negligible numbers.
 */
import type { FunctionBuilder } from "../../assembler/assembler.js";
import { type I32, v128 } from "../../assembler/instructions.js";
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

/** Lanes that one row of the source should at least give at a time: a cache line. */
const LINE = 16;

export const panelBytes = (packing: Packing): number => packing.capacity * packing.width * BYTES;
export const packedBytes = (packing: Packing): number => Math.ceil(packing.lanes / packing.width) * panelBytes(packing);

/** Packs `depth` depths from `source` on. */
export function emitPack(f: FunctionBuilder, packing: Packing, source: Pointer, target: Pointer, depth: number): void {
  if (packing.alongDepth) packAlongDepth(f, packing, source, target, depth);
  else packAlongLanes(f, packing, source, target, depth);
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
        for (let lane = 0; lane < width; lane += LANES) {
          const first = panel * width + lane;
          const valid = Math.max(0, Math.min(LANES, count - first));
          const x =
            valid === 0 ? f.constant(0) : keepLanes(f, flushed(f, v128.load(row, first * BYTES)), valid, f.constant(0));
          f.store(place, x, panel * panelBytes(packing) + lane * BYTES);
        }
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
    for (let lane = 0; lane < width; lane += LANES) {
      const columns = transpose4(
        f,
        [0, 1, 2, 3].map((i) => line(lane + i)),
      );
      for (let d = 0; d < depths; d++) f.store(place, columns[d]!, (d * width + lane) * BYTES);
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
