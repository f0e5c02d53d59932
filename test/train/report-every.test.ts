/** Reports of several updates: the run is the same, on backends that answer at once and on those that are not waited for. */
import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/backend/contract.js";
import { reference } from "../../src/backend/reference/index.js";
import { wasm } from "../../src/backend/wasm/index.js";
import { lstm } from "../../src/cells/lstm.js";
import { arrayBatches } from "../../src/data/arrays.js";
import { dense, dropout, recurrent, sequential } from "../../src/layers/index.js";
import { createRng } from "../../src/parameters/rng.js";
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
  if (broken !== undefined) inputs[broken * T * D + 2 * D] = Number.NaN;
  return arrayBatches({ inputs, inputShape: [T, D], targets, targetShape: [1], shuffle: false });
}

const trainerOn = (backend: Backend, accumulate = 1): Promise<Trainer> =>
  createTrainer(sequential({ rnn: recurrent(lstm(4), { output: "last" }), drop: dropout(0.2), head: dense(1) }), {
    loss: mse(),
    optimizer: adam({ learningRate: 0.05 }),
    schedule: stepSchedule({ stepSize: 3, gamma: 0.5 }),
    clip: { norm: 1 },
    batch: 2,
    accumulate,
    backend,
  });

async function fitted(trainer: Trainer, fit: Parameters<Trainer["fit"]>[1], data = series()): Promise<Report[]> {
  const all: Report[] = [];
  for await (const report of trainer.fit(data, fit)) all.push(report);
  return all;
}
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
