import { expect, test } from "vitest";
import { lstm } from "../../src/cells/lstm.js";
import { readText } from "../../src/data/text.js";
import { textBatches } from "../../src/data/text-batches.js";
import { UserError } from "../../src/errors.js";
import { checkNames, checkpointFiles, readCheckpoint, readWeights } from "../../src/files/checkpoint.js";
import { loadRun, saveRun } from "../../src/files/run-folder-node.js";
import { encodeSafetensors } from "../../src/files/safetensors.js";
import { dense } from "../../src/layers/dense.js";
import { oneHotEncoding } from "../../src/layers/embedding.js";
import { batchNorm } from "../../src/layers/normalization.js";
import { recurrent } from "../../src/layers/recurrent.js";
import { sequential } from "../../src/layers/sequential.js";
import type { BatchSource, TrainingData } from "../../src/train/data.js";
import { crossEntropy, mse } from "../../src/train/losses.js";
import { adam, sgd } from "../../src/train/optimizers.js";
import { plateau } from "../../src/train/schedules.js";
import { type Checkpoint, createTrainer, type Report, type Trainer } from "../../src/train/trainer.js";
import { sourceOf } from "../train/source.js";
import { temporaryFolder } from "./temporary-folder.js";

const bytesOf = (files: Record<string, Uint8Array | string>): Map<string, Uint8Array> =>
  new Map(Object.entries(files).map(([name, data]) => [name, typeof data === "string" ? Buffer.from(data) : data]));

const metrics = [1.5, Number.NaN, Infinity, -Infinity, 0.1 + 0.2];
const progress = { step: 7, epoch: 1, index: 3, seed: 5, metrics, bestLoss: 0.1 + 0.2, sinceBest: 0 };
const odd = [0, -0, 1 / 3, Math.fround(1 / 3), 5e-324, 1e-45, Number.MAX_VALUE, -1e30];
const made: Checkpoint = {
  parameters: {
    "rnn.weight_hh_l0": { shape: [2, 4], data: Float64Array.from(odd) },
    b: { shape: [1], data: Float32Array.of(0.1) },
  },
  optimizer: {
    "rnn.weight_hh_l0.mean": { shape: [2, 4], data: Float64Array.from(odd) },
    "b.mean": { shape: [1], data: Float32Array.of(1e-45) },
  },
  statistics: { "1.running_mean": { shape: [3], data: Float32Array.of(1, -0, 3) } },
  states: { "rnn.h_l0": { shape: [1, 2], data: Float32Array.of(0.3, 1e-40) } },
  best: {
    "rnn.weight_hh_l0": { shape: [2, 4], data: Float64Array.from(odd).reverse() },
    b: { shape: [1], data: Float32Array.of(9) },
  },
  progress,
};

test("every number comes back as it was, to the bit, in its own precision", () => {
  const files = checkpointFiles(made);
  expect(Object.keys(files).sort()).toEqual([
    "best.safetensors",
    "optimizer.safetensors",
    "progress.json",
    "states.safetensors",
    "statistics.safetensors",
    "weights.safetensors",
  ]);
  const read = readCheckpoint(bytesOf(files), "here");
  expect(read).toEqual(made); // toEqual tells −0 from 0, and a Float32Array from a Float64Array
  expect(checkpointFiles(read)).toEqual(files);
  expect(readWeights(bytesOf(files), "here")).toEqual(made.parameters);
  const { best: _, ...plain } = { ...made, statistics: {}, states: {} };
  expect(Object.keys(checkpointFiles(plain)).sort()).toEqual([
    "optimizer.safetensors",
    "progress.json",
    "weights.safetensors",
  ]);
  expect(readCheckpoint(bytesOf(checkpointFiles(plain)), "here")).toEqual(plain);
});

test("what is missing or damaged is named", () => {
  const refusal = (change: Record<string, Uint8Array | string | undefined>): string => {
    const files = { ...checkpointFiles(made), ...change };
    const there = Object.fromEntries(Object.entries(files).filter(([, data]) => data !== undefined));
    try {
      readCheckpoint(bytesOf(there as Record<string, Uint8Array | string>), "run/c");
    } catch (error) {
      expect(error).toBeInstanceOf(UserError);
      return (error as Error).message;
    }
    return "";
  };
  const json = (change: object): string => JSON.stringify({ ...progress, ...change });
  expect(refusal({ "weights.safetensors": undefined })).toBe("run/c holds no weights.safetensors.");
  expect(refusal({ "progress.json": undefined })).toBe("run/c holds no progress.json, so its training cannot go on.");
  expect(refusal({ "progress.json": "{" })).toBe("run/c/progress.json is damaged: it is not valid JSON.");
  expect(refusal({ "progress.json": "3" })).toBe("run/c/progress.json is damaged: it is no JSON object.");
  expect(refusal({ "progress.json": json({ step: -1 }) })).toBe(
    'run/c/progress.json is damaged: its "step" is no whole number.',
  );
  expect(refusal({ "progress.json": json({ seed: "x" }) })).toBe(
    'run/c/progress.json is damaged: its "seed" is no number.',
  );
  expect(refusal({ "progress.json": json({ metrics: [1, null] }) })).toMatch(/its "metrics" are no list of numbers\.$/);
  expect(refusal({ "progress.json": json({ metrics: [1, "nan"] }) })).toMatch(
    /its "metrics" are no list of numbers\.$/,
  );
  expect(refusal({ "progress.json": json({ metrics: "NaN" }) })).toMatch(/its "metrics" are no list of numbers\.$/);
  expect(refusal({ "progress.json": json({ bestLoss: "0" }) })).toMatch(/its "bestLoss" is no number\.$/);
  expect(refusal({ "states.safetensors": new Uint8Array(3) })).toMatch(
    /^run\/c\/states\.safetensors cannot be read as safetensors: /,
  );
  const whole = encodeSafetensors({ b: { dtype: "I32", shape: [1], data: Int32Array.of(1) } });
  expect(refusal({ "best.safetensors": whole })).toMatch(
    /^run\/c\/best\.safetensors: tensor "b" holds I32, where numbers with a fraction/,
  );
  const slots = (name: string, shape: number[]): Uint8Array =>
    encodeSafetensors({ [name]: { dtype: "F32", shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) } });
  expect(refusal({ "optimizer.safetensors": slots("c.mean", [1]) })).toMatch(
    /holds a tensor "c\.mean" that belongs to no weight\.$/,
  );
  expect(refusal({ "optimizer.safetensors": slots("b.mean", [2]) })).toMatch(
    /tensor "b\.mean" has shape \[2\], its weight \[1\]\.$/,
  );
  expect(() => checkNames(["a", "b"], { a: made.parameters.b! }, "w")).toThrow('w lacks the tensor "b" of its model.');
  expect(() => checkNames(["a"], { a: made.parameters.b!, c: made.parameters.b! }, "w")).toThrow(
    'w holds a tensor "c" that its model has not.',
  );
});

