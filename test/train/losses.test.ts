import { describe, expect, test } from "vitest";
import { current, zeros } from "../../src/graph/language.js";
import { gradients } from "../../src/graph/sweep.js";
import { variable } from "../../src/graph/variable.js";
import type { Loss } from "../../src/train/loss.js";
import {
  bce,
  bceWithLogits,
  crossEntropy,
  gaussianNll,
  halfMse,
  huber,
  mae,
  mse,
  quantile,
} from "../../src/train/losses.js";
import {
  checkGradients,
  computed,
  computedAll,
  type Given,
  given,
  near,
  numbers,
  random,
  refused,
} from "../layers/trial.js";

const sigma = (x: number): number => 1 / (1 + Math.exp(-x));

/** z as it is; y kept away from z by at least 0.05, and from an error of 1 (huber's corner) too. */
function apart(shape: readonly number[]): { z: Given; y: Given } {
  const z = random("z", shape, 3);
  const errors = numbers(z.values.length, 8).map((error) => {
    const size = Math.max(Math.abs(error), 0.05);
    return Math.sign(error) * (Math.abs(size - 1) < 0.05 ? 1.1 : size);
  });
  return {
    z,
    y: given(
      "y",
      shape,
      z.values.map((value, i) => value - errors[i]!),
    ),
  };
}

