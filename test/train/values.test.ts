/** What goes into a trainer and comes out again: weights, statistics, states, checkpoints; and what is refused of them. */
import { describe, expect, it } from "vitest";
import { reference } from "../../src/backend/reference/index.js";
import { wasm } from "../../src/backend/wasm/index.js";
import { lstm } from "../../src/cells/lstm.js";
import { arrayBatches } from "../../src/data/arrays.js";
import { readText } from "../../src/data/text.js";
import { textBatches } from "../../src/data/text-batches.js";
import { checkpointFiles, readCheckpoint } from "../../src/files/checkpoint.js";
import { decodeSafetensors, encodeSafetensors } from "../../src/files/safetensors.js";
import { meanRows, square } from "../../src/graph/language.js";
import { batchNorm, dense, embedding, recurrent, sequential } from "../../src/layers/index.js";
import type { Layer } from "../../src/layers/layer.js";
import type { Loss } from "../../src/train/loss.js";
import { crossEntropy, mse } from "../../src/train/losses.js";
import { adam, sgd } from "../../src/train/optimizers.js";
import type { Checkpoint } from "../../src/train/progress.js";
import { createTrainer, type Trainer, type TrainerOptions } from "../../src/train/trainer.js";
import { errorOf, refusalOf } from "../refusal.js";

/** T = 5, D = 3; one target for each of 8 sequences. */
const data = arrayBatches({
  inputs: Float64Array.from({ length: 8 * 15 }, (_, i) => Math.sin(i)),
  inputShape: [5, 3],
  targets: Float64Array.from({ length: 8 }, (_, i) => Math.cos(i)),
  targetShape: [1],
});
const layers = (count = 1, head: Layer = dense(1)): Layer =>
  sequential({ rnn: recurrent(lstm(4), { layers: count, output: "last" }), head });
const normed = (): Layer =>
  sequential({ rnn: recurrent(lstm(4), { output: "last" }), norm: batchNorm(), head: dense(1) });
const trainerOf = (model: Layer = layers(), more: Partial<TrainerOptions> = {}): Promise<Trainer> =>
  createTrainer(model, { loss: mse(), optimizer: adam(), batch: 4, backend: reference(), ...more });
async function train(trainer: Trainer, steps: number, on = data): Promise<number[]> {
  const losses: number[] = [];
  for await (const { loss } of trainer.fit(on, { steps })) losses.push(loss);
  return losses;
}
const trained = async (model: Layer = layers(), more: Partial<TrainerOptions> = {}): Promise<Checkpoint> => {
  const trainer = await trainerOf(model, more);
  await train(trainer, 2);
  return trainer.checkpoint();
};
const throughFiles = (checkpoint: Checkpoint): Checkpoint =>
  readCheckpoint(
    new Map(Object.entries(checkpointFiles(checkpoint)).map(([name, file]) => [name, Buffer.from(file as Uint8Array)])),
    "run",
  );

describe("before the model is known", () => {
  it("a checkpoint is the one restored, statistics, slots, states and best weights included", async () => {
    const text = readText("abcd".repeat(60));
    const model = (): Layer =>
      sequential({
        in: embedding(text.vocabulary.size, 3),
        rnn: recurrent(lstm(4)),
        norm: batchNorm(),
        head: dense(text.vocabulary.size),
      });
    const options = { loss: crossEntropy(), batch: 2, bptt: { window: 5 } };
    const trainer = await trainerOf(model(), options);
    for await (const _ of trainer.fit(textBatches(text), { steps: 5, validateEvery: 2, restoreBest: true }));
    const made = await trainer.checkpoint();
    expect(Object.keys(made.states)).toEqual(["rnn.h_l0", "rnn.c_l0"]);
    expect(Object.keys(made.statistics)).toEqual(["norm.running_mean", "norm.running_var"]);
    expect(made.best).toBeDefined();

    const saved = await trainerOf(model(), options);
    saved.restore(made);
    expect(await saved.parameters()).toEqual(made.parameters);
    expect(await saved.statistics()).toEqual(made.statistics);
    expect(await saved.checkpoint()).toEqual(made);
    const resumed = await trainerOf(model(), options);
    resumed.restore(throughFiles(await saved.checkpoint()));
    expect(await train(resumed, 8, textBatches(text))).toEqual(await train(trainer, 8, textBatches(text)));
  });

  it("the parameters are the weights given, and those loaded after them", async () => {
    const trainer = await trainerOf(layers(), { weights: { "head.bias": { shape: [1], data: [7] } } });
    trainer.load({ "head.weight": { shape: [1, 4], data: [1, 2, 3, 4] } });
    const given = await trainer.parameters();
    expect(given).toEqual({
      "head.bias": { shape: [1], data: [7] },
      "head.weight": { shape: [1, 4], data: [1, 2, 3, 4] },
    });
    const other = await trainerOf();
    other.restore(throughFiles(await trainer.checkpoint()));
    expect(await train(other, 2)).toEqual(await train(trainer, 2));
  });
});

