/** Seeded random numbers on the host: initial weights, data order, sampling. The generator is seedrandom's Alea. */
/// <reference path="./alea.d.ts" />
import type { State } from "seedrandom";
import alea from "seedrandom/lib/alea.js";

/** A seeded generator: one seed, the same numbers. */
export interface Rng {
  /** Uniform in [0, 1). */
  uniform(): number;
  /** `count` numbers, uniform in [−bound, bound); those that as many calls of `uniform` give. */
  uniforms(count: number, bound: number): Float64Array;
  /** Normal with mean 0 and variance 1 (Box & Muller 1958). */
  normal(): number;
  /** A whole number in 0 … 2³²−1. */
  integer(): number;
  /** The generator's state, for a checkpoint. */
  state(): RngState;
}

/** JSON; give it back to `createRng` to go on where it stood. */
export interface RngState {
  readonly alea: object;
  readonly spare: number | null;
}

/** Numbers drawn in one call: few, so that the engine soon has seen a call from beginning to end, and can optimise all of it. */
const BLOCK = 256;

/** Fills `numbers`, uniform in [−bound, bound): Alea's own recurrence, without a call for each number. */
function draw(state: State.Alea, numbers: Float64Array, bound: number): void {
  let { s0, s1, s2, c } = state;
  for (let i = 0; i < numbers.length; i++) {
    const t = 2091639 * s0 + c * 2 ** -32;
    s0 = s1;
    s1 = s2;
    c = t | 0;
    s2 = t - c;
    numbers[i] = (2 * s2 - 1) * bound;
  }
  state.s0 = s0;
  state.s1 = s1;
  state.s2 = s2;
  state.c = c;
}

/** A generator from a seed, or from the state that another one had. */
export function createRng(seed: number | string | RngState): Rng {
  const from = typeof seed === "object" ? seed : undefined;
  let next = from ? alea("", { state: from.alea as State.Alea }) : alea(String(seed), { state: true });
  let spare = from?.spare ?? null;
  return {
    uniform: () => next(),
    uniforms(count, bound) {
      const numbers = new Float64Array(count);
      const state = next.state();
      for (let i = 0; i < count; i += BLOCK) draw(state, numbers.subarray(i, i + BLOCK), bound);
      next = alea("", { state });
      return numbers;
    },
    normal() {
      if (spare !== null) {
        const value = spare;
        spare = null;
        return value;
      }
      const radius = Math.sqrt(-2 * Math.log(1 - next()));
      const angle = 2 * Math.PI * next();
      spare = radius * Math.sin(angle);
      return radius * Math.cos(angle);
    },
    integer: () => Math.floor(next() * 4294967296),
    state: () => ({ alea: next.state(), spare }),
  };
}