const text = readText("the cat sat on the mat, and the dog sat on the log; ".repeat(12), { validation: 0.2 });
const trainer = (backend: "wasm" | "reference"): Promise<Trainer> =>
  createTrainer(
    sequential({
      embedding: oneHotEncoding(text.vocabulary.size),
      rnn: recurrent(lstm(6), { layers: 2, dropout: 0.3 }),
      norm: batchNorm(),
      head: dense(text.vocabulary.size),
    }),
    {
      loss: crossEntropy(),
      optimizer: adam({ learningRate: 0.01 }),
      bptt: { window: 8 },
      batch: 4,
      seed: 3,
      backend,
      clip: { norm: 1 },
    },
  );
const steps = async (on: Trainer, until: number): Promise<Report[]> => {
  const reports: Report[] = [];
  for await (const report of on.fit(textBatches(text), {
    steps: until,
    validateEvery: 5,
    restoreBest: true,
    patience: 99,
  }))
    if (reports.push(report) && report.step === until) break;
  return reports.map(({ elementsPerSecond: _, ...rest }) => rest as Report);
};

test.each(["wasm", "reference"] as const)(
  "a run through files goes on bit for bit on %s, statistics and best weights included",
  async (backend) => {
    const straight = await trainer(backend);
    const all = await steps(straight, 35);

    const first = await trainer(backend);
    const before = await steps(first, 15);
    const dir = await temporaryFolder();
    await saveRun(dir, { config: {}, files: checkpointFiles(await first.checkpoint()) });
    const second = await trainer(backend);
    const run = await loadRun(dir);
    second.restore(readCheckpoint(run.files, dir));
    const after = await steps(second, 35);

    expect([...before, ...after]).toEqual(all);
    const [one, two] = [await straight.checkpoint(), await second.checkpoint()];
    expect(Object.keys(one.statistics).length).toBeGreaterThan(0);
    expect(one.best).toBeDefined();
    expect(two).toEqual(one);
    expect(one.parameters["head.weight"]!.data).toBeInstanceOf(backend === "wasm" ? Float32Array : Float64Array);
  },
);

/** A line through the origin; each validation of the `seen`-th and later ones has the next of these errors. */
const errors = [2, Number.NaN, Infinity, 1, Number.NaN, Infinity, Infinity, 0.5, Number.NaN, 3, 2, 1];
const withErrors = (seen: number): TrainingData => {
  const source = (validates: boolean): BatchSource =>
    sourceOf([2, 1], {
      length: 3,
      carries: false,
      fill(index, inputs, targets) {
        for (let i = 0; i < 2; i++) [inputs[i], targets[i]] = validates ? [0, 0] : [index + i, 3 * (index + i)];
        if (validates && index === 0) targets[0] = errors[seen++]!;
        return true;
      },
    });
  return { train: () => source(false), validation: () => source(true) };
};

test.each([
  ["files", (checkpoint: Checkpoint) => readCheckpoint(bytesOf(checkpointFiles(checkpoint)), "here")],
  [
    "the user's own JSON",
    (checkpoint: Checkpoint) => ({ ...checkpoint, progress: JSON.parse(JSON.stringify(checkpoint.progress)) }),
  ],
])("validation losses that are not finite are the same for plateau after a way through %s", async (_, through) => {
  const create = (): Promise<Trainer> =>
    createTrainer(dense(1, { bias: false }), {
      loss: mse(),
      optimizer: sgd({ learningRate: 0.01 }),
      schedule: plateau({ factor: 0.5, patience: 1 }),
      batch: 2,
      backend: "reference",
    });
  const fitted = async (on: Trainer, from: number, until: number): Promise<object[]> => {
    const all: object[] = [];
    for await (const { loss, learningRate, validationLoss } of on.fit(withErrors(from), {
      steps: until,
      validateEvery: 1,
    }))
      all.push({ loss, learningRate, validationLoss });
    return all;
  };
  const straight = await create();
  const expected = await fitted(straight, 0, errors.length);
  expect(new Set(expected.map((report) => (report as Report).learningRate)).size).toBeGreaterThan(3);
  for (const cut of [3, 6, 9]) {
    const first = await create();
    const before = await fitted(first, 0, cut);
    const second = await create();
    second.restore(through(await first.checkpoint()));
    expect([...before, ...(await fitted(second, cut, errors.length))]).toEqual(expected);
  }
});
