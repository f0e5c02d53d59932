/** Reports of several updates: the run is the same, on backends that answer at once and on those that are not waited for. */
import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/backend/contract.js";
import { reference } from "../../src/backend/reference/index.js";
import { wasm } from "../../src/backend/wasm/index.js";
import { lstm } from "../../src/cells/lstm.js";
import { arrayBatches } from "../../src/data/arrays.js";
import { dense, dropout, recurrent, sequential } from "../../src/layers/index.js";
import { createRng } from "../../src/parameters/rng.js";
import type { TrainingData } from "../../src/train/data.js";
import { NonFiniteError } from "../../src/train/diagnose.js";
import { mse } from "../../src/train/losses.js";
import { adam } from "../../src/train/optimizers.js";
import { step as stepSchedule } from "../../src/train/schedules.js";
import { createTrainer, type Report, type Trainer } from "../../src/train/trainer.js";

/** A backend whose numbers are far away: every answer is a promise, runs are only known to have ended when asked. */
const distant = (near: Backend, seen = { answers: 0 }): Backend => ({
  ...near,
  async createSession() {
    const { readNow: _, ...session } = await near.createSession();
    const read: typeof session.read = async (...what) => {
      seen.answers++;
      await Promise.resolve();
      return session.read(...what);
    };
    return { ...session, read };
  },
});

const [T, D, ROWS] = [5, 2, 32];
/** `broken`: the sequence that holds a NaN. */
function series(broken?: number) {
  const rng = createRng(8);
  const inputs = Float64Array.from({ length: ROWS * T * D }, () => rng.normal());
  const targets = Float64Array.from({ length: ROWS }, (_, i) => Math.sin(i));
  const data = arrayBatches({ inputs, inputShape: [T, D], targets, targetShape: [1], shuffle: false });
  // Only now: it would be refused.
  if (broken !== undefined) inputs[broken * T * D + 2 * D] = Number.NaN;
  return data;
}

const trainerOn = (backend: Backend, accumulate = 1, batch = 2): Promise<Trainer> =>
  createTrainer(sequential({ rnn: recurrent(lstm(4), { output: "last" }), drop: dropout(0.2), head: dense(1) }), {
    loss: mse(),
    optimizer: adam({ learningRate: 0.05 }),
    schedule: stepSchedule({ stepSize: 3, gamma: 0.5 }),
    clip: { norm: 1 },
    batch,
    accumulate,
    backend,
  });

async function fitted(trainer: Trainer, fit: Parameters<Trainer["fit"]>[1], data = series()): Promise<Report[]> {
  const all: Report[] = [];
  for await (const report of trainer.fit(data, fit)) all.push(report);
  return all;
}
/** The data of `series`, of which batch `index` begins with a NaN the first time that it is asked for. */
function brokenOnce(index: number): TrainingData {
  const data = series();
  let broken = true;
  return {
    ...data,
    train(options) {
      const source = data.train(options);
      return {
        ...source,
        fill(at, inputs, ...others) {
          const reset = source.fill(at, inputs, ...others);
          if (at === index && broken) [inputs[0], broken] = [Number.NaN, false];
          return reset;
        },
      };
    },
  };
}

/** A backend far away that says how a run has ended only after it has been handed another, or numbers are read. */
const late = (near: Backend): Backend => ({
  ...near,
  async createSession() {
    const { readNow: _, ...session } = await near.createSession();
    const waiting: (() => void)[] = [];
    const release = (): void => {
      for (const resolve of waiting.splice(0)) resolve();
    };
    return {
      ...session,
      async compile(source) {
        const executable = await session.compile(source);
        return {
          ...executable,
          run() {
            release();
            return executable.run();
          },
          async settled() {
            await new Promise<void>((resolve) => waiting.push(resolve));
            return executable.settled();
          },
        };
      },
      async read(...what) {
        setTimeout(release);
        return session.read(...what);
      },
    };
  },
});

/** A backend far away; the most runs that nobody had an answer of. */
const counting = (near: Backend, seen: { most: number }): Backend => ({
  ...near,
  async createSession() {
    const { readNow: _, ...session } = await near.createSession();
    let runs = 0;
    return {
      ...session,
      async compile(source) {
        const executable = await session.compile(source);
        return {
          ...executable,
          run() {
            seen.most = Math.max(seen.most, ++runs);
            return executable.run();
          },
        };
      },
      async read(...what) {
        const data = await session.read(...what);
        await new Promise((resolve) => setTimeout(resolve, 20));
        runs--;
        return data;
      },
    };
  },
});

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

