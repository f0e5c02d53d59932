// T steps of a window, S of a segment, N rows of the batch.
import { describe, expect, it, vi } from "vitest";
import type { Backend } from "../../src/backend/contract.js";
import { reference } from "../../src/backend/reference/index.js";
import { wasm } from "../../src/backend/wasm/index.js";
import { createWasmSession } from "../../src/backend/wasm/session.js";
import { gru } from "../../src/cells/gru.js";
import { lstm } from "../../src/cells/lstm.js";
import { rnn } from "../../src/cells/rnn.js";
import { arrayBatches } from "../../src/data/arrays.js";
import { concat, current, dropped, matmul, sumRows, unroll, zeros } from "../../src/graph/language.js";
import { variable } from "../../src/graph/variable.js";
import {
  batchNorm,
  dense,
  dropout,
  embedding,
  last,
  layerNorm,
  oneHotEncoding,
  type RecurrentOptions,
  recurrent,
  residual,
  sequential,
} from "../../src/layers/index.js";
import type { Layer } from "../../src/layers/layer.js";
import { createRng } from "../../src/parameters/rng.js";
import type { BatchSource, TrainingData } from "../../src/train/data.js";
import { NonFiniteError } from "../../src/train/diagnose.js";
import type { Loss } from "../../src/train/loss.js";
import { crossEntropy, mse } from "../../src/train/losses.js";
import { adam, sgd } from "../../src/train/optimizers.js";
import { segmentsOf } from "../../src/train/segments.js";
import {
  type Bptt,
  type Checkpoint,
  createTrainer,
  type Report,
  type TrainerOptions,
} from "../../src/train/trainer.js";
import { PageWorker } from "../backend/wasm/page-worker.js";
import { sourceOf } from "./source.js";

const rng = createRng(7);
const numbers = (size: number): Float64Array => Float64Array.from({ length: size }, () => rng.normal());

/** Numbers that go on from window to window, one row restarted at times. */
function stream(
  steps: number,
  { rows = 3, features = 2, outputs = 2, classes = 0, windows = 4, atEnd = false } = {},
): TrainingData {
  const draw = (count: number): ArrayLike<number> =>
    classes ? Int32Array.from({ length: count }, () => Math.floor(rng.uniform() * classes)) : numbers(count);
  const inputs = Array.from({ length: windows }, () => draw(steps * rows * (classes ? 1 : features)));
  const targets = Array.from({ length: windows }, () => draw((atEnd ? 1 : steps) * rows * (classes ? 1 : outputs)));
  const type = classes ? "index" : "float";
  const source: BatchSource = {
    inputShape: [steps, rows, classes ? 1 : features],
    inputType: type,
    targetShape: [...(atEnd ? [] : [steps]), rows, classes ? 1 : outputs],
    targetType: type,
    length: windows,
    carries: true,
    masked: false,
    fill(index, x, y) {
      x.set(inputs[index]!);
      y.set(targets[index]!);
      return index === 0 ? true : Array.from({ length: rows }, (_, n) => (index % 2 === 1 && n === 1 ? 1 : 0));
    },
  };
  return { train: () => source, validation: () => source };
}

function sequences(
  steps: number,
  { perStep = true, lengths = [] as number[], classes = 0, outputs = 2 } = {},
): TrainingData {
  const [count, features] = [6, 2];
  const places = count * (perStep ? steps : 1);
  const shape = perStep ? [steps] : [];
  return arrayBatches({
    inputs: numbers(count * steps * features),
    inputShape: [steps, features],
    targets: classes
      ? Int32Array.from({ length: places }, (_, i) => (i % 5 === 0 ? -100 : Math.floor(rng.uniform() * classes)))
      : numbers(places * outputs),
    targetShape: classes ? [...shape, 1] : [...shape, outputs],
    targetType: classes ? "index" : "float",
    ...(lengths.length > 0 ? { lengths } : {}),
  });
}

interface Run {
  readonly reports: Report[];
  readonly checkpoint: Checkpoint;
  readonly evaluation: number;
}

