import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createSampler, type SamplingOptions } from "../../src/data/sampling.js";
import { refused } from "./refused.js";

const never = () => {
  throw new Error("asked for a random number");
};

/** Shares drawn from evenly spaced uniforms: the distribution to within 1 / points for each id. */
function shares(logits: number[], options: SamplingOptions, points = 20_000): number[] {
  const sampler = createSampler(logits.length, options);
  const counts = logits.map(() => 0);
  for (let i = 0; i < points; i++) {
    const id = sampler.draw(logits, () => (i + 0.5) / points);
    counts[id] = (counts[id] as number) + 1;
  }
  return counts.map((number) => number / points);
}
function expectShares(actual: number[], expected: number[]) {
  expect(actual.length).toBe(expected.length);
  actual.forEach((share, id) => {
    expect(Math.abs(share - (expected[id] as number)), `id ${id}: ${share}`).toBeLessThan(2e-4);
  });
}
const logitsOf = (...probabilities: number[]) => probabilities.map(Math.log);

describe("sampling", () => {
  test("draws with the softmax's probabilities", () => {
    expectShares(shares(logitsOf(0.5, 0.125, 0.3, 0.075), {}), [0.5, 0.125, 0.3, 0.075]);
    expectShares(shares([3, 3, 3, 3], {}), [0.25, 0.25, 0.25, 0.25]);
  });

  test("divides the logits by the temperature", () => {
    // At temperature 1/2 probabilities are squared and normalised: .6² .3² .1² → 36 9 1 of 46.
    expectShares(shares(logitsOf(0.6, 0.3, 0.1), { temperature: 0.5 }), [36 / 46, 9 / 46, 1 / 46]);
    // At temperature 2 their roots are: √.64 √.32 √.04.
    const roots = [0.8, Math.sqrt(0.32), 0.2];
    const sum = roots.reduce((a, b) => a + b);
    expectShares(
      shares(logitsOf(0.64, 0.32, 0.04), { temperature: 2 }),
      roots.map((root) => root / sum),
    );
    expectShares(shares([1, 5, 2], { temperature: 1e-300 }), [0, 1, 0]);
    expectShares(shares([1, 5, 2], { temperature: 1e300 }), [1 / 3, 1 / 3, 1 / 3]);
  });

  test("temperature 0 is the argmax, without a random number; the first of equals", () => {
    const sampler = createSampler(4, { temperature: 0, topK: 3, topP: 0.9 });
    expect(sampler.draw([1, 4, 2, 4], never)).toBe(1);
    expect(sampler.draw([-5, -9, -3, -Infinity], never)).toBe(2);
  });

  test("top-k keeps the k likeliest", () => {
    const logits = logitsOf(0.1, 0.4, 0.2, 0.3);
    expectShares(shares(logits, { topK: 2 }), [0, 4 / 7, 0, 3 / 7]);
    expectShares(shares(logits, { topK: 1 }), [0, 1, 0, 0]);
    expectShares(shares(logits, { topK: 99 }), [0.1, 0.4, 0.2, 0.3]);
    expectShares(shares([2, 2, 2, 2], { topK: 3 }), [1 / 3, 1 / 3, 1 / 3, 0]);
  });

  test("top-p keeps the fewest that reach p, the one that crosses it included", () => {
    const logits = logitsOf(0.1, 0.4, 0.2, 0.3);
    expectShares(shares(logits, { topP: 0.65 }), [0, 4 / 7, 0, 3 / 7]);
    expectShares(shares(logits, { topP: 0.75 }), [0, 4 / 9, 2 / 9, 3 / 9]);
    expectShares(shares(logits, { topP: 1e-9 }), [0, 1, 0, 0]);
    expectShares(shares(logits, { topP: 1 }), [0.1, 0.4, 0.2, 0.3]);
  });

  test("top-p with top-k is of those k", () => {
    const logits = logitsOf(0.1, 0.4, 0.2, 0.3);
    // Of the 3 likeliest (4/9, 3/9, 2/9) two reach 0.75.
    expectShares(shares(logits, { topK: 3, topP: 0.75 }), [0, 4 / 7, 0, 3 / 7]);
    expectShares(shares(logits, { topK: 3, topP: 0.8 }), [0, 4 / 9, 2 / 9, 3 / 9]);
    expectShares(shares(logits, { topK: 2, topP: 1 }), [0, 4 / 7, 0, 3 / 7]);
  });

  test("top-p after the temperature", () => {
    // Squared: 36/46 ≥ 0.7 alone, though 0.6 < 0.7.
    expectShares(shares(logitsOf(0.6, 0.3, 0.1), { temperature: 0.5, topP: 0.7 }), [1, 0, 0]);
    expectShares(shares(logitsOf(0.6, 0.3, 0.1), { topP: 0.7 }), [2 / 3, 1 / 3, 0]);
  });

  test("huge, tiny and -Infinity logits overflow nothing", () => {
    expectShares(shares([1e30, 1e30, -1e30], {}), [0.5, 0.5, 0]);
    expectShares(shares([-1e30, -1e30], { topK: 2, topP: 0.9 }), [0.5, 0.5]);
    expectShares(shares([-Infinity, 1, -Infinity, 1], {}), [0, 0.5, 0, 0.5]);
    expectShares(shares([-Infinity, 1, -Infinity, 1], { topK: 3 }), [0, 0.5, 0, 0.5]);
  });

  test("agrees with sorting, for any logits and options", () => {
    const logits = fc.array(fc.integer({ min: -8, max: 8 }), { minLength: 1, maxLength: 12 });
    const options = fc.record({
      temperature: fc.constantFrom(0.5, 1, 2),
      topK: fc.option(fc.integer({ min: 1, max: 13 }), { nil: undefined }),
      topP: fc.option(fc.double({ min: 0.05, max: 1, noNaN: true }), { nil: undefined }),
    });
    fc.assert(
      fc.property(logits, options, (values, { temperature, topK, topP }) => {
        const largest = Math.max(...values);
        let kept = values
          .map((logit, id) => ({ id, weight: Math.exp((logit - largest) / temperature) }))
          .sort((a, b) => b.weight - a.weight || a.id - b.id)
          .slice(0, topK);
        const total = kept.reduce((sum, { weight }) => sum + weight, 0);
        let before = 0;
        const cut = kept.filter(({ weight }) => {
          const keep = before < (topP ?? 1) * total * (1 - 1e-12);
          before += weight;
          return keep;
        });
        kept = cut;
        const norm = kept.reduce((sum, { weight }) => sum + weight, 0);
        const expected = values.map((_, id) => (kept.find((entry) => entry.id === id)?.weight ?? 0) / norm);
        const points = 500;
        shares(values, { temperature, topK, topP }, points).forEach((share, id) => {
          expect(Math.abs(share - (expected[id] as number))).toBeLessThanOrEqual(1 / points + 1e-9);
        });
      }),
    );
  });

  test("reads at an offset, from float32 too", () => {
    const sampler = createSampler(2, { temperature: 0 });
    const logits = Float32Array.of(9, 8, 1, 2, 5, 3);
    expect([0, 2, 4].map((offset) => sampler.draw(logits, never, offset))).toEqual([0, 1, 0]);
    refused(() => sampler.draw(logits, never, 5), "reads 2 logits from 5, but there are 6");
  });

  test("refuses options out of range, logits without a distribution, and a number that is not uniform", () => {
    refused(() => createSampler(0), "The number of logits must be a whole number of at least 1, but is 0.");
    for (const temperature of [-1, Number.NaN, Infinity]) {
      refused(
        () => createSampler(3, { temperature }),
        `The temperature must be a number of at least 0, but is ${temperature}`,
      );
    }
    for (const topK of [0, 1.5, -2, Number.NaN]) {
      refused(() => createSampler(3, { topK }), `top-k must be a whole number of at least 1, but is ${topK}.`);
    }
    for (const topP of [0, 1.01, -0.5, Number.NaN]) {
      refused(() => createSampler(3, { topP }), `top-p must be above 0 and at most 1, but is ${topP}.`);
    }
    const sampler = createSampler(2);
    refused(() => sampler.draw([0, Number.NaN], Math.random), "the logit of id 1 is NaN");
    refused(() => sampler.draw([Infinity, 0], Math.random), "the logit of id 0 is Infinity");
    refused(() => sampler.draw([-Infinity, -Infinity], Math.random), "every logit is -Infinity");
    refused(() => sampler.draw([0, 0], () => 1), "must be in [0, 1), but is 1");
  });
});
