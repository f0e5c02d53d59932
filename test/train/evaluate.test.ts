/** A validation is over all that counts, however it falls into batches. */
import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/backend/contract.js";
import { reference } from "../../src/backend/reference/index.js";
import { wasm } from "../../src/backend/wasm/index.js";
import { gru } from "../../src/cells/gru.js";
import { type ArrayOptions, arrayBatches } from "../../src/data/arrays.js";
import { square, sumAll } from "../../src/graph/language.js";
import { dense, last, recurrent, sequential } from "../../src/layers/index.js";
import { createRng } from "../../src/parameters/rng.js";
import type { TrainingData } from "../../src/train/data.js";
import type { Loss } from "../../src/train/loss.js";
import { crossEntropy, mse } from "../../src/train/losses.js";
import { adam } from "../../src/train/optimizers.js";
import { createTrainer, type Trainer, type TrainerOptions } from "../../src/train/trainer.js";
import { sourceOf } from "./source.js";

/** Examples, steps, features, classes or numbers predicted. */
const [COUNT, T, D, C] = [11, 4, 2, 3];
/** 11 = 4 + 4 + 3 = 8 + 3 = 10 + 1: examples left that fill a batch 1, 2, 10 times, with and without rows to spare. */
const batches = [1, 2, 4, 8, 10, 11, 32];
const lengths = Array.from({ length: COUNT }, (_, e) => 1 + ((e * e) % T));
const rng = createRng(3);
const inputs = Float64Array.from({ length: COUNT * T * D }, () => rng.normal());

interface Case {
  readonly loss: Loss;
  readonly lengths?: readonly number[];
  /** Whether there is one target for a sequence, and not one for each step. */
  readonly once?: boolean;
  /** Of the step that `at` counts, in the arrays' order. */
  readonly target?: (at: number) => number;
  readonly more?: Partial<TrainerOptions>;
}

const trainerOf = ({ loss, once = false, more = {} }: Case, batch: number): Promise<Trainer> =>
  createTrainer(sequential({ rnn: recurrent(gru(3)), ...(once ? { last: last() } : {}), head: dense(C) }), {
    loss,
    optimizer: adam(),
    batch,
    backend: reference(),
    ...more,
  });

function arraysOf({ lengths, once = false, target }: Case): ArrayOptions {
  const rows = COUNT * (once ? 1 : T);
  return {
    inputs,
    inputShape: [T, D],
    targets: target
      ? Array.from({ length: rows }, (_, at) => target(at))
      : Float64Array.from({ length: rows * C }, (_, i) => (i % 7) * (i > 30 * C ? 5 : 1)),
    targetShape: once ? [target ? 1 : C] : [T, target ? 1 : C],
    targetType: target ? "index" : "float",
    ...(lengths ? { lengths } : {}),
  };
}

/** The mean by hand, from the predictions for each example: Σ of `loss` / Σ of `weight` over all rows that are no padding. */
async function byHand(of: Case, row: (z: readonly number[], y: readonly number[]) => { loss: number; weight: number }) {
  const trainer = await trainerOf(of, 1);
  const predictor = await trainer.predictor({ inputShape: [T, 1, D], lengths: true, carry: false });
  const { targets } = arraysOf(of);
  const columns = of.target ? 1 : C;
  let [sum, weights] = [0, 0];
  for (let e = 0; e < COUNT; e++) {
    const length = of.lengths?.[e] ?? T;
    const z = [...(await predictor.run(inputs.slice(e * T * D, (e + 1) * T * D), [length]))];
    for (let t = 0; t < (of.once ? 1 : length); t++) {
      const at = (of.once ? e : e * T + t) * columns;
      const y = Array.from({ length: columns }, (_, c) => targets[at + c]!);
      const { loss, weight } = row(z.slice(t * C, (t + 1) * C), y);
      sum += loss;
      weights += weight;
    }
  }
  trainer.dispose();
  return sum / weights;
}

const squares = (z: readonly number[], y: readonly number[]) => ({
  loss: z.reduce((sum, value, c) => sum + (value - y[c]!) ** 2, 0),
  weight: C,
});
const classWeights = [0.5, 2, 3];
const entropies = (z: readonly number[], [y]: readonly number[]) => {
  const weight = y === -1 ? 0 : classWeights[y!]!;
  return { loss: weight && weight * (Math.log(z.reduce((sum, v) => sum + Math.exp(v), 0)) - z[y!]!), weight };
};
/** Some ignored, and all of examples 8 to 10. */
const classes = (at: number): number => (at % 5 === 0 || at >= 8 * T ? -1 : at % 3);

