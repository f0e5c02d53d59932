/** Hundreds of random steps: unrolled and written out, values and gradients are the same. */
import { describe, expect, it } from "vitest";
import { constant, tanh } from "../../src/graph/language.js";
import { sameShape } from "../../src/graph/shape.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { createRng } from "../../src/parameters/rng.js";
import { grow, oneOf } from "./grow.js";
import { compare, type Network } from "./twin.js";

function randomNetwork(seed: number): Network {
  const rng = createRng(`network ${seed}`);
  const T = oneOf(rng, [1, 2, 3, 5]);
  const N = oneOf(rng, [1, 2, 3]);
  const [D, H] = [oneOf(rng, [1, 2, 3]), oneOf(rng, [1, 3, 4])];
  return {
    inputs: { x: { shape: [T, N, D] }, y: { shape: [T, N, H] }, id: { shape: [T, N, 1], classes: 3 } },
    states: { h: { shape: [N, H] }, c: { shape: [N, H] }, d: { shape: [N, D] } },
    shared: { w: { shape: [H, D] }, u: { shape: [H, H] }, b: { shape: [H] }, m: { shape: [N, 1] }, s: { shape: [1] } },
    reverse: rng.uniform() < 0.5,
    step(at, state, shared) {
      const draw = createRng(`step ${seed}`);
      const pool: Tensor[] = [...Object.values(at), ...Object.values(state), ...Object.values(shared)];
      grow(pool, draw, { count: 12 });
      const floats = pool.filter(({ type }) => type === "float");
      const next = (key: string): Tensor => {
        const fitting = floats.filter(({ shape }) => sameShape(shape, state[key]!.shape));
        const chosen = oneOf(draw, fitting.slice(-4));
        return draw.uniform() < 0.5 ? chosen : tanh(chosen.add(state[key]!.mul(0.5)));
      };
      const following = { h: next("h"), c: next("c"), d: next("d") };
      const outputs = Object.fromEntries(
        Array.from({ length: 3 }, (_, i) => [`o${i}`, oneOf(draw, floats.slice(-8)).add(constant(0.1))]),
      );
      return { state: following, outputs: { ...outputs, raw: oneOf(draw, floats.slice(-8)) } };
    },
  };
}

describe("random steps", () => {
  const seeds = Array.from({ length: 300 }, (_, i) => i);
  for (let first = 0; first < seeds.length; first += 50)
    it(`${first} to ${first + 49}`, async () => {
      for (const seed of seeds.slice(first, first + 50)) {
        let result: Awaited<ReturnType<typeof compare>>;
        try {
          result = await compare(randomNetwork(seed), { seed, numeric: false });
        } catch (error) {
          throw new Error(`network ${seed}: ${(error as Error).message}`, { cause: error });
        }
        expect(result.twin, `network ${seed}: ${result.worst}`).toBeLessThan(1e-10);
      }
    }, 60_000);
});
