import { describe, expect, test } from "vitest";
import { current, type Tensor } from "../../src/graph/language.js";
import { gradients } from "../../src/graph/sweep.js";
import { variable } from "../../src/graph/variable.js";
import { type Activation, activation } from "../../src/layers/activation.js";
import { dense } from "../../src/layers/dense.js";
import { sequential } from "../../src/layers/sequential.js";
import { constantOf } from "../../src/parameters/initializers.js";
import { createRng } from "../../src/parameters/rng.js";
import { halfMse } from "../../src/train/losses.js";
import { apply, checkLayer, computed, computedAll, given, near, numbers, random, refused } from "./trial.js";

describe("dense", () => {
  test("multiplies by weight [out, in] and adds bias", async () => {
    const x = given("x", [2, 3], [1, 2, 3, -1, 0, 0.5]);
    const values = { weight: [1, 0, -1, 2, 1, 0.5], bias: [10, -4] };
    const { output, parameters } = apply(dense(2), x.tensor, { values });
    expect(output.shape).toEqual([2, 2]);
    expect(
      [...parameters].map(
        ([
          name,
          {
            variable: { shape },
          },
        ]) => [name, shape],
      ),
    ).toEqual([
      ["weight", [2, 3]],
      ["bias", [2]],
    ]);
    near(await computed(output, [x, ...parameters.values()]), [8, 1.5, 8.5, -5.75]);
  });

  test("treats every step of a sequence alike", async () => {
    const [T, N, D, H] = [3, 5, 7, 2];
    const x = random("x", [T, N, D]);
    const { output, parameters } = apply(dense(H), x.tensor);
    expect(output.shape).toEqual([T, N, H]);
    const [w, b] = [parameters.get("weight")!.values, parameters.get("bias")!.values];
    const expected = Array.from({ length: T * N * H }, (_, i) => {
      const [row, h] = [Math.floor(i / H), i % H];
      return w.slice(h * D, (h + 1) * D).reduce((sum, weight, d) => sum + weight * x.values[row * D + d]!, b[h]!);
    });
    near(await computed(output, [x, ...parameters.values()]), expected);
  });

  test("has no bias where told so", () => {
    const { parameters } = apply(dense(2, { bias: false }), random("x", [3, 3]).tensor);
    expect([...parameters.keys()]).toEqual(["weight"]);
  });

  test("starts as PyTorch's Linear, U(±1/√in), or as told", () => {
    const x = random("x", [1, 16]).tensor;
    const started = (layer = dense(300)): number[][] =>
      [...apply(layer, x).parameters.values()].map(({ initializer, variable: { shape } }) =>
        Array.from(initializer(shape, createRng(3))),
      );
    for (const values of started()) {
      const largest = Math.max(...values.map(Math.abs));
      expect(largest).toBeLessThanOrEqual(0.25);
      expect(largest).toBeGreaterThan(0.24);
      expect(Math.abs(values.reduce((sum, value) => sum + value, 0) / values.length)).toBeLessThan(0.03);
    }
    const [weight, bias] = started(dense(300, { initializer: constantOf(2), biasInitializer: constantOf(3) }));
    expect(new Set(weight)).toEqual(new Set([2]));
    expect(new Set(bias)).toEqual(new Set([3]));
  });

  const sizes = [
    [1, 1, 1],
    [7, 3, 5],
    [3, 7, 65],
  ] as const;
  test.each(sizes)("has the gradients that differences show: %i rows, %i to %i features", async (rows, from, to) => {
    await checkLayer(dense(to), random("x", [rows, from]));
  });

  test("has them over a sequence too", async () => {
    await checkLayer(dense(5, { activation: "tanh" }), random("x", [3, 2, 7]));
  });

  test("refuses what does not fit, in a sentence", () => {
    refused(() => dense(2.5), "dense: units must be a whole number of at least 1, not 2.5");
    refused(
      () => apply(dense(2), current(variable("ids", [3, 1], "index"))),
      "dense: wants numbers, not indices [3, 1]",
    );
    refused(
      () => apply(dense(2), current(variable("x", [3]))),
      "dense: wants rows [N, D] or sequences [T, N, D], not [3]",
    );
    refused(
      () => dense(2, { activation: "sine" as "tanh" }),
      'dense: there is no activation "sine"; there are identity, relu',
    );
    refused(() => dense(2, { activation: "toString" as "tanh" }), 'dense: there is no activation "toString"');
  });
});

