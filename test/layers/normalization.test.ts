import { describe, expect, test } from "vitest";
import { activation } from "../../src/layers/activation.js";
import { batchNorm, layerNorm } from "../../src/layers/normalization.js";
import { sequential } from "../../src/layers/sequential.js";
import { createRng } from "../../src/parameters/rng.js";
import { apply, checkLayer, computed, computedAll, type Given, given, near, random, refused } from "./trial.js";

const starts = (parameters: ReadonlyMap<string, { initializer: (shape: number[], rng: never) => Float64Array }>) =>
  Object.fromEntries(
    [...parameters].map(([name, { initializer }]) => [name, [...initializer([3], createRng(1) as never)]]),
  );

describe("layerNorm", () => {
  test("brings each row to mean 0 and variance 1, then scales and shifts", async () => {
    const [T, N, D] = [2, 3, 5];
    const x = random("x", [T, N, D]);
    const { output, parameters } = apply(layerNorm(), x.tensor);
    expect(starts(parameters as never)).toEqual({ weight: [1, 1, 1], bias: [0, 0, 0] });
    const [weight, bias] = [parameters.get("weight")!.values, parameters.get("bias")!.values];
    const expected = x.values.map((value, i) => {
      const row = x.values.slice(D * Math.floor(i / D), D * Math.floor(i / D) + D);
      const mean = row.reduce((sum, other) => sum + other, 0) / D;
      const variance = row.reduce((sum, other) => sum + (other - mean) ** 2, 0) / D;
      return ((value - mean) / Math.sqrt(variance + 1e-5)) * weight[i % D]! + bias[i % D]!;
    });
    near(await computed(output, [x, ...parameters.values()]), expected);
  });

  test("keeps its epsilon under the root", async () => {
    const x = given("x", [1, 2], [3, 5]);
    const values = { weight: [1, 1], bias: [0, 0] };
    const { output, parameters } = apply(layerNorm({ epsilon: 3 }), x.tensor, { values });
    near(await computed(output, [x, ...parameters.values()]), [-0.5, 0.5]);
    refused(() => layerNorm({ epsilon: 0 }), "layerNorm: epsilon must be above 0, not 0");
  });

  test.each([
    [1, 3],
    [7, 2],
    [3, 65],
  ])("has the gradients that differences show: [%i, %i]", async (rows, features) => {
    await checkLayer(layerNorm(), random("x", [rows, features]));
  });
});

/** Batch norm by plain loops; `counts` says which rows count. */
function byLoops(x: readonly number[], D: number, counts: (row: number) => boolean = () => true) {
  const rows = Array.from({ length: x.length / D }, (_, r) => r).filter(counts);
  const mean = Array.from({ length: D }, (_, d) => rows.reduce((sum, r) => sum + x[r * D + d]!, 0) / rows.length);
  const squares = mean.map((m, d) => rows.reduce((sum, r) => sum + (x[r * D + d]! - m) ** 2, 0));
  return {
    mean,
    biased: squares.map((sum) => sum / rows.length),
    unbiased: squares.map((sum) => sum / (rows.length - 1)),
  };
}

const normal = (x: Given, D: number, mean: number[], variance: number[], weight: number[], bias: number[]) =>
  x.values.map(
    (value, i) => ((value - mean[i % D]!) / Math.sqrt(variance[i % D]! + 1e-5)) * weight[i % D]! + bias[i % D]!,
  );