async function train(model: Layer, data: TrainingData, options: Partial<TrainerOptions>, steps = 5): Promise<Run> {
  const { bptt = {} } = options;
  const trainer = await createTrainer(model, {
    loss: mse(),
    optimizer: adam({ learningRate: 0.02 }),
    batch: 3,
    seed: 3,
    backend: reference(),
    ...options,
    bptt: "every" in bptt ? bptt : { window: data.train({ batch: 3, window: 1, stride: 1 }).inputShape[0]!, ...bptt },
  });
  const reports: Report[] = [];
  for await (const report of trainer.fit(data, { steps })) reports.push(report);
  const run = { reports, checkpoint: await trainer.checkpoint(), evaluation: await trainer.evaluate(data) };
  trainer.dispose();
  return run;
}

function expectSame(found: Run, expected: Run, tolerance = 1e-12): void {
  const near = (a: number, b: number, what: string): void =>
    expect(Math.abs(a - b) / Math.max(1, Math.abs(b)), `${what}: ${a} beside ${b}`).toBeLessThan(tolerance);
  expect(found.reports.length).toBe(expected.reports.length);
  for (const [i, report] of expected.reports.entries()) {
    near(found.reports[i]!.loss, report.loss, `loss ${i}`);
    near(found.reports[i]!.gradientNorm, report.gradientNorm, `norm ${i}`);
  }
  for (const part of ["parameters", "optimizer", "states"] as const) {
    expect(Object.keys(found.checkpoint[part])).toEqual(Object.keys(expected.checkpoint[part]));
    for (const [name, { data }] of Object.entries(expected.checkpoint[part]))
      for (const [i, value] of Array.from(data).entries())
        near(found.checkpoint[part][name]!.data[i]!, value, `${part}: ${name}[${i}]`);
  }
  near(found.evaluation, expected.evaluation, "evaluation");
}

/** Runs with whole windows and in segments, and expects the same. */
async function compare(
  model: Layer,
  data: TrainingData,
  options: Partial<TrainerOptions> = {},
  recomputes: readonly (true | number)[] = [true, 5],
): Promise<void> {
  const { bptt = {}, ...rest } = options;
  const whole = await train(model, data, { ...rest, bptt });
  for (const { data: state } of Object.values(whole.checkpoint.states)) expect(Array.from(state)).not.toContain(0);
  for (const recompute of recomputes)
    expectSame(await train(model, data, { ...rest, bptt: { ...bptt, recompute } as Bptt }), whole);
}

const head = (features: number, rnnLayer: Layer): Layer => sequential({ rnn: rnnLayer, head: dense(features) });

describe("segments", () => {
  it("cover the window in order, as even as may be, and cross no border", () => {
    for (const [steps, longest, window] of [
      [23, 5, undefined],
      [100_000, 317, undefined],
      [7, 1, undefined],
      [9, 9, undefined],
      [10, 3, { every: 4, through: 10 }],
      [10, 3, { every: 10, through: 4 }],
    ] as const) {
      const all = segmentsOf(steps, longest, window);
      expect(all.map(({ start }) => start)).toEqual(all.map((_, i) => all.slice(0, i).reduce((s, x) => s + x.size, 0)));
      expect(all.at(-1)!.start + all.at(-1)!.size).toBe(steps);
      expect(Math.max(...all.map(({ size }) => size))).toBeLessThanOrEqual(longest);
      expect(all.filter(({ carries }) => carries).map(({ start, size }) => start + size)).toEqual([
        window?.every ?? steps,
      ]);
      if (!window) expect(new Set(all.map(({ size }) => size)).size).toBeLessThanOrEqual(2);
    }
  });
});

