import { describe, expect, it } from "vitest";
import { reference } from "../../src/backend/reference/index.js";
import { wasm } from "../../src/backend/wasm/index.js";
import { defineCell } from "../../src/cells/cell.js";
import { gru } from "../../src/cells/gru.js";
import { lstm } from "../../src/cells/lstm.js";
import { rnn } from "../../src/cells/rnn.js";
import { arrayBatches } from "../../src/data/arrays.js";
import { readText } from "../../src/data/text.js";
import { textBatches } from "../../src/data/text-batches.js";
import { constant, sumRows } from "../../src/graph/language.js";
import { dense, dropout, oneHotEncoding, recurrent, sequential } from "../../src/layers/index.js";
import type { Layer } from "../../src/layers/layer.js";
import { createRng } from "../../src/parameters/rng.js";
import type { TrainingData } from "../../src/train/data.js";
import { NonFiniteError } from "../../src/train/diagnose.js";
import type { Loss } from "../../src/train/loss.js";
import { crossEntropy, mse } from "../../src/train/losses.js";
import { adam, rmsprop, sgd } from "../../src/train/optimizers.js";
import { type Bptt, createTrainer, type Report, type Trainer, type TrainerOptions } from "../../src/train/trainer.js";
import { sourceOf } from "./source.js";

const text = readText("the quick brown fox jumps over the lazy dog. ".repeat(40));
const model = (options: Parameters<typeof recurrent>[1] = {}): Layer =>
  sequential({
    embedding: oneHotEncoding(text.vocabulary.size),
    rnn: recurrent(lstm(8), options),
    head: dense(text.vocabulary.size),
  });

const options = (more: Partial<TrainerOptions> = {}): TrainerOptions => ({
  loss: crossEntropy(),
  optimizer: adam({ learningRate: 0.01 }),
  clip: { norm: 5 },
  bptt: { window: 6 },
  batch: 3,
  seed: 4,
  backend: reference(),
  ...more,
});

async function reports(trainer: Trainer, data: TrainingData, fit: Parameters<Trainer["fit"]>[1]): Promise<Report[]> {
  const all: Report[] = [];
  for await (const report of trainer.fit(data, fit)) all.push(report);
  return all;
}
const losses = (all: Report[]): number[] => all.map((report) => report.loss);