describe("batchNorm", () => {
  const D = 3;
  const statistics = { running_mean: [0.2, -0.3, 0.1], running_var: [0.5, 1.5, 2.5] };

  test("in training uses the batch's statistics and moves the running ones, the variance unbiased", async () => {
    for (const shape of [
      [7, D],
      [3, 5, D],
    ]) {
      const x = random("x", shape);
      const trial = apply(batchNorm(), x.tensor, { values: statistics });
      expect(starts(trial.parameters as never)).toEqual({ weight: [1, 1, 1], bias: [0, 0, 0] });
      expect(starts(trial.statistics as never)).toEqual({ running_mean: [0, 0, 0], running_var: [1, 1, 1] });
      const { mean, biased, unbiased } = byLoops(x.values, D);
      const found = await computedAll(
        { y: trial.output, mean: trial.updates.get("running_mean")!, variance: trial.updates.get("running_var")! },
        [x, ...trial.parameters.values(), ...trial.statistics.values()],
      );
      const [weight, bias] = [trial.parameters.get("weight")!.values, trial.parameters.get("bias")!.values];
      near(found.y, normal(x, D, mean, biased, weight, bias));
      near(
        found.mean,
        mean.map((value, d) => 0.9 * statistics.running_mean[d]! + 0.1 * value),
      );
      near(
        found.variance,
        unbiased.map((value, d) => 0.9 * statistics.running_var[d]! + 0.1 * value),
      );
    }
  });

  test("moves the running statistics by its momentum", async () => {
    const x = random("x", [4, D]);
    const trial = apply(batchNorm({ momentum: 1 }), x.tensor, { values: statistics });
    const all = [x, ...trial.parameters.values(), ...trial.statistics.values()];
    near(await computed(trial.updates.get("running_var")!, all), byLoops(x.values, D).unbiased);
  });

  test("otherwise uses the running statistics and leaves them alone", async () => {
    const x = random("x", [1, D]);
    const trial = apply(batchNorm(), x.tensor, { training: false, values: statistics });
    expect(trial.updates.size).toBe(0);
    const [weight, bias] = [trial.parameters.get("weight")!.values, trial.parameters.get("bias")!.values];
    near(
      await computed(trial.output, [x, ...trial.parameters.values(), ...trial.statistics.values()]),
      normal(x, D, statistics.running_mean, statistics.running_var, weight, bias),
    );
  });

  test("leaves out rows past a sequence's end", async () => {
    const [T, N] = [4, 2];
    const valid = [1, 1, 1, 1, 1, 0, 1, 0];
    const mask = given("mask", [T, N, 1], valid);
    const x = random("x", [T, N, D]);
    const trial = apply(batchNorm(), x.tensor, { mask: mask.tensor, values: statistics });
    const { mean, biased, unbiased } = byLoops(x.values, D, (row) => valid[row] === 1);
    const found = await computedAll({ y: trial.output, variance: trial.updates.get("running_var")! }, [
      x,
      mask,
      ...trial.parameters.values(),
      ...trial.statistics.values(),
    ]);
    const [weight, bias] = [trial.parameters.get("weight")!.values, trial.parameters.get("bias")!.values];
    near(found.y, normal(x, D, mean, biased, weight, bias));
    near(
      found.variance,
      unbiased.map((value, d) => 0.9 * statistics.running_var[d]! + 0.1 * value),
    );
    await checkLayer(batchNorm(), x, { mask: mask.tensor, rest: [mask] });
  });

  test.each([[[3, 1]], [[7, 3]], [[3, 2, 5]], [[2, 65]]])(
    "has the gradients that differences show, through the statistics: %j",
    async (shape) => {
      await checkLayer(batchNorm({ epsilon: 0.1 }), random("x", shape));
      const values = Object.fromEntries(
        ["running_mean", "running_var"].map((name, k) => [
          name,
          Array.from({ length: shape.at(-1)! }, (_, i) => k + 0.3 * Math.cos(i)),
        ]),
      );
      await checkLayer(batchNorm(), random("x", shape), { training: false, values });
      await checkLayer(sequential(batchNorm(), activation("tanh"), batchNorm()), random("x", [5, 3]));
    },
  );

  test("refuses what does not fit, in a sentence", () => {
    refused(() => batchNorm({ momentum: 0 }), "batchNorm: the momentum must be above 0 and at most 1, not 0");
    refused(() => batchNorm({ epsilon: -1 }), "batchNorm: epsilon must be above 0, not -1");
    refused(
      () => apply(batchNorm(), random("x", [1, 4]).tensor),
      "batchNorm: training needs at least 2 rows to have a variance; [1, 4] has 1",
    );
  });
});
