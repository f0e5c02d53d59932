/** A trainer away from its usual way: gone back to its start, asked in the middle of a step, validated on what is no number. */
import { describe, expect, it, vi } from "vitest";
import { reference } from "../../src/backend/reference/index.js";
import { wasm } from "../../src/backend/wasm/index.js";
import { lstm } from "../../src/cells/lstm.js";
import { rnn } from "../../src/cells/rnn.js";
import { arrayBatches } from "../../src/data/arrays.js";
import { UserError } from "../../src/errors.js";
import { current, sumAll, unroll, zeros } from "../../src/graph/language.js";
import { variable } from "../../src/graph/variable.js";
import { dense, embedding, oneHotEncoding, recurrent, sequential } from "../../src/layers/index.js";
import type { Layer } from "../../src/layers/layer.js";
import { createRng } from "../../src/parameters/rng.js";
import type { BatchSource, TrainingData } from "../../src/train/data.js";
import { nonFinite } from "../../src/train/diagnose.js";
import { crossEntropy, mse } from "../../src/train/losses.js";
import { adam, sgd } from "../../src/train/optimizers.js";
import { type Bptt, createTrainer, type Report, type Trainer, type TrainerOptions } from "../../src/train/trainer.js";
import { sourceOf } from "./source.js";

/** However fast a step is, whoever wants to can come in between. */
vi.mock("../../src/backend/turn.js", () => ({ turn: () => new Promise(setImmediate) }));

/** T = 5 steps, N = 4 rows, D = 3 features, and targets of two numbers or one of three classes. */
function source(classes = false, more: Partial<BatchSource> = {}): BatchSource {
  return sourceOf([5, 4, 3], {
    targetShape: [5, 4, classes ? 1 : 2],
    targetType: classes ? "index" : "float",
    length: 4,
    carries: classes,
    fill(index, inputs, targets) {
      const rng = createRng(index);
      for (let i = 0; i < inputs.length; i++) inputs[i] = rng.normal();
      for (let i = 0; i < targets.length; i++) targets[i] = classes ? Math.floor(3 * rng.uniform()) : rng.normal();
      return index === 0;
    },
    ...more,
  });
}
const data = { train: () => source() };
const trainerOf = (hidden: number, more: Partial<TrainerOptions> = {}): Promise<Trainer> =>
  createTrainer(sequential({ rnn: recurrent(lstm(hidden)), head: dense(2) }), {
    loss: mse(),
    optimizer: adam({ learningRate: 0.1 }),
    batch: 4,
    backend: reference(),
    ...more,
  });
const losses = async (trainer: Trainer, steps: number): Promise<number[]> => {
  const all: number[] = [];
  for await (const { loss } of trainer.fit(data, { steps })) all.push(loss);
  return all;
};

it("goes back to a checkpoint made before its first step", async () => {
  const trainer = await trainerOf(4);
  const start = await trainer.checkpoint();
  const first = await losses(trainer, 3);
  trainer.restore(start);
  expect(await losses(trainer, 3)).toEqual(first);
  trainer.dispose();
});

it.each([
  [{ steps: -3 }, "steps must be a whole number of at least 0, not -3"],
  [{ steps: Number.NaN }, "steps must be a whole number of at least 0, not NaN"],
  [{ steps: 2, epochs: -1 }, "epochs must be a whole number of at least 0, not -1"],
  [{ epochs: 1.5 }, "epochs must be a whole number of at least 0, not 1.5"],
  [{ epochs: -Infinity }, "epochs must be a whole number of at least 0, not -Infinity"],
  [{ steps: 2, patience: Number.NaN }, "patience must be a whole number of at least 0, not NaN"],
  [{ steps: 2, validateEvery: 0 }, "validateEvery must be a whole number of at least 1, not 0"],
  [{ steps: 2, validateEvery: 2.5 }, "validateEvery must be a whole number of at least 1, not 2.5"],
  [{ steps: Infinity }, "fit wants to know when to stop: give `steps` or `epochs`"],
])("does not train with %o", async (options, message) => {
  const trainer = await trainerOf(4);
  await expect(trainer.fit(data, options).next()).rejects.toThrow(new UserError(message));
  expect(trainer.progress.step).toBe(0);
  trainer.dispose();
});

