/** Seeded random numbers on the host: initial weights, data order, sampling. The generator is seedrandom's Alea. */
/// <reference path="./alea.d.ts" />
import type { State } from "seedrandom";
import alea from "seedrandom/lib/alea.js";

/** A seeded generator: one seed, the same numbers. */
export interface Rng {
  /** Uniform in [0, 1). */
  uniform(): number;
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

/** A generator from a seed, or from the state that another one had. */
export function createRng(seed: number | string | RngState): Rng {
  const from = typeof seed === "object" ? seed : undefined;
  const next = from ? alea("", { state: from.alea as State.Alea }) : alea(String(seed), { state: true });
  let spare = from?.spare ?? null;
  return {
    uniform: next,
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
