import { describe, expect, test } from "vitest";
import { sumAll } from "../../src/graph/language.js";
import { gradients } from "../../src/graph/sweep.js";
import { dense } from "../../src/layers/dense.js";
import { embedding, oneHotEncoding } from "../../src/layers/embedding.js";
import { sequential } from "../../src/layers/sequential.js";
import { constantOf } from "../../src/parameters/initializers.js";
import { createRng } from "../../src/parameters/rng.js";
import { apply, checkLayer, computed, given, near, random, refused } from "./trial.js";

const [T, N, V, D] = [3, 2, 5, 3];
/** Class 4 twice, class 2 never. */
const ids = given("ids", [T, N, 1], [4, 0, 3, 4, 1, 0], "index");

describe("embedding", () => {
  test("looks up rows of weight [V, D]", async () => {
    const { output, parameters } = apply(embedding(V, D), ids.tensor);
    expect(output.shape).toEqual([T, N, D]);
    expect([...parameters.keys()]).toEqual(["weight"]);
    const weight = parameters.get("weight")!;
    expect(weight.variable.shape).toEqual([V, D]);
    near(
      await computed(output, [ids, weight]),
      ids.values.flatMap((id) => weight.values.slice(id * D, (id + 1) * D)),
      0,
    );
  });

  test("sums the gradients of a row that is used twice, and leaves unused rows alone", async () => {
    const { output, parameters } = apply(embedding(V, D), ids.tensor);
    const dy = random("dy", [T, N, D]);
    const [slope] = gradients(sumAll(output.mul(dy.tensor)), [parameters.get("weight")!.tensor]);
    const expected = new Array<number>(V * D).fill(0);
    ids.values.forEach((id, row) => {
      for (let d = 0; d < D; d++) expected[id * D + d]! += dy.values[row * D + d]!;
    });
    near(await computed(slope!, [ids, dy, ...parameters.values()]), expected);
    await checkLayer(embedding(V, D), ids);
  });

  test("gives zeros for an index outside", async () => {
    const outside = given("ids", [3, 1], [-1, 1, V], "index");
    const { output, parameters } = apply(embedding(V, 2), outside.tensor);
    const { values } = parameters.get("weight")!;
    near(await computed(output, [outside, ...parameters.values()]), [0, 0, values[2]!, values[3]!, 0, 0], 0);
  });

  test("starts as PyTorch's Embedding, N(0, 1), or as told", () => {
    const start = (layer = embedding(200, 50)) => {
      const { initializer, variable } = apply(layer, ids.tensor).parameters.get("weight")!;
      return initializer(variable.shape, createRng(5));
    };
    const values = start();
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    expect(Math.abs(mean)).toBeLessThan(0.04);
    expect(Math.abs(variance - 1)).toBeLessThan(0.06);
    expect(new Set(start(embedding(4, 3, { initializer: constantOf(7) })))).toEqual(new Set([7]));
  });

  test("refuses what does not fit, in a sentence", () => {
    refused(() => embedding(0, 3), "embedding: the number of indices must be a whole number of at least 1, not 0");
    refused(() => embedding(3, Number.NaN), "embedding: the number of features must be a whole number");
    refused(
      () => apply(embedding(V, D), random("x", [3, 2]).tensor),
      "embedding: wants indices [N, 1] or [T, N, 1], one a row, not numbers [3, 2]",
    );
  });
});

describe("oneHotEncoding", () => {
  test("gives a row of zeros with a one, zeros alone for an index outside", async () => {
    const outside = given("ids", [4, 1], [2, 0, -1, 3], "index");
    const { output, parameters } = apply(oneHotEncoding(3), outside.tensor);
    expect(output.shape).toEqual([4, 3]);
    expect(parameters.size).toBe(0);
    near(await computed(output, [outside]), [0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0], 0);
  });

  test("before a dense layer picks the columns of its weight", async () => {
    const model = sequential(oneHotEncoding(V), dense(D));
    const { output, parameters } = apply(model, ids.tensor);
    expect(output.shape).toEqual([T, N, D]);
    const [weight, bias] = [parameters.get("1.weight")!.values, parameters.get("1.bias")!.values];
    near(
      await computed(output, [ids, ...parameters.values()]),
      ids.values.flatMap((id) => bias.map((b, d) => weight[d * V + id]! + b)),
    );
    await checkLayer(model, ids);
  });

  test("refuses what does not fit, in a sentence", () => {
    refused(() => oneHotEncoding(-1), "oneHotEncoding: the number of classes must be a whole number of at least 1");
    refused(() => apply(oneHotEncoding(3), random("x", [3, 1]).tensor), "oneHotEncoding: wants indices");
  });
});
