import { describe, expect, it } from "vitest";
import { UserError } from "../../src/errors.js";
import type { Schedule } from "../../src/train/schedule.js";
import { cosine, exponential, oneCycle, plateau, step, warmUp } from "../../src/train/schedules.js";

const ratesOf = (schedule: Schedule, steps: number, base = 0.1, metrics: readonly number[] = []): number[] =>
  Array.from({ length: steps }, (_, t) => schedule.rate(t, base, metrics.slice(0, t)));

function expectRates(actual: readonly number[], expected: readonly number[]): void {
  expect(actual).toHaveLength(expected.length);
  for (const [t, rate] of actual.entries())
    expect(Math.abs(rate - expected[t]!), `step ${t}`).toBeLessThanOrEqual(1e-15);
}

const metrics = [1, 0.9, 0.8995, 0.89, 0.89, 0.89, 0.88991, 0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.9, 0.4, 0.4, 0.4, 0.4];

describe("schedules, beside PyTorch 1.13's figures at lr 0.1", () => {
  it("step", () => {
    expectRates(ratesOf(step({ stepSize: 2 }), 5), [0.1, 0.1, 0.01, 0.01, 0.001]);
  });

  it("exponential", () => {
    expectRates(ratesOf(exponential({ gamma: 0.5 }), 4), [0.1, 0.05, 0.025, 0.0125]);
  });

  it("one cycle, linear, in three phases", () => {
    const schedule = oneCycle({ maximum: 1, totalSteps: 12, pctStart: 0.25, anneal: "linear", threePhase: true });
    expectRates(
      ratesOf(schedule, 12),
      [
        0.04, 0.52, 1.0, 0.52, 0.040000000000000036, 0.034286285714285714, 0.02857257142857143, 0.022858857142857143,
        0.01714514285714286, 0.011431428571428568, 0.005717714285714284, 3.9999999999970615e-6,
      ],
    );
  });

  it("one cycle, cosine, with other divisors", () => {
    const schedule = oneCycle({ maximum: 1, totalSteps: 8, pctStart: 0.5, divFactor: 10, finalDivFactor: 4 });
    expectRates(
      ratesOf(schedule, 8),
      [
        0.09999999999999998, 0.32499999999999996, 0.7749999999999999, 1, 0.8572145558284419, 0.5125, 0.1677854441715581,
        0.025,
      ],
    );
  });

  it("one cycle that goes down only", () => {
    const expected = [0.904508879153485, 0.654509879153485, 0.3454941208465151, 0.09549512084651508, 4e-6];
    expectRates(ratesOf(oneCycle({ maximum: 1, totalSteps: 5, pctStart: 0 }), 5), expected);
  });

  it("warm-up, then exponential", () => {
    const schedule = warmUp({ steps: 5, startFactor: 0.1, after: exponential({ gamma: 0.9 }) });
    expectRates(
      ratesOf(schedule, 10, 0.2),
      [
        0.020000000000000004, 0.05600000000000001, 0.09200000000000001, 0.128, 0.164, 0.2, 0.18000000000000002,
        0.16200000000000003, 0.14580000000000004, 0.13122000000000003,
      ],
    );
  });

  it("warm-up by itself", () => {
    const expected = [0.06666666666666667, 0.1, 0.13333333333333336, 0.16666666666666669, 0.2, 0.2];
    expectRates(ratesOf(warmUp({ steps: 4 }), 6, 0.2), expected);
  });

  it("plateau with threshold, cooldown and a least rate", () => {
    const schedule = plateau({ factor: 0.5, patience: 1, threshold: 1e-2, cooldown: 2, minimum: 0.02 });
    expectRates(
      ratesOf(schedule, metrics.length, 0.1, metrics),
      [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.025, 0.025, 0.025, 0.025, 0.02, 0.02, 0.02, 0.02],
    );
  });

  it("plateau without patience", () => {
    const schedule = plateau({ factor: 0.5, patience: 0 });
    expectRates(
      ratesOf(schedule, metrics.length, 0.1, metrics),
      [
        0.1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.025, 0.025, 0.025, 0.0125, 0.00625, 0.003125, 0.0015625, 0.00078125,
        0.000390625, 0.000390625, 0.0001953125, 9.765625e-5,
      ],
    );
  });

  it("plateau makes no change smaller than epsilon", () => {
    const rates = ratesOf(plateau({ factor: 0.5, patience: 0, epsilon: 0.02 }), metrics.length, 0.1, metrics);
    expectRates(rates, [0.1, 0.1, 0.1, 0.1, 0.1, 0.05, ...new Array<number>(12).fill(0.025)]);
  });
});

