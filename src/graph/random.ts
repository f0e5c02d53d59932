/**
 * The counter-based generator behind dropout: a number depends on (key, counter) alone, so forward and backward, every
 * backend and every thread draw the same mask without storing it.
 *
 * The mix is the 32-bit finaliser "lowbias32" of C. Wellons (Prospecting for Hash Functions, 2018), applied twice;
 * all arithmetic is unsigned 32-bit, which JavaScript, WebAssembly and WGSL share.
 */
export function mix(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** The key of one node in one step: `seed` is the step's scalar, `key` the node's own number. */
export const randomKey = (seed: number, key: number): number => mix((seed ^ mix(key)) >>> 0);

/** A uniform number in [0, 1) with 24 bits: mix(mix(counter) ^ key) / 2²⁴ after dropping 8 bits. */
export const randomUniform = (key: number, counter: number): number =>
  (mix((mix(counter >>> 0) ^ key) >>> 0) >>> 8) / 16777216;
