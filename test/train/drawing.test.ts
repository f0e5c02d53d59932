/** What is drawn where the model runs is what the sampler draws from the logits. */
import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/backend/contract.js";
import { reference } from "../../src/backend/reference/index.js";
import { wasm } from "../../src/backend/wasm/index.js";
import { generate } from "../../src/data/generate.js";
import { createSampler, type SamplingOptions } from "../../src/data/sampling.js";
import { createVocabulary } from "../../src/data/vocabulary.js";
import { embedding, sequential } from "../../src/layers/index.js";
import { textModel } from "../../src/models/text-model.js";
import { createRng } from "../../src/parameters/rng.js";
import { crossEntropy } from "../../src/train/losses.js";
import { sgd } from "../../src/train/optimizers.js";
import type { Predictor } from "../../src/train/predictor.js";
import { createTrainer } from "../../src/train/trainer.js";
import { testBackend } from "../backend/webgpu/driver.js";

const device = await testBackend();
const backends: (() => Backend)[] = [reference, wasm, ...(device ? [() => device] : [])];
const oneByOne = { inputShape: [1, 1, 1], inputType: "index" } as const;
const at = { loss: crossEntropy(), optimizer: sgd({ learningRate: 1 }) };

/** Counts what is compiled. */
const counting = (backend: Backend, seen: { compiled: number }): Backend => ({
  ...backend,
  async createSession() {
    const session = await backend.createSession();
    const compile: typeof session.compile = (program) => {
      seen.compiled++;
      return session.compile(program);
    };
    return { ...session, compile };
  },
});

/** A model whose logits after class i are `table[i]`. */
async function modelOf(table: readonly (readonly number[])[], backend: Backend) {
  const size = table.length;
  const parameters = { "logits.weight": { shape: [size, size], data: table.flat() } };
  const trainer = await createTrainer(sequential({ logits: embedding(size, size) }), { ...at, backend });
  // As a checkpoint: `weights` that are NaN or Infinity are refused.
  trainer.restore({ ...(await trainer.checkpoint()), parameters });
  const predictor = await trainer.predictor({ ...oneByOne, carry: false });
  return { draw: predictor.drawing!.draw, dispose: () => trainer.dispose() };
}

function sampled(
  table: readonly (readonly number[])[],
  from: number,
  uniforms: readonly number[],
  how: SamplingOptions,
) {
  const sampler = createSampler(table.length, how);
  let last = from;
  return uniforms.map((u) => {
    last = sampler.draw(Float32Array.from(table[last]!), () => u);
    return last;
  });
}

const options: readonly SamplingOptions[] = [
  { temperature: 0.7 },
  { topK: 3 },
  { topK: 3, temperature: 1.6 },
  { topP: 0.83 },
  { topP: 0.61, temperature: 0.4 },
  { topK: 4, topP: 0.77 },
  { topK: 5, topP: 0.93, temperature: 2.3 },
  { topK: 2, topP: 1 },
  { temperature: 0, topK: 3, topP: 0.4 },
];