it("has nothing to do, and says nothing, where all steps are made", async () => {
  const trainer = await trainerOf(4);
  expect(await losses(trainer, 0)).toEqual([]);
  expect(await losses(trainer, 3)).toHaveLength(3);
  expect(await losses(trainer, 3)).toEqual([]);
  expect(await losses(trainer, 2)).toEqual([]);
  expect(await trainer.fit(data, { steps: Infinity, epochs: 0 }).next()).toEqual({ done: true, value: undefined });
  expect(trainer.progress.step).toBe(3);
  trainer.dispose();
});

describe("a target that is no class", () => {
  const [steps, rows] = [6, 2];
  /** Classes 0, 1, 2, but for one place: step 4, row 1. */
  const with3 = (wrong: number, masked: boolean) => ({
    train: () =>
      source(true, {
        inputShape: [steps, rows, 3],
        targetShape: [steps, rows, 1],
        masked,
        fill(_, inputs, targets, mask) {
          for (let i = 0; i < inputs.length; i++) inputs[i] = Math.sin(i);
          for (let i = 0; i < targets.length; i++) targets[i] = i === 4 * rows + 1 ? wrong : i % 3;
          if (mask) for (let i = 0; i < mask.length; i++) mask[i] = i === 4 * rows + 1 ? 0 : 1;
          return true;
        },
      }),
  });
  const run = async (
    wrong: number,
    bptt: Bptt,
    { ignoreIndex, masked = false }: { ignoreIndex?: number; masked?: boolean } = {},
  ) => {
    const trainer = await createTrainer(sequential({ rnn: recurrent(lstm(3)), head: dense(3) }), {
      loss: crossEntropy(ignoreIndex === undefined ? {} : { ignoreIndex }),
      optimizer: adam(),
      batch: rows,
      bptt,
      backend: reference(),
    });
    try {
      for await (const { loss } of trainer.fit(with3(wrong, masked), { steps: 1 })) return loss;
    } finally {
      trainer.dispose();
    }
    return Number.NaN;
  };
  const windows: Bptt[] = [{ window: steps }, { every: 4, through: steps }, { window: steps, recompute: true }];

  it("is refused with its place and the classes there are", async () => {
    for (const bptt of windows)
      for (const wrong of [3, -1])
        await expect(run(wrong, bptt)).rejects.toThrow(
          `crossEntropy: the target at step 4, row 1 of the batch is ${wrong}, but the predictions have 3 classes, 0 to 2`,
        );
  });

  it("is none where ignoreIndex names it or the mask leaves it out", async () => {
    for (const bptt of windows) {
      expect(await run(3, bptt, { ignoreIndex: 3 })).toBeGreaterThan(0);
      expect(await run(3, bptt, { masked: true })).toBeGreaterThan(0);
    }
  });

  it("is refused of one target for a sequence too, by its row", async () => {
    const model = sequential({ rnn: recurrent(lstm(3), { output: "last" }), head: dense(3) });
    const trainer = await createTrainer(model, {
      loss: crossEntropy(),
      optimizer: adam(),
      batch: 4,
      backend: reference(),
    });
    const one = source(true, {
      targetShape: [4, 1],
      carries: false,
      fill(_, inputs, targets) {
        inputs.fill(0.5);
        targets.set([0, 1, 7, 2]);
        return true;
      },
    });
    await expect(trainer.fit({ train: () => one }, { steps: 1 }).next()).rejects.toThrow(
      "the target at row 2 of the batch is 7",
    );
    trainer.dispose();
  });
});