describe("fit", () => {
  it("learns, and reports each update once", async () => {
    const trainer = await createTrainer(model(), options());
    const all = await reports(trainer, textBatches(text), { steps: 60 });
    expect(all.map((report) => report.step)).toEqual(Array.from({ length: 60 }, (_, i) => i + 1));
    expect(all.at(-1)!.loss).toBeLessThan(all[0]!.loss - 0.5);
    expect(all.at(-1)!.validationLoss).toBeGreaterThan(0);
    expect(all.every((report) => report.gradientNorm > 0 && report.learningRate === 0.01)).toBe(true);
    trainer.dispose();
  });

  it("gives the same run for the same seed and another for another", async () => {
    const run = async (seed: number): Promise<number[]> =>
      losses(
        await reports(await createTrainer(model({ layers: 2, dropout: 0.3 }), options({ seed })), textBatches(text), {
          steps: 5,
        }),
      );
    expect(await run(4)).toEqual(await run(4));
    expect(await run(4)).not.toEqual(await run(5));
  });

  it("follows the reference on wasm", async () => {
    const run = async (backend: TrainerOptions["backend"]): Promise<number[]> =>
      losses(
        await reports(
          await createTrainer(model({ layers: 2, dropout: 0.2 }), options({ backend: backend! })),
          textBatches(text),
          { steps: 20 },
        ),
      );
    const [expected, found] = [await run(reference()), await run(wasm())];
    for (const [i, loss] of found.entries()) expect(Math.abs(loss - expected[i]!)).toBeLessThan(2e-5 * expected[i]!);
  });

  it("asks for an end, and goes on where it stopped", async () => {
    const trainer = await createTrainer(model(), options());
    await expect(reports(trainer, textBatches(text), {})).rejects.toThrow(/steps.*epochs/);
    const whole = losses(await reports(await createTrainer(model(), options()), textBatches(text), { steps: 8 }));
    const parts = [
      ...(await reports(trainer, textBatches(text), { steps: 3 })),
      ...(await reports(trainer, textBatches(text), { steps: 8 })),
    ];
    expect(losses(parts)).toEqual(whole);
  });

  it("stops early and puts the best weights back", async () => {
    const trainer = await createTrainer(model(), options({ optimizer: sgd({ learningRate: 20 }), clip: {} }));
    const all = await reports(trainer, textBatches(text), { steps: 200, validateEvery: 1, patience: 3 });
    const validations = all.map((report) => report.validationLoss!);
    const best = Math.min(...validations);
    expect(all.length).toBe(validations.indexOf(best) + 1 + 3);
    expect(await trainer.evaluate(textBatches(text))).toBeCloseTo(best, 12);
  });

  it("begins anew on data of other sizes, and waits anew after patience ran out", async () => {
    const line = (n: number, slope: number) => {
      const x = Float64Array.from({ length: n }, (_, i) => i / n);
      return { inputs: x, targets: x.map((v) => slope * v) };
    };
    const of = (n: number, slope: number) =>
      arrayBatches({
        ...line(n, slope),
        inputShape: [1],
        targetShape: [1],
        validation: line(8, slope),
        shuffle: false,
      });
    const trainer = await createTrainer(sequential({ head: dense(1) }), {
      ...options({ loss: mse(), optimizer: sgd({ learningRate: 0.1 }), clip: {} }),
      batch: 4,
    });
    // Stopped in the middle of an epoch of ten batches, near what fits the first line.
    await reports(trainer, of(40, 1), { steps: 75, patience: 5 });
    const first = trainer.progress.bestLoss!;
    const second = await reports(trainer, of(12, 9), { epochs: trainer.progress.epoch + 40, patience: 5 });
    // Whole epochs of three batches, and the best of the second line's own, though the first's was smaller.
    expect(second.filter(({ validationLoss }) => validationLoss !== undefined).length).toBeGreaterThan(30);
    const losses = second.flatMap(({ validationLoss }) => validationLoss ?? []);
    expect(Math.min(...losses)).toBeGreaterThan(first);
    expect(await trainer.evaluate(of(12, 9))).toBeCloseTo(Math.min(...losses), 10);

    // No better than that: over after as many epochs as are waited for, though more than that were waited for before.
    const worse = await reports(trainer, of(12, 9), { epochs: 1e6, patience: 2 });
    expect(worse.length % 3).toBe(0);
    expect(worse.length).toBeGreaterThanOrEqual(6);
  });

  it("puts no weights back that are older than the best loss", async () => {
    const trainer = await createTrainer(model(), options());
    const data = textBatches(text);
    await reports(trainer, data, { steps: 3, validateEvery: 1, restoreBest: true });
    await reports(trainer, data, { steps: 12, validateEvery: 1 });
    const spoilt = Object.entries(await trainer.parameters()).map(
      ([name, { shape, data }]) => [name, { shape, data: Array.from(data, (x) => 3 * x) }] as const,
    );
    trainer.load(Object.fromEntries(spoilt));
    const [after] = await reports(trainer, data, { steps: 13, validateEvery: 1, restoreBest: true });
    expect(after!.validationLoss).toBeGreaterThan(trainer.progress.bestLoss!);
    expect(await trainer.evaluate(data)).toBe(after!.validationLoss);
  });
});