describe("a loss of another shape than [1]", () => {
  const each: Loss = {
    name: "squares",
    target: (shape) => ({ shape, type: "float" }),
    apply: (z, y) => square(z.sub(y)),
  };

  it("is refused by name and shape, in training, in segments and in validation", async () => {
    const refused = "squares: a loss has shape [1], a mean for instance, not [4, 1]";
    const trainer = await trainerOf(layers(), { loss: each });
    await expect(train(trainer, 1)).rejects.toThrow(refused);
    await expect(trainer.evaluate(data)).rejects.toThrow(refused);
    const segmented = await trainerOf(layers(), { loss: each, bptt: { recompute: 2 } });
    await expect(train(segmented, 1)).rejects.toThrow(refused);
    await expect(segmented.evaluate(data)).rejects.toThrow(refused);
  });

  it("trains as its mean", async () => {
    const loss: Loss = { ...each, apply: (z, y) => meanRows(each.apply(z, y)) };
    const expected = await train(await trainerOf(), 2);
    for (const [i, found] of (await train(await trainerOf(layers(), { loss }), 2)).entries())
      expect(found).toBeCloseTo(expected[i]!, 12);
  });
});

describe("more or fewer numbers than a shape takes", () => {
  const nine = { "head.weight": { shape: [1, 4], data: new Float64Array(9) } };
  const refused = 'parameter "head.weight" of the model has shape [1, 4], 4 numbers, not 9';

  it("are refused as weights, before the model is known and after", async () => {
    expect((await errorOf(trainerOf(layers(), { weights: nine }))).message).toBe(refused);
    const trainer = await trainerOf();
    expect(refusalOf(() => trainer.load(nine), "nine")).toBe(refused);
    await train(trainer, 1);
    const before = await trainer.parameters();
    const bias = { "head.bias": { shape: [1], data: [7] } };
    expect(refusalOf(() => trainer.load({ ...bias, ...nine }), "nine")).toBe(refused);
    expect(await trainer.parameters()).toEqual(before);
  });

  it("are refused in every part of a checkpoint, and nothing of it is taken", async () => {
    const made = await trained(normed());
    const trainer = await trainerOf(normed());
    await train(trainer, 1);
    const before = await trainer.checkpoint();
    const parts = {
      parameters: "head.weight",
      statistics: "norm.running_mean",
      optimizer: "head.weight.mean",
      states: "rnn.h_l0",
      best: "head.weight",
    } as const;
    for (const [part, name] of Object.entries(parts)) {
      const broken = { ...made, [part]: { ...made[part as keyof typeof parts], [name]: { shape: [1, 4], data: [1] } } };
      expect(refusalOf(() => trainer.restore(broken), part)).toMatch(
        /has shape \[\d(, 4)?\](, 4 numbers, not 1|, not \[1, 4\])$/,
      );
    }
    expect(await trainer.checkpoint()).toEqual(before);
  });

  it("are refused as a predictor's states, and none is taken", async () => {
    const trainer = await trainerOf(sequential({ rnn: recurrent(lstm(4)) }));
    const predictor = await trainer.predictor({ inputShape: [1, 2, 3] });
    await predictor.run([1, 2, 3, 4, 5, 6]);
    const before = await predictor.states();
    const states = { "rnn.h_l0": before["rnn.c_l0"]!, "rnn.c_l0": { shape: [2, 4], data: [1] } };
    expect(refusalOf(() => predictor.setStates(states), "states")).toBe(
      'state "rnn.c_l0" has shape [2, 4], 8 numbers, not 1',
    );
    expect(await predictor.states()).toEqual(before);
  });

  it.each([reference(), wasm({ threads: 1 }), wasm({ threads: 2 })])(
    "are refused of an initialiser",
    async (backend) => {
      const model = sequential({
        rnn: recurrent(lstm(4, { initial: { bias_ih: () => new Float64Array(3) } }), { output: "last" }),
        head: dense(1),
      });
      const trainer = await trainerOf(model, { backend });
      for (let time = 0; time < 2; time++)
        await expect(train(trainer, 1)).rejects.toThrow(
          'what the initializer gives for parameter "rnn.bias_ih_l0" has shape [16], 16 numbers, not 3',
        );
      trainer.dispose();
    },
  );
});