it("the closed cosine follows PyTorch's recursion over 40 steps", () => {
  // CosineAnnealingLR: γ_t = (1 + cos πt/T)/(1 + cos π(t−1)/T)·(γ_{t−1} − η) + η
  const [steps, η] = [40, 0.001];
  let rate = 0.1;
  for (let t = 0; t < 40; t++) {
    if (t > 0)
      rate = ((1 + Math.cos((Math.PI * t) / steps)) / (1 + Math.cos((Math.PI * (t - 1)) / steps))) * (rate - η) + η;
    expect(Math.abs(cosine({ steps, minimum: η }).rate(t, 0.1, []) / rate - 1)).toBeLessThanOrEqual(1e-9);
  }
});

it("a cycle's top is the optimiser's own rate unless given, and its end stays", () => {
  const rates = ratesOf(oneCycle({ totalSteps: 30 }), 40);
  expect(Math.max(...rates)).toBeCloseTo(0.1, 12);
  expect(rates[0]).toBeCloseTo(0.1 / 25, 12);
  for (const rate of rates.slice(29)) expect(rate).toBeCloseTo(0.1 / 25 / 1e4, 12);
});

it("what follows a warm-up sees the metrics", () => {
  const schedule = warmUp({ steps: 2, after: plateau({ factor: 0.5, patience: 0 }) });
  expect(schedule.rate(5, 0.1, [1, 1])).toBe(0.05);
  expect(schedule.rate(1, 0.1, [1, 1])).toBeCloseTo(0.1 * (2 / 3), 15);
});

it("plateau depends on the metrics alone, and takes NaN as no improvement", () => {
  const schedule = plateau({ factor: 0.5, patience: 1 });
  expect(schedule.rate(0, 0.1, metrics)).toBe(schedule.rate(1000, 0.1, metrics));
  expect(schedule.rate(0, 0.1, [])).toBe(0.1);
  expect(schedule.rate(0, 0.1, [1, Number.NaN, Number.NaN])).toBe(0.05);
});

it.each([
  [() => step({ stepSize: 0 }), "step: stepSize must be a whole number of at least 1, not 0"],
  [() => step({ stepSize: 3, gamma: 0 }), "step: gamma must be a number above 0, not 0"],
  [() => exponential({ gamma: Number.NaN }), "exponential: gamma must be a number above 0, not NaN"],
  [() => cosine({ steps: 2.5 }), "cosine: steps must be a whole number of at least 1, not 2.5"],
  [() => cosine({ steps: 2, minimum: -1 }), "cosine: minimum must be a number of at least 0, not -1"],
  [() => oneCycle({ totalSteps: 0 }), "oneCycle: totalSteps must be"],
  [() => oneCycle({ totalSteps: 9, pctStart: 2 }), "oneCycle: pctStart must be between 0 and 1, not 2"],
  [() => oneCycle({ totalSteps: 9, divFactor: 0 }), "oneCycle: divFactor must be a number above 0, not 0"],
  [
    () => oneCycle({ totalSteps: 9, anneal: "exp" as "linear" }),
    'oneCycle: there is no anneal "exp"; there are cosine, linear',
  ],
  [() => warmUp({ steps: -1 }), "warmUp: steps must be a whole number of at least 1, not -1"],
  [() => warmUp({ steps: 1, startFactor: 2 }), "warmUp: startFactor must be between 0 and 1, not 2"],
  [() => plateau({ factor: 1 }), "plateau: factor must be at least 0 and below 1, not 1"],
  [() => plateau({ patience: -1 }), "plateau: patience must be a number of at least 0, not -1"],
])("refuses bad options: %s", (make, message) => {
  expect(make).toThrow(UserError);
  expect(make).toThrow(message);
});