describe("the loss of a validation", () => {
  const weighted = crossEntropy({ classWeights, ignoreIndex: -1 });
  const unmasked: Loss = { ...mse(), apply: (z, y) => sumAll(square(z.sub(y))).div(z.shape[0]! * z.shape[1]! * C) };
  it.each<[string, Case, typeof squares | typeof entropies]>([
    ["a target at each step", { loss: mse() }, squares],
    ["a target at each step of sequences with lengths", { loss: mse(), lengths }, squares],
    ["a target for a sequence", { loss: mse(), once: true }, squares],
    ["a target for a sequence with a length", { loss: mse(), once: true, lengths }, squares],
    ["weighted classes, some ignored", { loss: weighted, target: classes }, entropies],
    ["weighted classes with lengths", { loss: weighted, target: classes, lengths }, entropies],
    ["a weighted class for a sequence", { loss: weighted, target: (e) => (e % 4) - 1, once: true, lengths }, entropies],
    ["windows in segments", { loss: weighted, target: classes, lengths, more: { bptt: { recompute: 3 } } }, entropies],
    ["windows in segments of one weight", { loss: mse(), more: { bptt: { recompute: true } } }, squares],
    [
      "windows in segments with a weighted class at the end",
      { loss: weighted, target: (e) => (e % 4) - 1, once: true, more: { bptt: { recompute: 2 } } },
      entropies,
    ],
    ["a loss that takes no mask", { loss: unmasked }, squares],
  ])("is the mean over all that counts: %s", async (_, of, row) => {
    const expected = await byHand(of, row);
    const arrays = arraysOf(of);
    for (const batch of batches) {
      const trainer = await trainerOf(of, batch);
      const held = { inputs: arrays.inputs, targets: arrays.targets, ...(of.lengths ? { lengths: of.lengths } : {}) };
      // Shuffled for training, its own order does not matter either.
      expect(await trainer.evaluate(arrayBatches(arrays)), `batch ${batch}`).toBeCloseTo(expected, 12);
      expect(await trainer.evaluate(arrayBatches({ ...arrays, validation: held })), `batch ${batch}`).toBeCloseTo(
        expected,
        12,
      );
      trainer.dispose();
    }
  });

  it("is that of `fit` too, and the same on threads and where numbers are far away", async () => {
    const distant = (near: Backend): Backend => ({
      ...near,
      async createSession() {
        const { readNow: _, ...session } = await near.createSession();
        return session;
      },
    });
    const of: Case = { loss: weighted, target: classes, lengths };
    const expected = await byHand(of, entropies);
    const arrays = arraysOf(of);
    for (const [backend, digits] of [
      [distant(reference()), 12],
      [wasm({ threads: 1 }), 5],
      [wasm({ threads: 2 }), 5],
    ] as const) {
      const trainer = await trainerOf({ ...of, more: { backend } }, 4);
      expect(await trainer.evaluate(arrayBatches(arrays))).toBeCloseTo(expected, digits);
      const { inputs, targets } = arrays;
      for await (const { validationLoss } of trainer.fit(
        arrayBatches({ ...arrays, validation: { inputs, targets, lengths } }),
        { steps: 1 },
      ))
        expect(validationLoss).toBe(await trainer.evaluate(arrayBatches(arrays)));
      trainer.dispose();
    }
  });

  it("does not depend on the windows that a stream is read in", async () => {
    const steps = 24;
    const stream: TrainingData = {
      train: ({ window }) =>
        sourceOf([window, 1, D], {
          targetShape: [window, 1, 1],
          targetType: "index",
          length: steps / window,
          fill(index, into, targets) {
            for (let i = 0; i < window * D; i++) into[i] = inputs[index * window * D + i]!;
            for (let t = 0; t < window; t++) targets[t] = classes(index * window + t);
            return index === 0;
          },
        }),
    };
    const found: number[] = [];
    for (const bptt of [{ window: 24 }, { window: 6 }, { every: 4, through: 6 }, { every: 3, through: 2 }]) {
      const trainer = await trainerOf({ loss: weighted, more: { bptt } }, 1);
      found.push(await trainer.evaluate(stream));
      trainer.dispose();
    }
    expect(found[0]).toBeGreaterThan(0.1);
    for (const loss of found) expect(loss).toBeCloseTo(found[0]!, 12);
  });

  it("is 0 where nothing counts, and no number where there is nothing", async () => {
    const of: Case = { loss: weighted, target: () => -1 };
    const trainer = await trainerOf(of, 4);
    const data = arrayBatches(arraysOf(of));
    expect(await trainer.evaluate(data)).toBe(0);
    expect(await trainer.evaluate({ train: (options) => ({ ...data.train(options), length: 0 }) })).toBeNaN();
    trainer.dispose();
  });

  it("sees a single target, wherever it stands", async () => {
    const of: Case = { loss: mse(), once: true };
    const trainer = await trainerOf(of, 4);
    const arrays = arraysOf(of);
    const before = await trainer.evaluate(arrayBatches(arrays));
    for (let e = 0; e < COUNT; e++) {
      const targets = Float64Array.from(arrays.targets);
      targets[e * C] = 1e6;
      const after = await trainer.evaluate(arrayBatches({ ...arrays, targets }));
      expect((after - before) / (1e12 / (COUNT * C)), `example ${e}`).toBeCloseTo(1, 4);
    }
    trainer.dispose();
  });
});

describe("an example whose target is no class", () => {
  const of = (once: boolean): Case => ({ loss: crossEntropy(), once, target: (at) => (at === 10 ? C : at % C) });
  const refusal = async (of: Case, split: (arrays: ArrayOptions) => ArrayOptions): Promise<string> => {
    const trainer = await trainerOf(of, 4);
    try {
      for await (const _ of trainer.fit(arrayBatches(split(arraysOf(of))), { epochs: 9 }));
      return "none";
    } catch (error) {
      return (error as Error).message;
    } finally {
      trainer.dispose();
    }
  };

  it("is named by its number in the arrays, in whatever order they are gone through", async () => {
    expect(await refusal(of(true), (arrays) => arrays)).toMatch(
      /^crossEntropy: the target at training example 10 is 3,/,
    );
    expect(await refusal(of(false), (arrays) => arrays)).toMatch(
      /^crossEntropy: the target at step 2, training example 2 is 3,/,
    );
    const held = (arrays: ArrayOptions): ArrayOptions => ({
      ...arrays,
      targets: Array.from(arrays.targets, (y) => y % C),
      validation: { inputs, targets: arrays.targets },
    });
    expect(await refusal(of(true), held)).toMatch(/^crossEntropy: the target at validation example 10 is 3,/);
  });
});