describe("a learning rate", () => {
  it.each([Number.NaN, -1, Infinity])("of %d is refused before anything runs", async (rate) => {
    const schedule = { name: "mine", rate: (step: number) => (step === 1 ? rate : 0.1) };
    for (const reportEvery of [1, 5]) {
      const trainer = await trainerOf(layers(), { schedule });
      await train(trainer, 1);
      const before = await trainer.checkpoint();
      await expect(trainer.fit(data, { steps: 4, reportEvery }).next()).rejects.toThrow(
        `mine: the learning rate of step 2 must be a finite number of at least 0, not ${rate}`,
      );
      expect(await trainer.checkpoint()).toEqual(before);
    }
  });

  it("of 0 changes nothing", async () => {
    const trainer = await trainerOf(layers(), { schedule: { name: "mine", rate: (step) => (step === 0 ? 0.1 : 0) } });
    await train(trainer, 1);
    const before = await trainer.parameters();
    await train(trainer, 3);
    expect(await trainer.parameters()).toEqual(before);
  });
});

describe("a checkpoint", () => {
  const lacks = 'the checkpoint lacks the parameter "rnn.weight_ih_l1" of the model';
  const stranger = /^the model has no parameter "rnn\.weight_ih_l1"; it has rnn\.weight_ih_l0, /;

  it("of another model is refused at the first step, and again, until another is restored", async () => {
    for (const [made, model, message] of [
      [await trained(), () => layers(2), lacks],
      [await trained(layers(2)), () => layers(), stranger],
      [await trained(), normed, /^the checkpoint lacks the parameter "norm\.weight" of the model$/],
    ] as const) {
      const trainer = await trainerOf(model());
      trainer.restore(made);
      for (let time = 0; time < 2; time++) await expect(train(trainer, 4)).rejects.toThrow(message);
      await expect(trainer.predictor({ inputShape: [5, 1, 3] })).rejects.toThrow(message);
      const right = await trained(model());
      trainer.restore(right);
      const other = await trainerOf(model());
      other.restore(right);
      expect(await train(trainer, 4)).toEqual(await train(other, 4));
    }
  });

  it("of another model is refused at once where the model is known, and nothing of it is taken", async () => {
    const one = await trainerOf();
    const two = await trainerOf(layers(2));
    await train(one, 2);
    await train(two, 2);
    const [ofOne, ofTwo] = [await one.checkpoint(), await two.checkpoint()];
    expect(refusalOf(() => two.restore(ofOne), "one")).toBe(lacks);
    expect(refusalOf(() => one.restore(ofTwo), "two")).toMatch(stranger);
    expect([await one.checkpoint(), await two.checkpoint()]).toEqual([ofOne, ofTwo]);
  });

  it("that lacks statistics is refused", async () => {
    const made = await trained(normed());
    const trainer = await trainerOf(normed());
    trainer.restore({ ...made, statistics: {} });
    await expect(train(trainer, 4)).rejects.toThrow('lacks the statistic "norm.running_mean" of the model');
  });

  it("of another optimiser is refused, the slot named", async () => {
    const model = (): Layer => sequential({ head: dense(1) });
    const plain = arrayBatches({ inputs: [1, 2, 3, 4], inputShape: [1], targets: [1, 2, 3, 4], targetShape: [1] });
    const of = async (optimizer: TrainerOptions["optimizer"]): Promise<Trainer> => {
      const trainer = await trainerOf(model(), { optimizer });
      await train(trainer, 1, plain);
      return trainer;
    };
    const [adaptive, still] = [await of(adam()), await of(sgd())];
    const [ofAdam, ofSgd] = [await adaptive.checkpoint(), await still.checkpoint()];
    for (const trainer of [still, await trainerOf(model(), { optimizer: sgd() })])
      expect(refusalOf(() => trainer.restore(ofAdam), "adam")).toBe(
        'the checkpoint holds "head.weight.mean", which sgd does not keep',
      );
    for (const trainer of [adaptive, await trainerOf(model())])
      expect(refusalOf(() => trainer.restore(ofSgd), "sgd")).toBe(
        'the checkpoint lacks "head.weight.mean", which adam keeps',
      );
    expect(Object.keys((await still.checkpoint()).optimizer)).toEqual([]);
  });

  it("takes the place of one restored before it, states included", async () => {
    const text = readText("abcd".repeat(60));
    const options = { loss: crossEntropy(), batch: 2, bptt: { window: 5 } };
    const of = () => trainerOf(sequential({ in: embedding(4, 3), rnn: recurrent(lstm(4)), head: dense(4) }), options);
    const first = await of();
    const fresh = await first.checkpoint();
    const begun = await train(first, 3, textBatches(text));
    const second = await of();
    second.restore(await first.checkpoint());
    second.restore(fresh);
    expect((await second.checkpoint()).states).toEqual({});
    expect(await train(second, 1, textBatches(text))).toEqual(begun.slice(0, 1));
  });
});