describe("an input that is no index of the model's", () => {
  const [steps, rows] = [6, 2];
  /** Indices 0, 1, 2, but for one place: step 4, row 1. */
  const indices = (wrong: number, masked: boolean): TrainingData => {
    const train = () =>
      source(false, {
        inputShape: [steps, rows, 1],
        inputType: "index",
        targetShape: [steps, rows, 2],
        masked,
        carries: true,
        fill(_, inputs, targets, mask) {
          for (let i = 0; i < inputs.length; i++) inputs[i] = i === 4 * rows + 1 ? wrong : i % 3;
          targets.fill(0.5);
          if (mask) for (let i = 0; i < mask.length; i++) mask[i] = i === 4 * rows + 1 ? 0 : 1;
          return true;
        },
      });
    return { train, validation: train };
  };
  const withLayer = (first: Layer, bptt: Bptt = {}): Promise<Trainer> =>
    createTrainer(sequential({ first, rnn: recurrent(lstm(3)), head: dense(2) }), {
      loss: mse(),
      optimizer: adam(),
      batch: rows,
      bptt,
      backend: reference(),
    });
  const windows: Bptt[] = [{ window: steps }, { every: 4, through: steps }, { window: steps, recompute: true }];

  it.each([
    ["embedding", () => embedding(3, 2)],
    ["oneHotEncoding", () => oneHotEncoding(3)],
  ])("is refused by %s with its place and the indices there are", async (name, make) => {
    for (const bptt of windows)
      for (const wrong of [3, -1]) {
        const trainer = await withLayer(make(), bptt);
        const message = `${name}: the index at step 4, row 1 of the batch is ${wrong}, but there are 3, 0 to 2`;
        await expect(trainer.fit(indices(wrong, false), { steps: 1 }).next()).rejects.toThrow(new UserError(message));
        await expect(trainer.evaluate(indices(wrong, false))).rejects.toThrow(new UserError(message));
        expect(trainer.progress.step).toBe(0);
        trainer.dispose();
      }
  });

  it("may be anything where the mask leaves it out", async () => {
    for (const bptt of windows) {
      const [some, other] = [await withLayer(embedding(3, 2), bptt), await withLayer(embedding(3, 2), bptt)];
      const loss = async (trainer: Trainer, wrong: number): Promise<number> =>
        ((await trainer.fit(indices(wrong, true), { steps: 1 }).next()).value as Report).loss;
      expect(await loss(some, -7)).toBe(await loss(other, 2));
      some.dispose();
      other.dispose();
    }
  });

  it("is refused by a predictor, and where there is no time", async () => {
    const trainer = await withLayer(embedding(3, 2));
    const predictor = await trainer.predictor({ inputShape: [2, 2, 1], inputType: "index", lengths: true });
    await expect(predictor.run([0, 1, 2, 5], [2, 2])).rejects.toThrow(
      "embedding: the index at step 1, row 1 of the batch is 5, but there are 3, 0 to 2",
    );
    expect(await predictor.run([0, 1, 2, 5], [2, 1])).toHaveLength(8);
    trainer.dispose();
    const flat = await createTrainer(sequential(oneHotEncoding(3), dense(2)), {
      loss: mse(),
      optimizer: adam(),
      batch: 4,
      backend: reference(),
    });
    const four = {
      inputs: [0, 1, 4, 2],
      inputShape: [1],
      inputType: "index",
      targets: [0, 0, 0, 0, 0, 0, 0, 0],
    } as const;
    await expect(
      flat.fit(arrayBatches({ ...four, targetShape: [2], shuffle: false }), { steps: 1 }).next(),
    ).rejects.toThrow("oneHotEncoding: the index at training example 2 is 4, but there are 3, 0 to 2");
    flat.dispose();
  });
});

it("trains when what was wrong with its weights is mended", async () => {
  const weights = { "rnn.weight_ih_l0": { shape: [1, 1], data: [1] } };
  const trainer = await trainerOf(4, { weights });
  await expect(losses(trainer, 1)).rejects.toThrow("has shape [16, 3], not [1, 1]");
  trainer.load({ "rnn.weight_ih_l0": { shape: [16, 3], data: new Float64Array(48) } });
  expect(await losses(trainer, 1)).toHaveLength(1);
  trainer.dispose();
});