describe("truncated BPTT", () => {
  it("with an update every k1 steps through k2 = k1 steps is the plain window", async () => {
    const plain = losses(await reports(await createTrainer(model(), options()), textBatches(text), { steps: 6 }));
    const general = losses(
      await reports(await createTrainer(model(), options({ bptt: { every: 6, through: 6 } })), textBatches(text), {
        steps: 6,
      }),
    );
    expect(general).toEqual(plain);
  });

  it("through k2 > k1 steps counts the last k1 losses, and carries the state from where the next window starts", async () => {
    // With a learning rate of 0 nothing changes but the state: update u's window starts at step 2u, its losses are those of steps
    // 2u+4 and 2u+5 of one long forward pass.
    const x = Float64Array.from({ length: 18 }, (_, i) => Math.sin(i));
    const stream = (window: number, stride: number): TrainingData => ({
      train: () =>
        sourceOf([window, 1, 1], {
          length: Math.floor((18 - window) / stride) + 1,
          fill(index, inputs, targets) {
            for (let t = 0; t < window; t++) inputs[t] = x[index * stride + t]!;
            targets.fill(0.3);
            return index === 0;
          },
        }),
    });
    const still = { loss: mse(), optimizer: sgd({ learningRate: 0 }), batch: 1, backend: reference() };
    const net = recurrent(lstm(1));
    const each = losses(
      await reports(await createTrainer(net, { ...still, bptt: { window: 1 } }), stream(1, 1), { steps: 18 }),
    );
    const found = losses(
      await reports(await createTrainer(net, { ...still, bptt: { every: 2, through: 6 } }), stream(6, 2), { steps: 7 }),
    );
    for (const [u, loss] of found.entries()) expect(loss).toBeCloseTo((each[2 * u + 4]! + each[2 * u + 5]!) / 2, 12);
    const back = losses(
      await reports(await createTrainer(net, { ...still, bptt: { every: 6, through: 2 } }), stream(6, 6), { steps: 3 }),
    );
    for (const [u, loss] of back.entries()) expect(loss).toBeCloseTo((each[6 * u + 4]! + each[6 * u + 5]!) / 2, 12);
  });

  it("is the mean over what counts among the last k1 steps, wherever the window is cut", async () => {
    // Nothing changes but the state: update u sees steps 4u … 4u+5 and counts the last 4, of which some are ignored or past the end.
    const [steps, updates] = [22, 5];
    const ignored = (t: number): boolean => t % 3 === 0 || t === 7;
    const stream = (masked: boolean): TrainingData => ({
      train: ({ window, stride }) => ({
        inputShape: [window, 1, 1],
        inputType: "float",
        targetShape: [window, 1, 1],
        targetType: "index",
        length: Math.floor((steps - window) / stride) + 1,
        carries: true,
        masked,
        fill(index, inputs, targets, mask) {
          for (let i = 0; i < window; i++) {
            const t = index * stride + i;
            inputs[i] = Math.sin(t);
            targets[i] = !masked && ignored(t) ? -1 : t % 2;
            if (mask) mask[i] = ignored(t) ? 0 : 1;
          }
          return index === 0;
        },
      }),
    });
    const net = sequential({ rnn: recurrent(lstm(2)), head: dense(2) });
    const still = { loss: crossEntropy({ ignoreIndex: -1 }), optimizer: sgd({ learningRate: 0 }), batch: 1 };
    const found = async (masked: boolean, bptt: Bptt): Promise<number[]> => {
      const trainer = await createTrainer(net, { ...still, bptt, backend: reference() });
      return losses(await reports(trainer, stream(masked), { steps: bptt === single ? steps : updates }));
    };
    const single = { window: 1 };
    for (const masked of [false, true]) {
      const each = await found(masked, single);
      const expected = Array.from({ length: updates }, (_, u) => {
        const counted = [2, 3, 4, 5].map((i) => 4 * u + i).filter((t) => !ignored(t));
        return counted.reduce((sum, t) => sum + each[t]!, 0) / counted.length;
      });
      for (const recompute of [false, true])
        for (const [u, loss] of (await found(masked, { every: 4, through: 6, recompute })).entries())
          expect(loss, `update ${u}, masked ${masked}, recompute ${recompute}`).toBeCloseTo(expected[u]!, 12);
    }
  });

  it("takes the gradient back k2 steps and no further", async () => {
    // Two steps of h' = x + w·h by hand: with k2 = 2 and k1 = 1, d(h₂ − y)²/dw = 2(h₂ − y)·h₁, where h₁ = x₁ + w·h₀ is not cut off.
    const cell = defineCell({
      name: "leak",
      state: { h: 1 },
      parameters: () => ({ w: [1] }),
      step: (input, { h }, { w }) => ({ h: input.add(h.mul(w)) }),
    });
    const [w, y, inputs] = [0.7, 0.2, [1, 2, -1, 0.5]];
    const data = (window: number, stride: number): TrainingData => ({
      train: () =>
        sourceOf([window, 1, 1], {
          length: Math.floor((4 - window) / stride) + 1,
          fill(index, into, targets) {
            for (let t = 0; t < window; t++) into[t] = inputs[index * stride + t]!;
            targets.fill(y);
            return index === 0;
          },
        }),
    });
    const still = {
      loss: mse(),
      optimizer: sgd({ learningRate: 0 }),
      batch: 1,
      backend: reference(),
      weights: { w_l0: { shape: [1], data: [w] } },
    };
    const norms = (all: Report[]): number[] => all.map((report) => report.gradientNorm);
    const h: number[] = [];
    for (const x of inputs) h.push(x + w * (h.at(-1) ?? 0));
    const twoBack = norms(
      await reports(await createTrainer(recurrent(cell), { ...still, bptt: { every: 1, through: 2 } }), data(2, 1), {
        steps: 3,
      }),
    );
    // window u covers steps u and u+1, its initial state h_{u−1} is a constant: dh_{u+1}/dw = h_u + w·h_{u−1}
    for (const [u, norm] of twoBack.entries())
      expect(norm).toBeCloseTo(Math.abs(2 * (h[u + 1]! - y) * (h[u]! + w * (h[u - 1] ?? 0))), 12);
    const oneBack = norms(
      await reports(await createTrainer(recurrent(cell), { ...still, bptt: { every: 2, through: 1 } }), data(2, 2), {
        steps: 2,
      }),
    );
    for (const [u, norm] of oneBack.entries())
      expect(norm).toBeCloseTo(Math.abs(2 * (h[2 * u + 1]! - y) * h[2 * u]!), 12);
  });
});