it("goes on after a name that the model has not, when another load follows", async () => {
  const trainer = await trainerOf();
  trainer.load({ nope: { shape: [1], data: [1] }, "head.bias": { shape: [1], data: [7] } });
  for (let time = 0; time < 2; time++)
    await expect(train(trainer, 1)).rejects.toThrow('the model has no parameter "nope"; it has rnn.weight_ih_l0, ');
  trainer.load({ "head.weight": { shape: [1, 4], data: [1, 2, 3, 4] } });
  await train(trainer, 0);
  const predictor = await trainer.predictor({ inputShape: [5, 1, 3] });
  expect(predictor.outputShape).toEqual([1, 1]);
  const { "head.bias": bias, "head.weight": weight, nope } = await trainer.parameters();
  expect(
    [bias?.data, weight?.data, nope].map((numbers) => numbers && Array.from(numbers as ArrayLike<number>)),
  ).toEqual([[7], [1, 2, 3, 4], undefined]);
  expect(await train(trainer, 1)).toHaveLength(1);
});

describe("a file that PyTorch wrote of a model with BatchNorm1d", () => {
  const floats = (...numbers: number[]) => ({
    dtype: "F32" as const,
    shape: [numbers.length],
    data: Float32Array.from(numbers),
  });
  const file = encodeSafetensors({
    "norm.weight": floats(1, 2),
    "norm.bias": floats(0.5, 0),
    "norm.running_mean": floats(3, 4),
    "norm.running_var": floats(4, 9),
    "norm.num_batches_tracked": { dtype: "I64", shape: [], data: BigInt64Array.of(7n) },
    "head.weight": { dtype: "F32", shape: [1, 2], data: Float32Array.of(1, 1) },
    "head.bias": floats(0),
  });
  const weights = Object.fromEntries(decodeSafetensors(file).tensors);
  const model = (): Layer => sequential({ norm: batchNorm({ epsilon: 1e-12 }), head: dense(1) });
  /** ((5 − 3)/2·1 + 0.5) + (10 − 4)/3·2 */
  const expected = 1.5 + 4;

  it.each([reference(), wasm({ threads: 1 })])("is taken as it is, statistics included", async (backend) => {
    for (const how of ["weights", "load before", "load after"]) {
      const trainer = await trainerOf(model(), { backend, ...(how === "weights" ? { weights } : {}) });
      if (how === "load before") trainer.load(weights);
      const predictor = await trainer.predictor({ inputShape: [1, 2] });
      if (how === "load after") trainer.load(weights);
      expect((await predictor.run([5, 10]))[0]).toBeCloseTo(expected, 5);
      expect(Object.keys(await trainer.parameters()).sort()).toEqual([
        "head.bias",
        "head.weight",
        "norm.bias",
        "norm.weight",
      ]);
      const statistics = await trainer.statistics();
      expect(Object.entries(statistics).map(([name, { data }]) => [name, Array.from(data)])).toEqual([
        ["norm.running_mean", [3, 4]],
        ["norm.running_var", [4, 9]],
      ]);
      const other = await trainerOf(model(), {
        backend,
        weights: { ...(await trainer.parameters()), ...statistics },
      });
      const same = await other.predictor({ inputShape: [1, 2] });
      expect(await same.run([5, 10])).toEqual(await predictor.run([5, 10]));
      other.dispose();
      trainer.dispose();
    }
  });

  it("a statistic of another shape is refused", async () => {
    const wrong = { "norm.running_mean": { shape: [3], data: [1, 2, 3] } };
    const refused = 'statistic "norm.running_mean" of the model has shape [2], not [3]';
    const trainer = await trainerOf(model(), { weights: wrong });
    await expect(trainer.predictor({ inputShape: [1, 2] })).rejects.toThrow(refused);
    trainer.load(weights);
    await trainer.predictor({ inputShape: [1, 2] });
    expect(refusalOf(() => trainer.load(wrong), "wrong")).toBe(refused);
  });
});
