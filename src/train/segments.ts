/**
 * A window cut into segments, so that what the backward pass needs is recomputed instead of kept (gradient checkpointing, Chen et
 * al. 2016: Training deep nets with sublinear memory cost; for recurrent networks Gruslys et al. 2016).
 *
 * T steps of the window, S of a segment. The forward pass keeps the states between segments alone; the backward pass goes from the
 * last segment to the first, and runs each forward again from the state kept at its start. Memory for S steps and T/S states
 * instead of T steps, for one more forward pass: least where S is about √T.
 */
import { cuts, type Window } from "./programs.js";

export interface Segment {
  /** The first step. */
  readonly start: number;
  readonly size: number;
  /** Whether the losses of its steps count. */
  readonly counts: boolean;
  /** Whether the gradient reaches it. */
  readonly reached: boolean;
  /** Whether the next window starts where it ends. */
  readonly carries: boolean;
}

/** Segments of at most `longest` steps, as even as they can be, so that few lengths occur; they do not cross a border of the window. */
export function segmentsOf(steps: number, longest: number, window: Window | undefined): Segment[] {
  const pieces = window ? cuts(steps, window) : [{ start: 0, size: steps, counts: true, carries: true }];
  const reachedFrom = window ? steps - Math.min(steps, window.through) : 0;
  return pieces.flatMap((piece) => {
    const size = Math.ceil(piece.size / Math.ceil(piece.size / longest));
    const end = piece.start + piece.size;
    return Array.from({ length: Math.ceil(piece.size / size) }, (_, i): Segment => {
      const start = piece.start + i * size;
      const last = start + size >= end;
      return {
        start,
        size: last ? end - start : size,
        counts: piece.counts,
        reached: piece.start >= reachedFrom,
        carries: last && piece.carries,
      };
    });
  });
}