describe("gradient accumulation", () => {
  it("over k batches equals one batch k times as large", async () => {
    const rng = createRng(1);
    const inputs = Float64Array.from({ length: 8 * 5 * 2 }, () => rng.normal());
    const targets = Float64Array.from({ length: 8 }, () => rng.normal());
    const data = arrayBatches({ inputs, inputShape: [5, 2], targets, targetShape: [1], shuffle: false });
    const net = sequential({ rnn: recurrent(gru(4), { output: "last" }), head: dense(1) });
    const train = async (batch: number, accumulate: number): Promise<Record<string, ArrayLike<number>>> => {
      const trainer = await createTrainer(net, {
        loss: mse(),
        optimizer: sgd({ learningRate: 0.3, momentum: 0.9 }),
        clip: { norm: 0.05 },
        batch,
        accumulate,
        backend: reference(),
      });
      await reports(trainer, data, { steps: 6 });
      return Object.fromEntries(Object.entries(await trainer.parameters()).map(([name, { data }]) => [name, data]));
    };
    const [whole, parts] = [await train(8, 1), await train(2, 4)];
    for (const name of Object.keys(whole))
      for (const [i, value] of Array.from(whole[name]!).entries()) expect(parts[name]![i]).toBeCloseTo(value, 12);
  });
});

describe("sequences of different lengths", () => {
  it("train as each would by itself: padding changes nothing", async () => {
    const rng = createRng(2);
    const lengths = [3, 5, 1, 4];
    const inputs = Float64Array.from({ length: 4 * 5 * 2 }, () => rng.normal());
    const targets = Float64Array.from({ length: 4 }, () => rng.normal());
    const run = async (fill: number): Promise<number[]> => {
      const padded = inputs.map((value, i) => (Math.floor(i / 2) % 5 < lengths[Math.floor(i / 10)]! ? value : fill));
      const data = arrayBatches({
        inputs: padded,
        inputShape: [5, 2],
        targets,
        targetShape: [1],
        lengths,
        shuffle: false,
      });
      const trainer = await createTrainer(
        sequential({ rnn: recurrent(lstm(4), { output: "last", bidirectional: true }), head: dense(1) }),
        { loss: mse(), optimizer: adam({ learningRate: 0.05 }), batch: 4, backend: reference() },
      );
      return losses(await reports(trainer, data, { steps: 4 }));
    };
    expect(await run(0)).toEqual(await run(7));
  });
});