describe("recomputed segments give the gradients of the whole window", () => {
  it("of every length, the whole window's included", async () => {
    await compare(head(2, recurrent(lstm(4))), stream(23), { clip: { norm: 0.3 } }, [true, 1, 5, 22, 50]);
  });

  it("of stacked cells, norms, residual connections, learned initial states", async () => {
    await compare(
      sequential({
        in: dense(5),
        rnn: recurrent(gru(5), { layers: 3, residual: true, layerNorm: true, initialState: "learned" }),
        norm: layerNorm(),
        around: residual(dense(5, { activation: "tanh" })),
        head: dense(2),
      }),
      stream(17),
      { clip: { value: 0.02, norm: 0.05 } },
    );
  });

  it("of text, with an embedding and class weights", async () => {
    const model = sequential({ x: embedding(5, 3), rnn: recurrent(rnn(4), { layers: 2 }), head: dense(5) });
    await compare(model, stream(13, { classes: 5 }), { loss: crossEntropy({ classWeights: [1, 2, 0.5, 3, 0] }) });
    const oneHot = sequential({ x: oneHotEncoding(5), rnn: recurrent(lstm(4)), head: dense(5) });
    await compare(oneHot, stream(13, { classes: 5 }), { loss: crossEntropy({ ignoreIndex: 2 }) });
  });

  it("of sequences, with lengths, with one prediction for each", async () => {
    const lengths = [19, 1, 7, 12, 19, 5];
    await compare(head(2, recurrent(gru(4))), sequences(19));
    await compare(head(2, recurrent(gru(4), { layers: 2 })), sequences(19, { lengths }));
    await compare(head(2, recurrent(lstm(4), { output: "last" })), sequences(19, { perStep: false }));
    await compare(head(2, recurrent(lstm(4), { output: "last" })), sequences(19, { perStep: false, lengths }));
    await compare(
      sequential({ rnn: recurrent(lstm(4)), last: last(), head: dense(2) }),
      sequences(19, { perStep: false }),
    );
    const loss = crossEntropy({ ignoreIndex: -100, classWeights: [1, 3, 2] });
    await compare(head(3, recurrent(gru(4))), sequences(19, { classes: 3, lengths }), { loss });
    await compare(head(3, recurrent(gru(4), { output: "last" })), sequences(19, { classes: 3, perStep: false }), {
      loss,
    });
  });

  it("over micro-batches", async () => {
    await compare(head(2, recurrent(lstm(4))), stream(11), { accumulate: 2, clip: { norm: 0.2 } });
    await compare(head(2, recurrent(gru(4))), sequences(11, { lengths: [3, 11, 5, 9, 1, 2] }), {
      accumulate: 3,
      batch: 2,
    });
  });

  it("of windows through k2 steps every k1 steps", async () => {
    const model = head(2, recurrent(lstm(4), { layers: 2 }));
    for (const [every, through] of [
      [4, 11],
      [9, 11],
      [11, 4],
      [11, 10],
    ] as const)
      await compare(model, stream(11), { bptt: { every, through } }, [true, 3]);
    const end = head(2, recurrent(lstm(4), { output: "last" }));
    await compare(end, stream(11, { atEnd: true }), { bptt: { every: 7, through: 11 } }, [true, 3]);
    const loss = crossEntropy({ classWeights: [1, 2, 0.5, 3], ignoreIndex: 0 });
    const tagger = sequential({ embed: embedding(4, 3), rnn: recurrent(lstm(4)), head: dense(4) });
    await compare(tagger, stream(11, { classes: 4 }), { loss, bptt: { every: 7, through: 11 } }, [true, 3]);
  });

  it("of a network whose layers have no state", async () => {
    await compare(sequential(dense(4, { activation: "tanh" }), dense(2)), stream(10));
  });

  it("in float32, on one thread and two, and in a worker with memory of its own", async () => {
    const model = head(2, recurrent(lstm(6), { layers: 2 }));
    const data = stream(40, { rows: 4 });
    const whole = await train(model, data, { batch: 4, backend: reference() });
    vi.stubGlobal("Worker", PageWorker);
    const plain = wasm();
    const options = { relaxed: false, revectorized: false, threads: 1, remote: true };
    const remote: Backend = { ...plain, createSession: async () => createWasmSession(plain, options) };
    for (const backend of [wasm({ threads: 1 }), wasm({ threads: 2, shareFrom: 0 }), remote]) {
      expectSame(await train(model, data, { batch: 4, bptt: { recompute: true }, backend }), whole, 2e-5);
    }
    vi.unstubAllGlobals();
  });
});