/** The loss of one row, by plain arithmetic on its columns, times the columns that it is the mean of. */
interface Case {
  readonly name: string;
  readonly loss: Loss;
  /** Columns of the prediction and of the target. */
  readonly columns: readonly [number, number];
  readonly row: (z: readonly number[], y: readonly number[]) => number;
  readonly points?: (rows: readonly number[]) => { z: Given; y: Given };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const mean = (values: readonly number[]): number => sum(values) / values.length;

const probabilities: Case["points"] = (rows) => ({
  z: given(
    "z",
    [...rows, 3],
    numbers(3 * rows.reduce((a, b) => a * b)).map((x) => sigma(2 * x)),
  ),
  y: given(
    "y",
    [...rows, 3],
    numbers(3 * rows.reduce((a, b) => a * b), 6).map((x, i) => (i % 4 === 0 ? sigma(x) : x > 0 ? 1 : 0)),
  ),
});
const logits: Case["points"] = (rows) => ({
  z: random("z", [...rows, 3]),
  y: probabilities!(rows).y,
});
/** Quantiles and normal distributions: more predictions than targets. */
const wide =
  (from: number, to: number): Case["points"] =>
  (rows) => ({ z: random("z", [...rows, from]), y: random("y", [...rows, to], 40) });

const cases: Case[] = [
  { name: "mse", loss: mse(), columns: [5, 5], row: (z, y) => mean(z.map((p, i) => (p - y[i]!) ** 2)) },
  { name: "halfMse", loss: halfMse(), columns: [5, 5], row: (z, y) => 0.5 * sum(z.map((p, i) => (p - y[i]!) ** 2)) },
  { name: "mae", loss: mae(), columns: [5, 5], row: (z, y) => mean(z.map((p, i) => Math.abs(p - y[i]!))) },
  ...[1, 0.3, 4].map((delta) => ({
    name: `huber ${delta}`,
    loss: huber(delta === 1 ? {} : { delta }),
    columns: [5, 5] as const,
    row: (z: readonly number[], y: readonly number[]) =>
      mean(
        z.map((p, i) => {
          const e = Math.abs(p - y[i]!);
          return e <= delta ? e ** 2 / 2 : delta * (e - delta / 2);
        }),
      ),
  })),
  {
    name: "bce",
    loss: bce(),
    columns: [3, 3],
    points: probabilities,
    row: (z, y) => -mean(z.map((p, i) => y[i]! * Math.log(p) + (1 - y[i]!) * Math.log(1 - p))),
  },
  ...[undefined, 2.5, [0.5, 1, 3]].map((positiveWeight) => ({
    name: `bceWithLogits ${positiveWeight ?? ""}`,
    loss: bceWithLogits(positiveWeight === undefined ? {} : { positiveWeight }),
    columns: [3, 3] as const,
    points: logits,
    row: (z: readonly number[], y: readonly number[]) =>
      -mean(
        z.map((p, i) => {
          const w = Array.isArray(positiveWeight) ? positiveWeight[i]! : (positiveWeight ?? 1);
          return w * y[i]! * Math.log(sigma(p)) + (1 - y[i]!) * Math.log(1 - sigma(p));
        }),
      ),
  })),
  {
    name: "quantile",
    loss: quantile([0.1, 0.5, 0.75]),
    columns: [6, 2],
    points: wide(6, 2),
    row: (z, y) =>
      mean(
        z.map((p, i) => {
          const level = [0.1, 0.5, 0.75][Math.floor(i / 2)]!;
          const error = y[i % 2]! - p;
          return error > 0 ? level * error : (1 - level) * -error;
        }),
      ),
  },
  ...[undefined, 0.5].map((epsilon) => ({
    name: `gaussianNll ${epsilon ?? ""}`,
    loss: gaussianNll(epsilon === undefined ? {} : { epsilon }),
    columns: [6, 3] as const,
    points: wide(6, 3),
    row: (z: readonly number[], y: readonly number[]) =>
      mean(
        y.map((target, i) => {
          const variance = Math.log(1 + Math.exp(z[i + 3]!)) + (epsilon ?? 1e-3);
          return 0.5 * (Math.log(variance) + (z[i]! - target) ** 2 / variance);
        }),
      ),
  })),
];

describe.each(cases)("$name", ({ loss, columns: [from, to], row, points = (rows) => apart([...rows, from]) }) => {
  const shapes: { rows: number[] }[] = [{ rows: [1] }, { rows: [7] }, { rows: [3, 5] }];
  const rowsOf = ({ z, y }: { z: Given; y: Given }): number[] =>
    Array.from({ length: z.values.length / from }, (_, r) =>
      row(z.values.slice(r * from, (r + 1) * from), y.values.slice(r * to, (r + 1) * to)),
    );

  test.each(shapes)(
    "is the mean of its formula, with the gradient that differences show: rows $rows",
    async ({ rows }) => {
      const { z, y } = points(rows);
      expect(loss.target(z.variable.shape)).toEqual({ shape: y.variable.shape, type: "float" });
      const value = loss.apply(z.tensor, y.tensor);
      expect(value.shape).toEqual([1]);
      near(await computed(value, [z, y]), [mean(rowsOf({ z, y }))]);
      await checkGradients(value, [z], [y]);
    },
  );

  test("counts the rows of a mask only, whatever the target holds in others", async () => {
    const { z, y } = points([3, 5]);
    const valid = [1, 1, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0];
    const mask = given("mask", [3, 5, 1], valid);
    const expected = mean(rowsOf({ z, y }).filter((_, r) => valid[r] === 1));
    valid.forEach((on, r) => {
      if (!on) y.values.fill(Number.NaN, r * to, (r + 1) * to);
    });
    const value = loss.apply(z.tensor, y.tensor, mask.tensor);
    near(await computed(value, [z, y, mask]), [expected]);
    await checkGradients(value, [z], [y, mask]);
  });

  test("is 0, and so are its slopes, where no row counts", async () => {
    const { z, y } = points([2]);
    const value = loss.apply(z.tensor, y.tensor, zeros([2, 1]));
    const found = await computedAll({ value, slope: gradients(value, [z.tensor])[0]! }, [z, y]);
    near(found.value, [0], 0);
    near(
      found.slope,
      z.values.map(() => 0),
      0,
    );
  });

  test("names the shapes that do not fit", () => {
    const { z } = points([7]);
    const shown = `${loss.name}: predictions [7, ${from}] want`;
    refused(
      () => loss.apply(z.tensor, random("y", [7, to + 1]).tensor),
      `${shown} float targets [7, ${to}], not float [7, ${to + 1}]`,
    );
    refused(
      () => loss.apply(z.tensor, current(variable("y", [7, 1], "index"))),
      `${shown} float targets [7, ${to}], not index [7, 1]`,
    );
    refused(
      () => loss.apply(z.tensor, random("y", [7, to]).tensor, zeros([5, 1])),
      `${shown} a mask [7, 1], not [5, 1]`,
    );
  });
});

describe("values worked by hand", () => {
  const lossOf = (loss: Loss, z: readonly number[], y: readonly number[], columns = z.length): Promise<number[]> => {
    const predictions = given("z", [z.length / columns, columns], z);
    const shape = loss.target(predictions.variable.shape);
    const targets = given("y", shape.shape, y, shape.type);
    const value = loss.apply(predictions.tensor, targets.tensor);
    return computedAll({ value, slope: gradients(value, [predictions.tensor])[0]! }, [predictions, targets]).then(
      (found) => [...found.value, ...found.slope],
    );
  };

  test("squared errors 1, 4 and 9", async () => {
    near(await lossOf(mse(), [1, 2, 3], [0, 0, 0]), [14 / 3, 2 / 3, 4 / 3, 2]);
    near(await lossOf(halfMse(), [1, 2, 3], [0, 0, 0]), [7, 1, 2, 3]);
  });

  test("an exact prediction has no slope", async () => {
    near(await lossOf(mae(), [2, -1], [2, 1]), [1, 0, -0.5]);
    near(await lossOf(huber(), [2, 5], [2, 1]), [1.75, 0, 0.5]);
  });

  test("a certain probability costs nothing where right and 100 where wrong, as PyTorch has it", async () => {
    near(await lossOf(bce(), [1, 0], [1, 0]), [0, -0.5, 0.5]);
    near(await lossOf(bce(), [0, 1], [1, 0]), [100, 0, 0]);
  });

  test("large logits neither overflow nor lose their slope", async () => {
    near(await lossOf(bceWithLogits(), [800, -800], [1, 0]), [0, 0, 0]);
    near(await lossOf(bceWithLogits(), [800, -800], [0, 1]), [800, 0.5, -0.5]);
    const [value, slope] = await lossOf(bceWithLogits(), [-40], [0]);
    expect(value! / Math.exp(-40)).toBeCloseTo(1, 12);
    expect(slope! / Math.exp(-40)).toBeCloseTo(1, 12);
  });

  test("quantiles stand level by level: all columns at the first, then all at the second", async () => {
    // Columns 0 and 1 are the level 0.1, columns 2 and 3 the level 0.9, of targets 0 and 10.
    near(await lossOf(quantile([0.1, 0.9]), [-1, 8, 1, 14], [0, 10]), [
      (0.1 * 1 + 0.1 * 2 + 0.1 * 1 + 0.1 * 4) / 4,
      -0.1 / 4,
      -0.1 / 4,
      0.1 / 4,
      0.1 / 4,
    ]);
  });

  test("a normal distribution of variance 1 loses half the squared error, without ½·log 2π", async () => {
    const v = Math.log(Math.E ** 0.999 - 1); // softplus(v) + 1e-3 = 1
    const [value] = await lossOf(gaussianNll(), [3, v], [1]);
    expect(value).toBeCloseTo(2, 12);
  });

  test("equal logits lose log V nats", async () => {
    const third = 1 / 3;
    near(await lossOf(crossEntropy(), [7, 7, 7], [2]), [Math.log(3), third, third, third - 1]);
  });
});

describe("crossEntropy", () => {
  interface Options {
    readonly labelSmoothing?: number;
    readonly classWeights?: readonly number[];
    readonly ignoreIndex?: number;
  }
  const V = 5;
  /** PyTorch's cross_entropy by plain loops: NLL and smoothing part each a sum over kept rows, over the sum of their class weights. */
  function byLoops(
    z: readonly number[],
    y: readonly number[],
    { labelSmoothing: smoothing = 0, classWeights, ignoreIndex }: Options,
    valid: readonly number[] = y.map(() => 1),
  ): number {
    const w = classWeights ?? new Array<number>(V).fill(1);
    let nll = 0;
    let smooth = 0;
    let weight = 0;
    y.forEach((target, r) => {
      if (target === ignoreIndex || !valid[r]) return;
      const row = z.slice(r * V, (r + 1) * V);
      const logProbability = row.map((x) => x - Math.log(sum(row.map(Math.exp))));
      nll -= w[target]! * logProbability[target]!;
      smooth -= sum(logProbability.map((value, c) => w[c]! * value));
      weight += w[target]!;
    });
    return ((1 - smoothing) * nll + (smoothing / V) * smooth) / weight;
  }

  const classWeights = [0.5, 2, 0.1, 1, 3];
  const options: Options[] = [
    {},
    { labelSmoothing: 0.1 },
    { classWeights },
    { labelSmoothing: 0.3, classWeights },
    { ignoreIndex: 1 },
    { ignoreIndex: -100 },
    { ignoreIndex: 1, labelSmoothing: 0.2 },
    { ignoreIndex: -100, classWeights },
    { ignoreIndex: 4, labelSmoothing: 0.15, classWeights },
  ];
  const targets = (count: number, { ignoreIndex }: Options): number[] =>
    numbers(count, 15).map((x, i) => (ignoreIndex === -100 && i % 3 === 1 ? -100 : Math.floor((x + 1.6) * 1.5625)));

  test.each(options)("is PyTorch's mean: %o", async (option) => {
    const loss = crossEntropy(option);
    for (const rows of [[1], [7], [3, 5]]) {
      const count = rows.reduce((a, b) => a * b);
      const z = random("z", [...rows, V], 21);
      const y = given("y", [...rows, 1], count === 1 ? [3] : targets(count, option), "index");
      expect(new Set(y.values).size).toBeGreaterThan(count === 1 ? 0 : 3);
      expect(loss.target(z.variable.shape)).toEqual({ shape: [...rows, 1], type: "index" });
      const value = loss.apply(z.tensor, y.tensor);
      near(await computed(value, [z, y]), [byLoops(z.values, y.values, option)]);
      await checkGradients(value, [z], [y]);
    }
  });

  test.each(options)("counts the rows of a mask only: %o", async (option) => {
    const z = random("z", [3, 5, V], 21);
    const y = given("y", [3, 5, 1], targets(15, option), "index");
    const mask = given("mask", [3, 5, 1], [1, 1, 0, 1, 1, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0]);
    const value = crossEntropy(option).apply(z.tensor, y.tensor, mask.tensor);
    near(await computed(value, [z, y, mask]), [byLoops(z.values, y.values, option, mask.values)]);
    await checkGradients(value, [z], [y, mask]);
  });

  test("is 0, and so are its slopes, where no row counts", async () => {
    const z = random("z", [2, V]);
    const y = given("y", [2, 1], [1, 1], "index");
    const none = [
      crossEntropy({ ignoreIndex: 1 }).apply(z.tensor, y.tensor),
      crossEntropy({ ignoreIndex: 1, classWeights }).apply(z.tensor, y.tensor),
      crossEntropy().apply(z.tensor, y.tensor, zeros([2, 1])),
      crossEntropy({ classWeights: [1, 0, 1, 1, 1] }).apply(z.tensor, y.tensor),
    ];
    for (const value of none) {
      const found = await computedAll({ value, slope: gradients(value, [z.tensor])[0]! }, [z, y]);
      near([...found.value, ...found.slope], new Array<number>(1 + 2 * V).fill(0), 0);
    }
  });

  test("large logits do not overflow", async () => {
    const z = given("z", [1, 2], [1000, -1000]);
    const y = given("y", [1, 1], [1], "index");
    near(await computed(crossEntropy().apply(z.tensor, y.tensor), [z, y]), [2000]);
  });

  test("names what does not fit", () => {
    const z = random("z", [3, V]).tensor;
    const shown = `crossEntropy: predictions [3, 5]`;
    refused(
      () => crossEntropy().apply(z, random("y", [3, V]).tensor),
      `${shown} want index targets [3, 1], not float [3, 5]`,
    );
    const y = current(variable("y", [3, 1], "index"));
    refused(() => crossEntropy().apply(z, y, zeros([2, 1])), `${shown} want a mask [3, 1], not [2, 1]`);
    refused(
      () => crossEntropy().target([3, 1]),
      "crossEntropy: predictions [3, 1] have 1 class: for yes and no use bceWithLogits",
    );
    refused(
      () => crossEntropy({ classWeights: [1, 2] }).target([3, 5]),
      "crossEntropy: classWeights has 2 numbers, but the predictions [3, 5] have 5 classes",
    );
  });
});

describe("options that no loss takes", () => {
  test("are refused in a sentence", () => {
    refused(() => huber({ delta: 0 }), "huber: delta must be above 0, not 0");
    refused(() => gaussianNll({ epsilon: -1 }), "gaussianNll: epsilon must be above 0, not -1");
    refused(() => quantile([]), "quantile: there are no levels");
    refused(() => quantile([0.5, 1]), "quantile: a level must lie between 0 and 1, which 1 does not");
    refused(() => quantile([0.1, 0.9]).target([3, 5]), "quantile: predictions [3, 5] do not divide into 2 levels");
    refused(
      () => gaussianNll().target([3, 5]),
      "gaussianNll: predictions [3, 5] do not divide into means and variances",
    );
    refused(() => crossEntropy({ labelSmoothing: 1 }), "crossEntropy: labelSmoothing must be at least 0 and below 1");
    refused(() => crossEntropy({ ignoreIndex: 0.5 }), "crossEntropy: ignoreIndex must be a whole number, not 0.5");
    refused(() => crossEntropy({ classWeights: [1, -2] }), "crossEntropy: classWeights must be at least 0, not -2");
    refused(() => crossEntropy({ classWeights: [0, 0] }), "crossEntropy: classWeights holds no number above 0");
    refused(() => bceWithLogits({ positiveWeight: Number.NaN }), "bceWithLogits: positiveWeight must be at least 0");
    refused(
      () => bceWithLogits({ positiveWeight: [1, 2] }).target([3, 5]),
      "bceWithLogits: positiveWeight has 2 numbers, but the predictions [3, 5] have 5 columns",
    );
  });
});