describe("carried state", () => {
  it("is reset for the rows a source names, and only for them", async () => {
    const steps = 3;
    const x = [1, -1, 0.5, 2, 0.25, -0.5];
    const source = (flags: number[][]): TrainingData => ({
      train: () =>
        sourceOf([steps, 2, 1], {
          length: 2,
          fill(index, inputs, targets) {
            inputs.set(x);
            targets.fill(0);
            return flags[index]!;
          },
        }),
    });
    const run = async (flags: number[][]): Promise<number[]> => {
      const trainer = await createTrainer(recurrent(rnn(1)), {
        loss: mse(),
        optimizer: sgd({ learningRate: 0 }),
        bptt: { window: steps },
        batch: 2,
        backend: reference(),
      });
      return losses(await reports(trainer, source(flags), { steps: 2 }));
    };
    const [all, none, first, second] = [
      await run([
        [1, 1],
        [1, 1],
      ]),
      await run([
        [1, 1],
        [0, 0],
      ]),
      await run([
        [1, 1],
        [1, 0],
      ]),
      await run([
        [1, 1],
        [0, 1],
      ]),
    ];
    expect(all[1]).toBe(all[0]);
    expect(none[1]).not.toBeCloseTo(none[0]!, 6);
    // Each row's share of the loss is its own.
    expect(first[1]! + second[1]!).toBeCloseTo(all[1]! + none[1]!, 12);
    expect(first[1]).not.toBeCloseTo(second[1]!, 6);
  });
});

describe("checkpoints", () => {
  it.each([
    ["reference", reference()],
    ["wasm", wasm()],
  ] as const)("resume bit for bit on %s", async (_, backend) => {
    const settings = options({ backend });
    const net = model({ layers: 2, dropout: 0.2, variationalDropout: 0.1 });
    const straight = await createTrainer(net, settings);
    const expected = await reports(straight, textBatches(text), { steps: 30, validateEvery: 7 });
    const before = await createTrainer(net, settings);
    const start = await reports(before, textBatches(text), { steps: 11, validateEvery: 7 });
    const checkpoint = await before.checkpoint();
    before.dispose();
    const after = await createTrainer(net, settings);
    after.restore(checkpoint);
    const end = await reports(after, textBatches(text), { steps: 30, validateEvery: 7 });
    expect(losses([...start, ...end])).toEqual(losses(expected));
    expect(await after.parameters()).toEqual(await straight.parameters());
  });
});

describe("a value that is not finite", () => {
  it("stops the run before a weight changes and names step, tensor and time", async () => {
    const rng = createRng(3);
    const inputs = Float64Array.from({ length: 4 * 6 }, () => rng.normal());
    const clean = arrayBatches({
      inputs,
      inputShape: [6, 1],
      targets: new Float64Array(4),
      targetShape: [1],
      shuffle: false,
    });
    const bad = inputs.slice();
    const dirty = arrayBatches({
      inputs: bad,
      inputShape: [6, 1],
      targets: new Float64Array(4),
      targetShape: [1],
      shuffle: false,
    });
    // Only now: it would be refused.
    bad[1 * 6 + 4] = Number.NaN;
    for (const backend of [reference(), wasm()]) {
      const trainer = await createTrainer(sequential({ rnn: recurrent(lstm(3), { output: "last" }), head: dense(1) }), {
        loss: mse(),
        optimizer: adam(),
        batch: 4,
        backend,
      });
      await reports(trainer, clean, { steps: 2 });
      const before = await trainer.checkpoint();
      const error = await reports(trainer, dirty, { steps: 3 }).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(NonFiniteError);
      expect(error).toMatchObject({ step: 3, tensor: "input", time: 4 });
      expect((error as Error).message).toBe(
        "step 3: input at time index 4 is NaN; no weight was changed. It came with the data.",
      );
      const after = await trainer.checkpoint();
      expect(after.parameters).toEqual(before.parameters);
      expect(after.optimizer).toEqual(before.optimizer);
      trainer.dispose();
    }
  });

  it("is found where it first arises inside the loop", async () => {
    const trainer = await createTrainer(recurrent(rnn(2, { nonlinearity: "relu" }), { output: "last" }), {
      loss: mse(),
      optimizer: sgd(),
      batch: 1,
      backend: wasm(),
      weights: {
        weight_hh_l0: { shape: [2, 2], data: [1e10, 0, 0, 1e10] },
        weight_ih_l0: { shape: [2, 1], data: [1, 1] },
      },
    });
    const data = arrayBatches({
      inputs: new Float64Array(9).fill(1),
      inputShape: [9, 1],
      targets: [0, 0],
      targetShape: [2],
      shuffle: false,
    });
    const error = await reports(trainer, data, { steps: 1 }).catch((caught: unknown) => caught);
    // 1e10 to the power of t passes the largest float32, 3.4e38, at t = 4.
    expect(error).toMatchObject({ step: 1, time: 4 });
    expect((error as Error).message).toMatch(/rnn_l0/);
  });
});

