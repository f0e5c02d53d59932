import { checkOptions, UserError } from "../errors.js";
import type { SamplingOptions } from "../train/drawing.js";
import { checkWhole, show } from "./check.js";

export type { SamplingOptions } from "../train/drawing.js";

/** Draws ids from logits. Holds its own scratch: a draw allocates nothing. */
export interface Sampler {
  /** V: how many logits a draw reads. */
  readonly size: number;
  /**
   * Draws one id from `logits[offset .. offset + V)`; among equals the lower id counts as likelier.
   * `uniform` gives a number in [0, 1); it is asked once a draw, and not at all at temperature 0.
   */
  draw(logits: ArrayLike<number>, uniform: () => number, offset?: number): number;
}

/** A sampler over `size` ids. Throws a UserError on options out of range. */
export function createSampler(size: number, options: SamplingOptions = {}): Sampler {
  const { temperature = 1, topK, topP } = options;
  checkOptions("createSampler", options, "temperature topK topP");
  checkWhole("The number of logits", size);
  if (!(temperature >= 0 && temperature < Infinity)) {
    throw new UserError(`The temperature must be a number of at least 0, but is ${show(temperature)}.`);
  }
  if (topK !== undefined) {
    checkWhole("top-k", topK);
  }
  if (topP !== undefined && !(topP > 0 && topP <= 1)) {
    throw new UserError(`top-p must be above 0 and at most 1, but is ${show(topP)}.`);
  }
  const weights = new Float64Array(size);
  const heap = new Int32Array(size);
  const limit = Math.min(topK ?? size, size);
  const share = topP ?? 1;

  return {
    size,
    draw(logits, uniform, offset = 0) {
      const best = argmax(logits, offset, size);
      if (temperature === 0) {
        return best;
      }
      // Shifted by the largest logit, so that no exponential overflows and the sum is at least 1.
      const largest = logits[offset + best] as number;
      let total = 0;
      for (let id = 0; id < size; id++) {
        const weight = Math.exp(((logits[offset + id] as number) - largest) / temperature);
        weights[id] = weight;
        total += weight;
      }
      const u = uniform();
      if (!(u >= 0 && u < 1)) {
        throw new UserError(`A uniform random number must be in [0, 1), but is ${show(u)}.`);
      }
      if (limit === size && share === 1) {
        return walk(weights, u * total, best);
      }
      const kept = keepLikeliest(weights, heap, limit, share, total);
      return walkKept(weights, heap, kept, u);
    },
  };
}

/** The first id of the largest logit. Throws a UserError where no distribution can be made of the logits. */
function argmax(logits: ArrayLike<number>, offset: number, size: number): number {
  if (logits.length < offset + size) {
    throw new UserError(`Sampling reads ${size} logits from ${offset}, but there are ${logits.length}.`);
  }
  let best = 0;
  let largest = -Infinity;
  for (let id = 0; id < size; id++) {
    const logit = logits[offset + id] as number;
    if (Number.isNaN(logit) || logit === Infinity) {
      throw new UserError(`Nothing can be sampled: the logit of id ${id} is ${logit}.`);
    }
    if (logit > largest) {
      largest = logit;
      best = id;
    }
  }
  if (largest === -Infinity) {
    throw new UserError("Nothing can be sampled: every logit is -Infinity.");
  }
  return best;
}

/** The id at which the running sum of weights passes `threshold`. */
function walk(weights: Float64Array, threshold: number, fallback: number): number {
  let sum = 0;
  for (let id = 0; id < weights.length; id++) {
    sum += weights[id] as number;
    if (sum > threshold) {
      return id;
    }
  }
  return fallback;
}

/**
 * Moves the likeliest ids, likeliest first, to the end of `heap` until `limit` are kept or their share reaches
 * `share`. Returns how many: they stand at `heap[size - 1]`, `heap[size - 2]`, …
 */
function keepLikeliest(weights: Float64Array, heap: Int32Array, limit: number, share: number, all: number): number {
  const size = heap.length;
  for (let i = 0; i < size; i++) {
    heap[i] = i;
  }
  for (let i = (size >> 1) - 1; i >= 0; i--) {
    siftDown(weights, heap, i, size);
  }
  let kept = 0;
  let sum = 0;
  // Without top-k the share is of all; with it, of the K alone, whose sum is known once they are out.
  while (kept < limit && (limit < size || sum < share * all)) {
    const end = size - 1 - kept;
    const top = heap[0] as number;
    heap[0] = heap[end] as number;
    heap[end] = top;
    siftDown(weights, heap, 0, end);
    sum += weights[top] as number;
    kept++;
  }
  if (limit === size || share === 1) {
    return kept;
  }
  let reached = 0;
  for (let k = 0; k < kept; k++) {
    reached += weights[heap[size - 1 - k] as number] as number;
    if (reached >= share * sum) {
      return k + 1;
    }
  }
  return kept;
}

function walkKept(weights: Float64Array, heap: Int32Array, kept: number, u: number): number {
  const last = heap.length - 1;
  let total = 0;
  for (let k = 0; k < kept; k++) {
    total += weights[heap[last - k] as number] as number;
  }
  let sum = 0;
  for (let k = 0; k < kept; k++) {
    const id = heap[last - k] as number;
    sum += weights[id] as number;
    if (sum > u * total) {
      return id;
    }
  }
  return heap[last] as number;
}

function siftDown(weights: Float64Array, heap: Int32Array, from: number, size: number): void {
  let parent = from;
  for (;;) {
    const left = 2 * parent + 1;
    if (left >= size) {
      return;
    }
    const right = left + 1;
    const child = right < size && likelier(weights, heap[right] as number, heap[left] as number) ? right : left;
    const a = heap[parent] as number;
    const b = heap[child] as number;
    if (!likelier(weights, b, a)) {
      return;
    }
    heap[parent] = b;
    heap[child] = a;
    parent = child;
  }
}

function likelier(weights: Float64Array, a: number, b: number): boolean {
  const difference = (weights[a] as number) - (weights[b] as number);
  return difference > 0 || (difference === 0 && a < b);
}