describe("dropout", () => {
  const slow = (steps: number): Partial<TrainerOptions> => ({
    optimizer: sgd({ learningRate: 1e-3 }),
    bptt: { window: steps, recompute: 4 },
  });

  it("draws the masks of the forward pass again", async () => {
    const model = sequential({
      wet: dropout(0.2),
      rnn: recurrent(lstm(3), { layers: 2, dropout: 0.3, variationalDropout: 0.2 }),
      dry: dropout(0.1),
      head: dense(2),
    });
    const data = stream(14);
    const still = await train(model, data, { ...slow(14), optimizer: sgd({ learningRate: 0 }) }, 1);
    const moved = await train(model, data, slow(14), 1);
    const lossWith = async (name: string, i: number, by: number): Promise<number> => {
      const weights = Object.fromEntries(
        Object.entries(still.checkpoint.parameters).map(([key, { shape, data: values }]) => [
          key,
          { shape, data: Array.from(values, (value, k) => (key === name && k === i ? value + by : value)) },
        ]),
      );
      return (await train(model, data, { ...slow(14), weights }, 1)).reports[0]!.loss;
    };
    for (const [name, i] of [
      ["rnn.weight_ih_l0", 3],
      ["rnn.weight_hh_l0", 10],
      ["rnn.weight_hh_l1", 5],
      ["head.weight", 2],
    ] as const) {
      const gradient =
        (still.checkpoint.parameters[name]!.data[i]! - moved.checkpoint.parameters[name]!.data[i]!) / 1e-3;
      const slope = ((await lossWith(name, i, 1e-5)) - (await lossWith(name, i, -1e-5))) / 2e-5;
      expect(Math.abs(gradient)).toBeGreaterThan(1e-6);
      expect(Math.abs(gradient - slope), `${name}: ${gradient} beside ${slope}`).toBeLessThan(1e-8);
    }
  });

  it("that all steps share is the same in all segments, and the same as without them", async () => {
    const model = head(2, recurrent(gru(4), { layers: 2, variationalDropout: { input: 0.4, recurrent: 0.3 } }));
    await compare(model, stream(14));
  });

  it("of single steps is another in each segment", async () => {
    // Whatever the input, the prediction is 2 or 0, by the mask alone: equal masks would give equal losses in all segments.
    const bare: Layer = {
      kind: "bare",
      apply: (x, context) => dropped(x.mul(0).add(1), 0.5, context.seed(), context.key()),
    };
    const source = stream(8).train({ batch: 3, window: 8, stride: 8 });
    const flat = (steps: number): TrainingData => ({
      train: () => ({
        ...source,
        inputShape: [steps, 3, 2],
        targetShape: [steps, 3, 2],
        fill: (index, x, y) => {
          x.fill(1);
          y.fill(0);
          return index === 0;
        },
      }),
    });
    const loss = async (steps: number): Promise<number> =>
      (await train(bare, flat(steps), { bptt: { window: steps, recompute: 4 } }, 1)).reports[0]!.loss;
    expect(await loss(8)).not.toBe(await loss(4));
  });
});

describe("what is not possible in segments is refused by name", () => {
  const refused = async (model: Layer, data: TrainingData): Promise<string> =>
    await train(model, data, { bptt: { window: 12, recompute: 4 } }, 1).then(
      () => "",
      (error: Error) => error.message,
    );
  const custom = (apply: Layer["apply"]): Layer => sequential({ strange: { kind: "strange", apply }, head: dense(2) });

  it("a loss with one target for all steps", async () => {
    const pooled: Loss = { ...mse(), name: "pooled", target: (shape) => ({ shape: shape.slice(1), type: "float" }) };
    await expect(
      train(head(2, recurrent(gru(3))), sequences(12, { perStep: false }), { loss: pooled, bptt: { recompute: 4 } }, 1),
    ).rejects.toThrow(/^bptt\.recompute: pooled wants one target for all steps of predictions \[4, \d+, 2\]/);
  });

  it("layers that see other steps", async () => {
    expect(await refused(head(2, recurrent(gru(3), { bidirectional: true })), stream(12))).toMatch(
      /^bptt\.recompute: layer rnn \(recurrent\)\.l0_reverse runs from the last step to the first, so that/,
    );
    expect(
      await refused(sequential({ rnn: recurrent(gru(3)), norm: batchNorm(), head: dense(2) }), stream(12)),
    ).toMatch(/layer norm \(batchNorm\) takes the steps together \(sumRows\)/);
    expect(
      await refused(
        sequential({ rnn: recurrent(gru(3)), last: last(), head: dense(2) }),
        sequences(12, { perStep: false, lengths: [3, 12, 5, 9, 1, 2] }),
      ),
    ).toMatch(/layer last \(last\) has a time loop whose state is not handed on/);
    expect(
      await refused(
        sequential({ rnn: recurrent(gru(3), { output: "last" }), norm: batchNorm(), head: dense(2) }),
        sequences(12, { perStep: false }),
      ),
    ).toMatch(/keeps statistics of whole windows \(norm\.running_mean\)/);
  });

  it("layers of one's own", async () => {
    expect(
      await refused(
        custom((x) => x.sub(sumRows(x, x.shape.slice(1)))),
        stream(12),
      ),
    ).toMatch(/sumRows/);
    expect(
      await refused(
        custom((x) => matmul(matmul(x, x, { transposeB: true }), x)),
        stream(12),
      ),
    ).toMatch(/layer strange \(strange\) takes the steps together \(matmul\)/);
    expect(
      await refused(
        custom((x) => x.add(current(variable("places", x.shape)))),
        stream(12),
      ),
    ).toMatch(/numbers of its own for each step \("places"\)/);
    const running = (x: Parameters<Layer["apply"]>[0]) =>
      unroll({
        inputs: { x },
        state: { y: zeros(x.shape.slice(1)) },
        step: (at, { y }) => ({ state: { y: y.add(at.x) }, outputs: { y } }),
      }).outputs.y;
    expect(await refused(custom(running), stream(12))).toMatch(/a time loop whose state is not handed on/);
    expect(
      await refused(
        custom((x, c) => concat([x, x.add(c.state("s", [3, 2]))])),
        stream(12),
      ),
    ).toMatch(/the state "strange\.s" outside of its time loop/);
  });

  it("lengths that are none", async () => {
    for (const recompute of [0, 1.5, -3])
      await expect(createTrainer(dense(1), { loss: mse(), optimizer: sgd(), bptt: { recompute } })).rejects.toThrow(
        `bptt.recompute must be a whole number of at least 1, not ${recompute}`,
      );
  });

  it("targets that do not fit", async () => {
    await expect(
      train(head(3, recurrent(gru(3))), stream(12), { bptt: { window: 12, recompute: true } }, 1),
    ).rejects.toThrow("mse: the model's predictions want float targets [12, 3, 3], not float [12, 3, 2]");
  });
});

