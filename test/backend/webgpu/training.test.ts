import { describe, expect, it } from "vitest";
import { type WebGpuBackend, webgpu } from "../../../src/backend/webgpu/index.js";
import { UserError } from "../../../src/errors.js";
import type { Backend } from "../../../src/index.js";
import {
  adam,
  type Checkpoint,
  createTrainer,
  crossEntropy,
  type Report,
  readText,
  type Trainer,
  textBatches,
  textModel,
} from "../../../src/index.js";
import { testBackend, testDevice } from "./driver.js";

const backend = await testBackend();
const words = Array.from({ length: 400 }, (_, i) => ["time ", "flows ", "back", "ward ", "and on"][(i * i) % 5]).join(
  "",
);
const text = readText(words, { validation: 0 });
const steps = 12;

const trainerOn = (on: Backend | "wasm", learningRate = 0.01): Promise<Trainer> =>
  createTrainer(textModel({ vocabularySize: text.vocabulary.size, cell: "gru", hidden: 11, layers: 2, dropout: 0.2 }), {
    loss: crossEntropy(),
    optimizer: adam({ learningRate }),
    clip: { norm: 1 },
    bptt: { window: 7 },
    batch: 5,
    backend: on,
    ...(on === "wasm" ? { threads: 1 } : {}),
  });

async function losses(trainer: Trainer, until: number): Promise<Report[]> {
  const reports: Report[] = [];
  for await (const report of trainer.fit(textBatches(text), { steps: until })) reports.push(report);
  return reports;
}

describe.runIf(backend)("training on the device", () => {
  it("follows the processor's run, dropout and carried state included", async () => {
    const [device, processor] = [await trainerOn(backend!), await trainerOn("wasm")];
    const [ours, theirs] = [await losses(device, steps), await losses(processor, steps)];
    ours.forEach(({ loss, gradientNorm }, i) => {
      expect(loss).toBeCloseTo(theirs[i]!.loss, 4);
      expect(gradientNorm).toBeCloseTo(theirs[i]!.gradientNorm, 4);
    });
    expect(ours.at(-1)!.loss).toBeLessThan(ours[0]!.loss);
    device.dispose();
    processor.dispose();
  });

  it("gives the same numbers again", async () => {
    const runs: string[] = [];
    for (let i = 0; i < 2; i++) {
      const trainer = await trainerOn(backend!);
      await losses(trainer, 4);
      runs.push(JSON.stringify(await trainer.parameters()));
      trainer.dispose();
    }
    expect(runs[0]).toBe(runs[1]);
  });

  it("goes on from a checkpoint on a new device after the first was lost", async () => {
    const whole = await trainerOn(backend!);
    const uninterrupted = await losses(whole, steps);
    whole.dispose();

    const lost = (await testDevice())!;
    const first = await trainerOn(webgpu({ device: lost }));
    await losses(first, 5);
    const saved: Checkpoint = await first.checkpoint();
    const going = first.fit(textBatches(text), { steps });
    await going.next();
    lost.destroy();
    const error = await going.next().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).toMatch(/^the graphics device was lost/);
    first.dispose();

    const second = await trainerOn(backend!);
    second.restore(saved);
    const rest = await losses(second, steps);
    expect(rest.map(({ step, loss }) => [step, loss])).toEqual(
      uninterrupted.slice(5).map(({ step, loss }) => [step, loss]),
    );
    second.dispose();
  });

  it("stops at a loss that is not finite, names where it arose, and leaves the weights", async () => {
    const trainer = await trainerOn(backend! as WebGpuBackend);
    await losses(trainer, 1);
    const parameters = await trainer.parameters();
    const [name, weights] = Object.entries(parameters).find(([key]) => key.endsWith("weight_hh_l0"))!;
    const spoilt = Float32Array.from(weights.data);
    spoilt[3] = Number.NaN;
    trainer.load({ [name]: { shape: weights.shape, data: spoilt } });
    await expect(losses(trainer, 2)).rejects.toThrow(new RegExp(`step 2: ${name.replaceAll(".", "\\.")}[^ ]* is NaN`));
    expect([...((await trainer.parameters())[name]!.data as Float32Array)]).toEqual([...spoilt]);
    trainer.dispose();
  });
});