describe("memory", () => {
  it("stays flat over 10,000 steps", async () => {
    const inputs = Float64Array.from({ length: 16 * 6 }, (_, i) => Math.sin(i));
    const data = arrayBatches({ inputs, inputShape: [6, 1], targets: new Float64Array(16), targetShape: [1] });
    const trainer = await createTrainer(
      sequential({ rnn: recurrent(lstm(4), { output: "last", layers: 2, dropout: 0.1 }), head: dense(1) }),
      { loss: mse(), optimizer: adam(), batch: 8, backend: wasm() },
    );
    await reports(trainer, data, { steps: 1000 });
    const planned = trainer.memory();
    globalThis.gc?.();
    const heap = process.memoryUsage().heapUsed;
    for await (const _ of trainer.fit(data, { steps: 11_000 }));
    globalThis.gc?.();
    expect(trainer.memory()).toEqual(planned);
    expect(process.memoryUsage().heapUsed - heap).toBeLessThan(globalThis.gc ? 1e6 : 40e6);
    trainer.dispose();
  }, 60_000);
});

describe("bad input", () => {
  it("names what does not fit", async () => {
    await expect(createTrainer(model(), options({ batch: 0 }))).rejects.toThrow(
      "batch must be a whole number of at least 1, not 0",
    );
    await expect(createTrainer(model(), options({ clip: { norm: -1 } }))).rejects.toThrow(
      "clip.norm must be above 0, not -1",
    );
    const data = arrayBatches({
      inputs: new Float64Array(24),
      inputShape: [3, 2],
      targets: new Float64Array(4),
      targetShape: [1],
    });
    const wrong = await createTrainer(sequential({ rnn: recurrent(lstm(3)), head: dense(1) }), {
      loss: mse(),
      optimizer: adam(),
      batch: 4,
      backend: reference(),
    });
    await expect(reports(wrong, data, { steps: 1 })).rejects.toThrow(/float targets \[3, 4, 1\].*\[4, 1\]/);
    const trainer = await createTrainer(model(), options());
    await reports(trainer, textBatches(text), { steps: 1 });
    expect(() => trainer.load({ "rnn.weight_hh_l0": { shape: [3], data: [1, 2, 3] } })).toThrow(
      /rnn\.weight_hh_l0.*\[32, 8\].*\[3\]/,
    );
    expect(() => trainer.load({ nothing: { shape: [3], data: [1, 2, 3] } })).toThrow(/no parameter "nothing"/);
    expect(dropout(0.5).kind).toBe("dropout");
  });
});

describe("given weights", () => {
  const inputs = new Float64Array(6).fill(0.5);
  const data = arrayBatches({ inputs, inputShape: [3, 1], targets: [0, 1], targetShape: [1] });
  const named = (weights: Required<TrainerOptions>["weights"]): Promise<Trainer> =>
    createTrainer(sequential({ rnn: recurrent(rnn(2), { output: "last" }), head: dense(1) }), {
      ...options({ loss: mse(), batch: 2 }),
      weights,
    });

  it("of a name that the model has not are refused, before training and before a prediction", async () => {
    const stranger = { "lstm.weight_ih_l0": { shape: [2, 1], data: [1, 1] } };
    const message = /^the model has no parameter "lstm.weight_ih_l0"; it has rnn.weight_ih_l0, .*head.bias$/;
    await expect(reports(await named(stranger), data, { steps: 1 })).rejects.toThrow(message);
    await expect((await named(stranger)).predictor({ inputShape: [3, 1, 1] })).rejects.toThrow(message);
    const loaded = await named({});
    loaded.load(stranger);
    await expect(reports(loaded, data, { steps: 1 })).rejects.toThrow(message);
  });

  it("may be some of the model's", async () => {
    const trainer = await named({ "head.bias": { shape: [1], data: [7] } });
    await trainer.predictor({ inputShape: [3, 1, 1] });
    expect(Array.from((await trainer.parameters())["head.bias"]!.data)).toEqual([7]);
  });
});