describe("a run in segments", () => {
  it("goes on from a checkpoint bit for bit", async () => {
    for (const backend of [reference(), wasm()]) {
      const model = head(2, recurrent(lstm(4), { layers: 2, dropout: 0.3 }));
      const data = stream(15);
      const create = () =>
        createTrainer(model, {
          loss: mse(),
          optimizer: adam(),
          batch: 3,
          bptt: { window: 15, recompute: true },
          backend,
        });
      const [straight, before, after] = [await create(), await create(), await create()];
      for await (const _ of straight.fit(data, { steps: 7 }));
      for await (const _ of before.fit(data, { steps: 3 }));
      after.restore(await before.checkpoint());
      for await (const _ of after.fit(data, { steps: 7 }));
      expect(await after.checkpoint()).toEqual(await straight.checkpoint());
    }
  });

  it("stops at a number that is not finite, names tensor and time in the window, and changes nothing", async () => {
    for (const backend of [reference(), wasm()]) {
      const data = stream(20);
      const clean = data.train({ batch: 3, window: 20, stride: 20 });
      for (const where of ["inputs", "targets"] as const) {
        const dirty: TrainingData = {
          train: () => ({
            ...clean,
            fill(index, inputs, targets, mask) {
              const reset = clean.fill(index, inputs, targets, mask);
              if (index === 2) ({ inputs, targets })[where][13 * 3 * 2 + 1] = Number.NaN;
              return reset;
            },
          }),
        };
        const trainer = await createTrainer(head(2, recurrent(lstm(4))), {
          loss: mse(),
          optimizer: adam(),
          batch: 3,
          bptt: { window: 20, recompute: 6 },
          backend,
        });
        for await (const _ of trainer.fit(dirty, { steps: 2 }));
        const before = await trainer.checkpoint();
        const error = await (async () => {
          for await (const _ of trainer.fit(dirty, { steps: 3 }));
        })().catch((caught: unknown) => caught);
        expect(error).toBeInstanceOf(NonFiniteError);
        expect(error).toMatchObject({ step: 3, tensor: where === "inputs" ? "input" : "target", time: 13 });
        expect(await trainer.checkpoint()).toEqual(before);
        trainer.dispose();
      }
    }
  });

  it("names the step where a state first grows past all bounds, as it does without", async () => {
    // h' = relu(10¹⁰·h + x) from x = 1: 10³⁰ after 4 steps, past float32's 3.4e38 in the fifth, at time index 4.
    const found = async (
      bptt: Bptt,
      make: (steps: number) => TrainingData,
      options: RecurrentOptions = {},
    ): Promise<NonFiniteError> => {
      const trainer = await createTrainer(recurrent(rnn(1, { nonlinearity: "relu", bias: false }), options), {
        loss: mse(),
        optimizer: sgd(),
        batch: 1,
        bptt,
        backend: wasm(),
        weights: {
          weight_hh_l0: { shape: [1, 1], data: [1e10] },
          weight_ih_l0: { shape: [1, 1], data: [1] },
        },
      });
      const error = await (async () => {
        for await (const _ of trainer.fit(make(30), { steps: 1 }));
      })().catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(NonFiniteError);
      trainer.dispose();
      return error as NonFiniteError;
    };
    const whole = (steps: number): TrainingData =>
      arrayBatches({
        inputs: new Float64Array(steps).fill(1),
        inputShape: [steps, 1],
        targets: new Float64Array(steps),
        targetShape: [steps, 1],
      });
    const { tensor } = await found({}, whole);
    for (const recompute of [10, 4, 25, true] as const)
      expect(await found({ recompute }, whole)).toMatchObject({ tensor, time: 4 });
    // One prediction, from the end: the segments before it have no loss.
    const atEnd = (steps: number): TrainingData =>
      arrayBatches({
        inputs: new Float64Array(steps).fill(1),
        inputShape: [steps, 1],
        targets: [0],
        targetShape: [1],
      });
    const end = { output: "last" } as const;
    expect(await found({}, atEnd, end)).toMatchObject({ tensor, time: 4 });
    for (const recompute of [10, 4]) expect(await found({ recompute }, atEnd, end)).toMatchObject({ tensor, time: 4 });
    // The gradient goes back 5 of 20 steps: the segment where it begins is never gone back through.
    const windows = (): TrainingData => ({
      train: ({ window }) =>
        sourceOf([window, 1, 1], {
          fill(_, inputs, targets) {
            inputs.fill(1);
            targets.fill(0);
            return true;
          },
        }),
    });
    const cut = { every: 20, through: 5 };
    expect(await found({ ...cut, recompute: 8 }, windows)).toMatchObject({ tensor, time: 4 });
  });

  it("names where a gradient grows past all bounds", async () => {
    // h' = tanh 30·h from h = 0: the state stays 0, its gradient is 30^25 = 8e36 after 25 steps, and past float32's 3.4e38 soon after.
    const trainer = await createTrainer(recurrent(rnn(1)), {
      loss: mse(),
      optimizer: sgd(),
      batch: 1,
      bptt: { window: 40, recompute: 5 },
      backend: wasm(),
      weights: {
        weight_hh_l0: { shape: [1, 1], data: [30] },
        weight_ih_l0: { shape: [1, 1], data: [1] },
        bias_ih_l0: { shape: [1], data: [0] },
        bias_hh_l0: { shape: [1], data: [0] },
      },
    });
    const data = arrayBatches({
      inputs: new Float64Array(40),
      inputShape: [40, 1],
      targets: new Float64Array(40).fill(1),
      targetShape: [40, 1],
    });
    const error = await (async () => {
      for await (const _ of trainer.fit(data, { steps: 1 }));
    })().catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(NonFiniteError);
    expect((error as Error).message).toMatch(/rnn_l0/);
    expect((error as NonFiniteError).time).toBeGreaterThan(9);
    expect((error as NonFiniteError).time).toBeLessThan(16);
    trainer.dispose();
  });

  it("takes memory for √T steps, and states, not for T", async () => {
    const planned = async (steps: number, bptt: Bptt): Promise<number> => {
      const trainer = await createTrainer(head(1, recurrent(gru(32))), {
        loss: mse(),
        optimizer: adam(),
        batch: 2,
        bptt,
        backend: wasm(),
      });
      for await (const _ of trainer.fit(stream(steps, { rows: 2, features: 1, outputs: 1, windows: 1 }), { steps: 1 }));
      const { total } = trainer.memory();
      trainer.dispose();
      return total;
    };
    const whole = await planned(6400, {});
    expect(await planned(6400, { recompute: true })).toBeLessThan(whole / 15);
    // Ten times the memory of a segment for 100 times the steps.
    const [short, long] = [await planned(1600, { recompute: true }), await planned(6400, { recompute: true })];
    expect(long).toBeLessThan(2.2 * short);
  });
});
