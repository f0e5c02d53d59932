import { describe, expect, test } from "vitest";
import { dense } from "../../src/layers/dense.js";
import { dropout } from "../../src/layers/dropout.js";
import { sequential } from "../../src/layers/sequential.js";
import { apply, checkLayer, computed, given, random, refused } from "./trial.js";

const [N, D] = [65, 31];
const ones = given("x", [N, D], new Array<number>(N * D).fill(1));
const seedOf = (seed: number) => given("seed", [1], [seed], "index");

/** What a dropout of `layer` makes of ones in a step of this seed. */
async function masked(layer = dropout(0.25), seed = 1): Promise<number[]> {
  const at = seedOf(seed);
  return computed(apply(layer, ones.tensor, { seed: at.tensor }).output, [ones, at]);
}

describe("dropout", () => {
  test("zeroes elements with its probability and scales the others", async () => {
    for (const rate of [0.1, 0.25, 0.7]) {
      const found = await masked(dropout(rate));
      const zeros = found.filter((value) => value === 0).length;
      // Five standard deviations of a binomial count.
      const spread = 5 * Math.sqrt(found.length * rate * (1 - rate));
      expect(Math.abs(zeros - rate * found.length)).toBeLessThan(spread);
      for (const value of found) if (value !== 0) expect(value).toBeCloseTo(1 / (1 - rate), 12);
    }
  });

  test("draws by step and by place: the same again, another for another seed or another layer", async () => {
    const first = await masked();
    expect(await masked()).toEqual(first);
    const agreement = (other: number[]): number =>
      other.filter((value, i) => (value === 0) === (first[i] === 0)).length / other.length;
    // Independent masks agree in 0.75² + 0.25² of places.
    expect(Math.abs(agreement(await masked(dropout(0.25), 2)) - 0.625)).toBeLessThan(0.06);
    const twice = await masked(sequential(dropout(0.25), dropout(0.25)));
    const zeros = twice.filter((value) => value === 0).length / twice.length;
    expect(Math.abs(zeros - (1 - 0.75 ** 2))).toBeLessThan(0.06);
  });

  test("is nothing outside training, or at rate 0", () => {
    expect(apply(dropout(0.5), ones.tensor, { training: false }).output).toBe(ones.tensor);
    expect(apply(dropout(0), ones.tensor).output).toBe(ones.tensor);
  });

  test("has the gradient that differences show", async () => {
    const seed = seedOf(9);
    await checkLayer(dropout(0.4), random("x", [3, 5, 7]), { seed: seed.tensor, rest: [seed] });
    const model = sequential(dense(7, { activation: "tanh" }), dropout(0.4), dense(3));
    await checkLayer(model, random("x", [5, 3]), { seed: seed.tensor, rest: [seed] });
  });

  test("refuses a rate that is none", () => {
    for (const rate of [1, -0.1, Number.NaN])
      refused(() => dropout(rate), `dropout: the rate must be at least 0 and below 1, not ${rate}`);
  });
});