describe.each([
  ["reference", () => reference()],
  ["reference, far away", () => distant(reference())],
  ["wasm, far away", () => distant(wasm({ threads: 1 }))],
] as const)("reports of several updates (%s)", (_, backend) => {
  for (const accumulate of [1, 2])
    it(`leave the run as it is, with ${accumulate} batches an update`, async () => {
      const [single, several] = [await trainerOn(backend(), accumulate), await trainerOn(backend(), accumulate)];
      const all = await fitted(single, { steps: 19 });
      const few = await fitted(several, { steps: 19, reportEvery: 4 });
      // An epoch, of 16 or 8 updates, ends with a report.
      expect(few.map(({ step }) => step)).toEqual([4, 8, 12, 16, 19]);
      for (const [i, report] of few.entries()) {
        const since = all.filter(({ step }) => step <= report.step && step > (few[i - 1]?.step ?? 0));
        expect(report.loss).toBeCloseTo(mean(since.map(({ loss }) => loss)), 6);
        const { gradientNorm, learningRate, epoch } = since.at(-1)!;
        expect({ ...report, gradientNorm }).toMatchObject({ gradientNorm, learningRate, epoch });
        expect(report.gradientNorm).toBeCloseTo(gradientNorm, 6);
      }
      expect(await several.checkpoint()).toEqual(await single.checkpoint());
      for (const trainer of [single, several]) trainer.dispose();
    });

  it("name the update that met a number that is not finite, and leave the weights as they were before it", async () => {
    // Two sequences a batch: the fifth update meets number 9.
    const [single, several] = [await trainerOn(backend()), await trainerOn(backend())];
    await fitted(single, { steps: 4 }, series(9));
    const error = await fitted(several, { steps: 16, reportEvery: 16 }, series(9)).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(NonFiniteError);
    expect(error).toMatchObject({ step: 5, tensor: "input", time: 2 });
    expect(await several.checkpoint()).toEqual(await single.checkpoint());
    for (const trainer of [single, several]) trainer.dispose();
  });
});

describe.each([1, 2])("a batch that is refused once, with %i batches an update", (accumulate) => {
  it.each([4, 5])("and has other numbers when it is asked for again, is trained on: batch %i", async (index) => {
    const [single, several] = [
      await trainerOn(reference(), accumulate),
      await trainerOn(distant(reference()), accumulate),
    ];
    const all = await fitted(single, { epochs: 1 });
    const few = await fitted(several, { epochs: 1, reportEvery: 8 }, brokenOnce(index));
    const refused = Math.floor(index / accumulate) + 1;
    expect(few.map(({ step }) => step)).toEqual(accumulate === 1 ? [refused, 8, 16] : [refused, 8]);
    for (const [i, report] of few.entries()) {
      const since = all.filter(({ step }) => step <= report.step && step > (few[i - 1]?.step ?? 0));
      expect(report.loss).toBeCloseTo(mean(since.map(({ loss }) => loss)), 6);
    }
    expect(await several.checkpoint()).toEqual(await single.checkpoint());
    for (const trainer of [single, several]) trainer.dispose();
  });
});

describe("updates that are not waited for", () => {
  it("are handed over while the device has others to do", async () => {
    const trainer = await trainerOn(late(reference()), 1, 1);
    const reports = await fitted(trainer, { steps: 64, reportEvery: 64 });
    expect(reports.map(({ step }) => step)).toEqual([32, 64]);
    trainer.dispose();
  });

  it("are as many as make a validation, of the same loss", async () => {
    const data = { ...series(), validation: series().train };
    const seen = { most: 0 };
    const [near, far] = [await trainerOn(reference(), 1, 1), await trainerOn(counting(reference(), seen), 1, 1)];
    expect(await far.evaluate(data)).toBe(await near.evaluate(data));
    expect(seen.most).toBe(16);
    for (const trainer of [near, far]) trainer.dispose();
  });
});

describe("reports of several updates", () => {
  it("read nothing in between", async () => {
    const seen = { answers: 0 };
    const trainer = await trainerOn(distant(reference(), seen));
    await fitted(trainer, { steps: 16, reportEvery: 8 });
    expect(seen.answers).toBeLessThanOrEqual(2 * 3);
    trainer.dispose();
  });

  it("come when validation is due", async () => {
    const trainer = await trainerOn(reference());
    const data = { ...series(), validation: series().train };
    const all = await fitted(trainer, { steps: 12, validateEvery: 5, reportEvery: 4 }, data);
    expect(all.map(({ step, validationLoss }) => [step, validationLoss !== undefined])).toEqual([
      [4, false],
      [5, true],
      [8, false],
      [10, true],
      [12, true],
    ]);
    trainer.dispose();
  });

  it("refuse a number that is none", async () => {
    const trainer = await trainerOn(reference());
    await expect(fitted(trainer, { steps: 1, reportEvery: 0 })).rejects.toThrow(
      "reportEvery must be a whole number of at least 1, not 0",
    );
    trainer.dispose();
  });
});