describe("activation", () => {
  const sigma = (x: number): number => 1 / (1 + Math.exp(-x));
  // Φ by Simpson's rule over its density.
  const normal = (x: number): number => {
    const steps = 2000;
    let sum = 0;
    for (let i = 0; i <= steps; i++)
      sum += (i === 0 || i === steps ? 1 : i % 2 ? 4 : 2) * Math.exp(-(((x * i) / steps) ** 2) / 2);
    return 0.5 + (sum * x) / (3 * steps) / Math.sqrt(2 * Math.PI);
  };
  const functions: [Activation & string, (x: number) => number][] = [
    ["identity", (x) => x],
    ["relu", (x) => (x > 0 ? x : 0)],
    ["leakyRelu", (x) => (x > 0 ? x : 0.01 * x)],
    ["elu", (x) => (x > 0 ? x : Math.exp(x) - 1)],
    ["gelu", (x) => x * normal(x)],
    ["silu", (x) => x * sigma(x)],
    ["sigmoid", sigma],
    ["tanh", (x) => 1 - 2 / (Math.exp(2 * x) + 1)],
    ["softplus", (x) => Math.log(1 + Math.exp(x))],
  ];
  /** Away from 0, where relu has a kink. */
  const points = numbers(21).map((x) => x + Math.sign(x) * 0.1);

  test.each(functions)("%s is its formula, with the gradient that differences show", async (name, f) => {
    const x = given("x", [7, 3], points);
    near(await computed(apply(activation(name), x.tensor).output, [x]), points.map(f), 1e-11);
    await checkLayer(activation(name), x);
    await checkLayer(dense(5, { activation: name }), x);
  });

  test("softmax goes over the features", async () => {
    const x = given("x", [7, 3], points);
    const found = await computed(apply(activation("softmax"), x.tensor).output, [x]);
    const expected = points.map((value, i) => {
      const row = points.slice(3 * Math.floor(i / 3), 3 * Math.floor(i / 3) + 3);
      return Math.exp(value) / row.reduce((sum, other) => sum + Math.exp(other), 0);
    });
    near(found, expected);
    await checkLayer(activation("softmax"), x);
  });

  test("takes a function of one's own", async () => {
    const cube = (x: Tensor): Tensor => x.mul(x).mul(x);
    const x = random("x", [3, 5]);
    near(
      await computed(apply(activation(cube), x.tensor).output, [x]),
      x.values.map((value) => value ** 3),
    );
    await checkLayer(dense(3, { activation: cube }), x);
    const wrong = dense(4, { activation: (y) => y.mul(random("z", [2, 3, 4]).tensor) });
    refused(() => apply(wrong, x.tensor), "dense: the activation must give a tensor of its input's shape [3, 4]");
  });
});

describe("a dense network", () => {
  test("makes one step as worked by hand: two inputs, two hidden sigmoid units, one output", async () => {
    const x = given("x", [1, 2], [0.05, 0.1]);
    const y = given("y", [1, 1], [0.01]);
    const model = sequential(dense(2, { activation: "sigmoid" }), dense(1, { activation: "sigmoid" }));
    const run = async (values: Record<string, readonly number[]>) => {
      const { output, parameters } = apply(model, x.tensor, { values });
      const loss = halfMse().apply(output, y.tensor);
      const slopes = gradients(
        loss,
        [...parameters.values()].map(({ tensor }) => tensor),
      );
      const named = Object.fromEntries([...parameters.keys()].map((name, i) => [name, slopes[i]!]));
      const found = await computedAll({ output, loss, ...named } as Record<string, Tensor>, [
        x,
        y,
        ...parameters.values(),
      ]);
      const next = Object.fromEntries(
        Object.entries(values).map(([name, old]) => [name, old.map((value, i) => value - 0.5 * found[name]![i]!)]),
      );
      return { output: found.output![0]!, loss: found.loss![0]!, next };
    };
    const before = await run({
      "0.weight": [0.15, 0.2, 0.25, 0.3],
      "0.bias": [0.35, 0.35],
      "1.weight": [0.4, 0.45],
      "1.bias": [0.6],
    });
    expect(before.output).toBeCloseTo(0.751365, 6);
    expect(before.loss).toBeCloseTo(0.274811, 6);
    const after = await run(before.next);
    expect(after.output).toBeCloseTo(0.728352, 6);
    expect(after.loss).toBeCloseTo(0.258015, 6);
  });
});