describe.each(backends.map((backend) => ({ name: backend().name, backend })))("on $name", ({ backend }) => {
  it.each([1, 2, 7, 65])("draws of %i classes what the sampler draws", async (size) => {
    const rng = createRng(size);
    const uniforms = Array.from({ length: 64 }, rng.uniform);
    // Some rows of few different numbers: ties.
    const table = Array.from({ length: size }, (_, i) =>
      Array.from({ length: size }, () => (i % 2 === 0 ? 2 * rng.normal() : Math.floor(3 * rng.uniform()))),
    );
    const seen = { compiled: 0 };
    const { draw, dispose } = await modelOf(table, counting(backend(), seen));
    for (const how of options)
      expect([...(await draw(0, uniforms, how))], JSON.stringify(how)).toEqual(sampled(table, 0, uniforms, how));
    const { compiled } = seen;
    for (const how of [{ topK: 6, topP: 0.31 }, { topK: 1 }, { temperature: 3 }])
      expect([...(await draw(0, uniforms, how))], JSON.stringify(how)).toEqual(sampled(table, 0, uniforms, how));
    expect(seen.compiled).toBe(compiled);
    dispose();
  });

  it("gives each of those kept its share, likeliest first, and the others none", async () => {
    const points = 64;
    const uniforms = Array.from({ length: points }, (_, i) => (i + 0.5) / points);
    const cases: readonly [readonly number[], SamplingOptions, readonly number[]][] = [
      [[0.1, 0.4, 0.2, 0.3].map(Math.log), { topK: 2, topP: 0.9 }, [0, 37, 0, 27]],
      [[0.1, 0.4, 0.2, 0.3].map(Math.log), { topP: 0.75 }, [0, 28, 14, 22]],
      // Equals: the lower class is the likelier.
      [[2, 2, 2, 2], { topK: 2 }, [32, 32, 0, 0]],
      [[2, 5, 5, 5], { topK: 3, topP: 0.5 }, [0, 32, 32, 0]],
      [[2, 2, 2, 2], { topP: 0.5 }, [32, 32, 0, 0]],
      // The likeliest alone.
      [[2, 5, 1, 5], { topK: 1 }, [0, 64, 0, 0]],
      [[2, 5, 1, 5], { topP: 1e-300 }, [0, 64, 0, 0]],
      [[2, 5, 1, 5], { temperature: 0, topK: 3 }, [0, 64, 0, 0]],
      // All.
      [[2, 2, 2, 2], { topK: 4 }, [16, 16, 16, 16]],
      [[2, 2, 2, 2], { topK: 99, topP: 1 }, [16, 16, 16, 16]],
      [[0, -200, 0, -200], { topK: 3 }, [32, 0, 32, 0]],
    ];
    for (const [logits, how, shares] of cases) {
      const { draw, dispose } = await modelOf([logits, logits, logits, logits], backend());
      const drawn = await draw(0, uniforms, how);
      const counts = logits.map((_, i) => [...drawn].filter((id) => id === i).length);
      expect(counts, JSON.stringify([logits, how])).toEqual(shares);
      expect([...drawn]).toEqual(sampled([logits, logits, logits, logits], 0, uniforms, how));
      dispose();
    }
  });

  it("never draws what has no share, where u is rounded to 1", async () => {
    const logits = [1, 1.5, 0.5, -300, -300];
    const { draw, dispose } = await modelOf(Array(5).fill(logits), backend());
    const nearlyOne = [1 - 2 ** -32, 1 - 2 ** -26, 1 - 2 ** -24];
    expect([...(await draw(0, nearlyOne))]).toEqual([2, 2, 2]);
    expect([...(await draw(0, nearlyOne, { topK: 4 }))]).toEqual([2, 2, 2]);
    expect([...(await draw(0, nearlyOne, { topP: 0.8 }))]).toEqual([0, 0, 0]);
    dispose();
  });

  it("draws nothing from logits that are not finite, but minus infinity is no share", async () => {
    for (const odd of [Number.NaN, Number.POSITIVE_INFINITY])
      for (const how of [{}, { temperature: 0 }, { topK: 2 }]) {
        const row = [1, 2, odd, 0];
        const { draw, dispose } = await modelOf(Array(4).fill(row), backend());
        await expect(draw(0, [0.5, 0.5], how)).rejects.toThrow("the logits are not finite");
        dispose();
      }
    const table = Array(4).fill([1, Number.NEGATIVE_INFINITY, 2, 1]);
    const { draw, dispose } = await modelOf(table, backend());
    for (const how of [{}, { temperature: 0 }, { topK: 3 }])
      expect([...(await draw(0, [0.1, 0.5, 0.99], how))]).toEqual(sampled(table, 0, [0.1, 0.5, 0.99], how));
    dispose();
  });

  it("writes, in blocks, the text that is written one by one", async () => {
    const vocabulary = createVocabulary("abcdefghijklmnopqrstuvwxyz .,\n");
    const model = textModel({ vocabularySize: vocabulary.size, cell: "gru", hidden: 12, layers: 2, embedding: 5 });
    const rng = createRng(5);
    const trainer = await createTrainer(model, { ...at, backend: backend() });
    trainer.load(
      Object.fromEntries(
        Object.entries(await trainer.parameters()).map(([name, { shape, data }]) => [
          name,
          { shape, data: Float32Array.from(data, () => 0.8 * rng.normal()) },
        ]),
      ),
    );
    const predictor = await trainer.predictor(oneByOne);
    const { drawing: _, ...without } = predictor;
    const written = async (from: Predictor, how: SamplingOptions): Promise<string> => {
      let all = "";
      for await (const piece of generate(from, vocabulary, { length: 100, seed: 3, prompt: "the ", ...how }))
        all += piece;
      return all;
    };
    const texts = new Set<string>();
    for (const how of [{ topK: 5 }, { topP: 0.8 }, { topK: 9, topP: 0.7 }, { topK: 8, topP: 0.9, temperature: 1.7 }]) {
      const text = await written({ ...predictor, runNow: undefined }, how);
      expect(text, JSON.stringify(how)).toBe(await written(without, how));
      texts.add(text);
    }
    expect(texts.size).toBe(4);
    trainer.dispose();
  });
});

it("of very many classes each is drawn from the logits", async () => {
  const predictorOf = async (size: number): Promise<Predictor> => {
    const trainer = await createTrainer(sequential({ logits: embedding(size, size) }), { ...at, backend: reference() });
    return trainer.predictor({ ...oneByOne, carry: false });
  };
  expect((await predictorOf(512)).drawing?.most).toBe(64);
  expect((await predictorOf(513)).drawing).toBeUndefined();
});