it("takes a validation loss that is no number for no good one", async () => {
  let validations = 0;
  const validation = (): BatchSource =>
    source(false, {
      length: 1,
      fill(_, inputs, targets) {
        inputs.fill(0.1);
        targets.fill(validations++ === 0 ? Number.NaN : 0.2);
        return true;
      },
    });
  const trainer = await trainerOf(4);
  const found: number[] = [];
  for await (const { validationLoss } of trainer.fit(
    { ...data, validation },
    { steps: 4, validateEvery: 1, patience: 2 },
  ))
    found.push(validationLoss!);
  expect(found[0]).toBeNaN();
  expect(trainer.progress.bestLoss).toBe(Math.min(...found.slice(1)));
  trainer.dispose();
});

it("does not leave a predictor with the weights of before a step in whose middle it was asked", async () => {
  const wide = { inputShape: [5, 4, 3], carry: false };
  const trainer = await trainerOf(160, { backend: wasm({ threads: 1 }), bptt: { recompute: 1 } });
  await losses(trainer, 1);
  const predictor = await trainer.predictor(wide);
  const input = new Float64Array(60).fill(0.3);
  let over = false;
  const step = losses(trainer, 2).finally(() => {
    over = true;
  });
  let asked = 0;
  for (; !over; asked++) {
    predictor.runNow!(input);
    await new Promise(setImmediate);
  }
  await step;
  expect(asked).toBeGreaterThan(1);
  const fresh = await trainer.predictor(wide);
  expect(predictor.runNow!(input)).toEqual(fresh.runNow!(input));
  trainer.dispose();
});

describe("a window whose losses are taken in parts", () => {
  it.each([{ ignoreIndex: 0 }, { classWeights: [1, 2, 5] }])(
    "has the mean of all rows that count, as in segments: %j",
    async (options) => {
      const run = async (bptt: Bptt): Promise<number[]> => {
        const trainer = await createTrainer(sequential({ rnn: recurrent(rnn(5)), head: dense(3) }), {
          loss: crossEntropy(options),
          optimizer: sgd({ learningRate: 0.1 }),
          batch: 4,
          bptt,
          backend: reference(),
        });
        const all: number[] = [];
        for await (const { loss, gradientNorm } of trainer.fit({ train: () => source(true) }, { steps: 3 }))
          all.push(loss, gradientNorm);
        trainer.dispose();
        return all;
      };
      const parts = await run({ every: 4, through: 5 });
      const segments = await run({ every: 4, through: 5, recompute: 2 });
      for (const [i, value] of segments.entries()) expect(parts[i]).toBeCloseTo(value, 12);
    },
  );
});

it("looks for what is not finite without changing a weight, though in another order it be finite", async () => {
  const session = await reference().createSession();
  const w = variable("w", [1]);
  const huge = { ...variable("b", [1]), initial: [1.5e308] };
  const input = { ...variable("x", [2, 1, 1]), initial: [-1.5e308, -1.5e308] };
  const [b, c] = [current(huge), current({ ...huge, name: "c" })];
  // (x + b) + (x + c) is 0, but x + x + (b + c) is not.
  const { state } = unroll({
    inputs: { x: current(input) },
    state: { s: zeros([1, 1]) },
    step: ({ x }, { s }) => ({ state: { s: x!.add(b).add(x!.add(0).add(c)).add(s!.mul(0)) } }),
  });
  const program = {
    name: "step",
    results: [],
    guards: [sumAll(state.s!)],
    commit: [{ variable: w, tensor: current(w).add(1) }],
  };
  expect((await session.compile(program)).run()).toBe("refused");
  await nonFinite(session, { refused: program, start: 0 }, 1, 0.1);
  expect(Array.from(session.readNow!(w))).toEqual([0]);
});
