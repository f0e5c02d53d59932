/** What is given in the wrong form is named in one sentence. */
import { describe, expect, it } from "vitest";
import {
  arrayBatches,
  type Bptt,
  type Cell,
  createTrainer,
  defineCell,
  dense,
  gru,
  initializers,
  type Layer,
  mse,
  type Optimizer,
  type Report,
  recurrent,
  sequential,
  sgd,
  type TrainingData,
} from "../src/index.js";
import { errorOf } from "./refusal.js";
import { sourceOf } from "./train/source.js";

const data = arrayBatches({ inputs: [1, 2, 3, 4], inputShape: [2, 1], targets: [1, 2, 3, 4], targetShape: [2, 1] });
const refusal = async (layer: Layer, optimizer: Optimizer = sgd()): Promise<string> => {
  const trainer = await createTrainer(layer, { loss: mse(), optimizer, batch: 2, threads: 1 });
  const error = await errorOf(trainer.fit(data, { steps: 1 }).next());
  trainer.dispose();
  expect(error.name).toBe("UserError");
  return error.message;
};
const cell = (next: unknown): Cell =>
  defineCell({ name: "mine", state: { h: 3 }, parameters: (D) => ({ W: [3, D] }), step: () => next as never });

describe("a cell of one's own", () => {
  it.each([
    ["3", { h: 3 }],
    ["nothing", {}],
    ["nothing", undefined],
  ])("that gives %s for its state", async (said, next) => {
    expect(await refusal(recurrent(cell(next)))).toContain(
      `the step must return state "h" of shape [2, 3], not ${said}`,
    );
  });
});

describe("a layer of one's own that carries its state on under another name", () => {
  const average: Layer = {
    kind: "average",
    apply(x, context) {
      const h = context.state("h", x.shape.slice(1));
      context.carry("hh", h.mul(0.5));
      return x.add(h);
    },
  };
  const said = 'the model carries "average.hh" on, which is none of its states (average.h)';
  const make = (bptt: Bptt) =>
    createTrainer(sequential({ average, head: dense(1) }), {
      loss: mse(),
      optimizer: sgd(),
      batch: 2,
      threads: 1,
      bptt,
    });
  const stream: TrainingData = {
    train: ({ window }) => sourceOf([window, 2, 1], { length: 3, fill: (index) => index === 0 }),
  };

  it.each<Bptt>([{ window: 6 }, { every: 2, through: 6 }, { every: 6, through: 2 }, { window: 6, recompute: 2 }])(
    "is named by training with %o, as by a validation and a predictor",
    async (bptt) => {
      const trainer = await make(bptt);
      for (const refused of [
        () => trainer.fit(stream, { steps: 1 }).next(),
        () => trainer.evaluate(stream),
        () => trainer.predictor({ inputShape: [1, 1, 1] }),
      ]) {
        const error = await errorOf(refused());
        expect([error.name, error.message]).toEqual(["UserError", said]);
      }
      trainer.dispose();
    },
  );
});

describe("a trainer that is given what it cannot use", () => {
  const make = (weights = {}) =>
    createTrainer(sequential({ head: dense(1) }), { loss: mse(), optimizer: sgd(), batch: 2, threads: 1, weights });
  const said = async (asked: () => unknown): Promise<string> => {
    const error = await errorOf((async () => asked())());
    expect(error.name).toBe("UserError");
    return error.message;
  };

  it("names it, and goes on", async () => {
    const trainer = await make();
    for (const [given, named] of [
      [undefined, "undefined"],
      [[1, 2], "an object"],
    ] as const) {
      expect(await said(() => trainer.evaluate(given as never))).toBe(
        `evaluate: wants batches, of arrayBatches or textBatches, not ${named}`,
      );
      expect(await said(() => trainer.restore(given as never))).toBe(`restore: wants a checkpoint, not ${named}`);
    }
    for (const options of [undefined, {}])
      expect(await said(() => trainer.predictor(options as never))).toBe(
        "predictor: wants an inputShape, such as [1, 1, 3], not undefined",
      );
    const numbers = { "head.weight": [1], "head.bias": [0] };
    for (const asked of [() => make(numbers), () => trainer.load(numbers as never)])
      expect(await said(asked)).toBe('the weights hold no data in "head.weight"');
    expect(await trainer.evaluate(data)).toBeGreaterThan(0);
    trainer.dispose();
  });
});

describe("windows of sequences that are taken whole", () => {
  const numbers = Array.from({ length: 20 }, (_, i) => Math.sin(i));
  const sequences = arrayBatches({ inputs: numbers, inputShape: [10, 1], targets: numbers, targetShape: [10, 1] });
  const fitted = async (bptt: Bptt | undefined, of = sequences): Promise<number> => {
    const layer = sequential({ rnn: recurrent(gru(2)), head: dense(1) });
    const flat = sequential({ head: dense(1) });
    const trainer = await createTrainer(of === sequences ? layer : flat, {
      loss: mse(),
      optimizer: sgd(),
      batch: 2,
      threads: 1,
      ...(bptt && { bptt }),
    });
    try {
      return ((await trainer.fit(of, { steps: 1 }).next()).value as Report).loss;
    } finally {
      trainer.dispose();
    }
  };

  it.each<[string, Bptt]>([
    ["a window of 3", { window: 3 }],
    ["a window of 9", { window: 9, recompute: true }],
    ["every 3 through 10", { every: 3, through: 10 }],
    ["every 10 through 4", { every: 10, through: 4 }],
  ])("are refused where they would cut them: %s", async (windows, bptt) => {
    const error = await errorOf(fitted(bptt));
    expect([error.name, error.message]).toEqual([
      "UserError",
      `bptt: ${windows} cuts streams, but the data is sequences of 10 steps, each taken whole: leave it out (where memory is short: recompute)`,
    ]);
  });

  it("make no difference where they do not, or where there is no time", async () => {
    const whole = await fitted(undefined);
    for (const bptt of [{}, { window: 10 }, { window: 60 }, { every: 10, through: 12 }])
      expect(await fitted(bptt), JSON.stringify(bptt)).toBe(whole);
    expect(await fitted({ recompute: 3 })).toBeCloseTo(whole, 6);
    const rows = arrayBatches({ inputs: numbers, inputShape: [1], targets: numbers, targetShape: [1] });
    expect(await fitted({ window: 1 }, rows)).toBe(await fitted({}, rows));
  });
});

it("an optimiser of one's own that gives no head.weighteight, or no slot", async () => {
  const own = (result: (w: Parameters<Optimizer["update"]>[0]) => unknown): Optimizer => ({
    name: "lion",
    learningRate: 0.1,
    slots: { m: 0 },
    scalars: () => ({}),
    update: result as Optimizer["update"],
  });
  const layer = sequential({ head: dense(1) });
  expect(
    await refusal(
      layer,
      own(({ w }) => ({ w, slots: {} })),
    ),
  ).toBe("lion: update gives no head.weight.m");
  expect(
    await refusal(
      layer,
      own(({ slots }) => ({ slots })),
    ),
  ).toBe("lion: update gives no head.weight");
});

it("an initialiser that is called as if it made one", () => {
  const called = initializers.heUniform as unknown as () => unknown;
  expect(() => called()).toThrow("heUniform, heNormal, lecunUniform and lecunNormal are initialisers");
});
