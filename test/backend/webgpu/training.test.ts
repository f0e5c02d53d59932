import { describe, expect, it, vi } from "vitest";
import { type WebGpuBackend, webgpu } from "../../../src/backend/webgpu/index.js";
import { UserError } from "../../../src/errors.js";
import type { Backend } from "../../../src/index.js";
import {
  adam,
  type Checkpoint,
  createTrainer,
  crossEntropy,
  dense,
  generate,
  lstm,
  oneHotEncoding,
  type Report,
  readText,
  recurrent,
  sequential,
  type Trainer,
  textBatches,
  textModel,
} from "../../../src/index.js";
import { sourceOf } from "../../train/source.js";
import { nullDevice, testDevice } from "./driver.js";

const gpu = await testDevice();
const backend = gpu && webgpu({ device: gpu });
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

  it("is one submission an update, and one that reads what was asked for", async () => {
    const trainer = await trainerOn(backend!);
    const fit = trainer.fit(textBatches(text), { steps: 9, reportEvery: 4 });
    await fit.next();
    const submit = vi.spyOn(gpu!.queue, "submit");
    await fit.next();
    // Four updates; then loss and count, and the norm of the gradient.
    expect(submit.mock.calls.length).toBeLessThanOrEqual(4 + 2);
    submit.mockRestore();
    await fit.next();
    expect(trainer.progress.step).toBe(9);
    trainer.dispose();
  });

  it("writes the text that the processor writes, drawn on the device and read in blocks", async () => {
    const [device, processor] = [await trainerOn(backend!), await trainerOn("wasm")];
    const written: string[] = [];
    for (const trainer of [device, processor]) {
      await losses(trainer, steps);
      const predictor = await trainer.predictor({ inputShape: [1, 1, 1], inputType: "index" });
      const read = vi.spyOn(predictor, "run");
      let all = "";
      for await (const piece of generate(predictor, text.vocabulary, { length: 70, prompt: "t", seed: 2 }))
        all += piece;
      written.push(all);
      expect(read).not.toHaveBeenCalled();
    }
    expect(written[0]).toBe(written[1]);
    for (const trainer of [device, processor]) trainer.dispose();
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
    const checkpoint = await trainer.checkpoint();
    const [name, weights] = Object.entries(checkpoint.parameters).find(([key]) => key.endsWith("weight_hh_l0"))!;
    const spoilt = Float32Array.from(weights.data);
    spoilt[3] = Number.NaN;
    const parameters = { ...checkpoint.parameters, [name]: { shape: weights.shape, data: spoilt } };
    trainer.restore({ ...checkpoint, parameters });
    await expect(losses(trainer, 2)).rejects.toThrow(new RegExp(`step 2: ${name.replaceAll(".", "\\.")}[^ ]* is NaN`));
    expect([...((await trainer.parameters())[name]!.data as Float32Array)]).toEqual([...spoilt]);
    trainer.dispose();
  });
});

describe("a training step", () => {
  it("of a 2 × 128 LSTM, batch 50, window 50, is a few dozen dispatches", async () => {
    const plain = webgpu({ device: await nullDevice() });
    const dispatches: number[] = [];
    const watched: Backend = {
      ...plain,
      async createSession() {
        const session = await plain.createSession();
        const compile: typeof session.compile = async (source) => {
          const executable = await session.compile(source);
          dispatches.push(executable.dispatches);
          return executable;
        };
        return { ...session, compile };
      },
    };
    const V = 65;
    const model = sequential({ input: oneHotEncoding(V), rnn: recurrent(lstm(128), { layers: 2 }), head: dense(V) });
    const trainer = await createTrainer(model, {
      loss: crossEntropy(),
      optimizer: adam(),
      clip: { norm: 5 },
      bptt: { window: 50 },
      batch: 50,
      backend: watched,
    });
    const data = {
      train: () => sourceOf([50, 50, 1], { inputType: "index", targetType: "index", fill: () => true }),
    };
    // The device that does nothing has no loss to give: what is asked is what was compiled.
    await trainer
      .fit(data, { steps: 1 })
      .next()
      .catch(() => undefined);
    expect(dispatches[0]).toBeLessThanOrEqual(49);
    trainer.dispose();
  });
});