describe("a loss of one's own", () => {
  it("is given the mask of the steps where it makes one prediction of all", async () => {
    const pooled: Loss = {
      name: "pooled",
      target: (shape) => ({ shape: shape.slice(1), type: "float" }),
      apply(z, y, mask) {
        const valid = mask ?? constant(1, [z.shape[0]!, z.shape[1]!, 1]);
        const mean = sumRows(z.mul(valid), y.shape).div(sumRows(valid, [z.shape[1]!, 1]));
        return mse().apply(mean, y);
      },
    };
    const data = arrayBatches({
      inputs: [1, 1, 5, 5, 1, 2, 3, 6],
      inputShape: [4, 1],
      targets: [0, 1],
      targetShape: [1],
      lengths: [2, 4],
      shuffle: false,
    });
    const trainer = await createTrainer(sequential({ head: dense(1, { bias: false }) }), {
      ...options({ loss: pooled, optimizer: sgd({ learningRate: 0 }), batch: 2 }),
      weights: { "head.weight": { shape: [1, 1], data: [1] } },
    });
    // Means 1 of the first two steps, and 3 of four: ((1 − 0)² + (3 − 1)²) / 2.
    expect(losses(await reports(trainer, data, { steps: 1 }))).toEqual([2.5]);
    expect(await trainer.evaluate(data)).toBe(2.5);
  });
});

describe("an optimiser of one's own", () => {
  it("knows each parameter by name", async () => {
    const all = sgd({ learningRate: 0.5 });
    const names: string[] = [];
    const optimizer: typeof all = {
      ...all,
      update({ scalars: { learningRate, ...rest }, ...state }) {
        names.push(state.name);
        const factor = state.name === "head.bias" ? 0 : 1;
        return all.update({ ...state, scalars: { ...rest, learningRate: learningRate!.mul(factor) } });
      },
    };
    const data = arrayBatches({ inputs: [1, 2], inputShape: [1], targets: [3, 5], targetShape: [1] });
    const start = { "head.weight": { shape: [1, 1], data: [1] }, "head.bias": { shape: [1], data: [1] } };
    const trainer = await createTrainer(sequential({ head: dense(1) }), {
      ...options({ loss: mse(), optimizer, clip: {}, batch: 2 }),
      weights: start,
    });
    await reports(trainer, data, { steps: 1 });
    expect(names).toEqual(["head.weight", "head.bias"]);
    const after = await trainer.parameters();
    // Errors −1 and −2: dw = 2·(−1·1 − 2·2)/2 = −5.
    expect(Array.from(after["head.weight"]!.data)).toEqual([1 + 0.5 * 5]);
    expect(Array.from(after["head.bias"]!.data)).toEqual([1]);
  });

  it("gives what the built-in one gives, which is traced for one element of all parameters", async () => {
    for (const given of [
      adam({ weightDecay: 0.1, amsgrad: true }),
      rmsprop({ momentum: 0.9, centered: true }),
      sgd(),
    ]) {
      const calls: string[] = [];
      const update: typeof given.update = (state) => {
        calls.push(state.name);
        return given.update(state);
      };
      const runs: unknown[] = [];
      for (const optimizer of [given, { ...given, learningRate: given.learningRate }, { ...given, update }]) {
        const trainer = await createTrainer(model(), options({ optimizer, clip: { norm: 0.5, value: 0.3 } }));
        await reports(trainer, textBatches(text), { steps: 4 });
        const { parameters, optimizer: slots } = await trainer.checkpoint();
        runs.push([parameters, slots]);
        trainer.dispose();
      }
      expect(runs[1]).toEqual(runs[0]);
      expect(runs[2]).toEqual(runs[0]);
      expect(calls).toEqual(Object.keys((runs[0] as [object])[0]));
    }
  });
});
