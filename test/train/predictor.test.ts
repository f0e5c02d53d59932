/** A predictor runs the weights as they are now, answers at once where the backend can, and compiles once. */
import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/backend/contract.js";
import { reference } from "../../src/backend/reference/index.js";
import { wasm } from "../../src/backend/wasm/index.js";
import { lstm } from "../../src/cells/lstm.js";
import { generate } from "../../src/data/generate.js";
import { readText } from "../../src/data/text.js";
import { textBatches } from "../../src/data/text-batches.js";
import { dense, oneHotEncoding, recurrent, sequential } from "../../src/layers/index.js";
import type { Layer } from "../../src/layers/layer.js";
import { createRng } from "../../src/parameters/rng.js";
import { crossEntropy, mse } from "../../src/train/losses.js";
import { adam } from "../../src/train/optimizers.js";
import type { Predictor } from "../../src/train/predictor.js";
import { createTrainer, type Trainer } from "../../src/train/trainer.js";

const text = readText("the quick brown fox jumps over the lazy dog. ".repeat(20));
const V = text.vocabulary.size;
const trainerOn = (backend: Backend): Promise<Trainer> =>
  createTrainer(sequential({ input: oneHotEncoding(V), rnn: recurrent(lstm(9)), head: dense(V) }), {
    loss: crossEntropy(),
    optimizer: adam({ learningRate: 0.05 }),
    batch: 3,
    bptt: { window: 5 },
    backend,
  });
const oneByOne = { inputShape: [1, 1, 1], inputType: "index" } as const;
const train = async (trainer: Trainer, steps: number): Promise<void> => {
  for await (const _ of trainer.fit(textBatches(text), { steps }));
};
const answers = async (predictor: Predictor, ids: number[]): Promise<number[][]> => {
  predictor.reset();
  const all: number[][] = [];
  for (const id of ids) all.push([...(await predictor.run([id]))]);
  return all;
};

describe.each([reference, wasm])("a predictor on %o", (backend) => {
  it("takes the weights as they are: after a step of training, and after a load", async () => {
    const trainer = await trainerOn(backend());
    const early = await trainer.predictor(oneByOne);
    const untrained = await answers(early, [1, 2, 3]);
    const start = await trainer.parameters();
    await train(trainer, 2);
    const trained = await answers(early, [1, 2, 3]);
    expect(trained).not.toEqual(untrained);
    expect(trained).toEqual(await answers(await trainer.predictor(oneByOne), [1, 2, 3]));
    trainer.load(start);
    expect(await answers(early, [1, 2, 3])).toEqual(untrained);
    trainer.dispose();
  });

  it("takes lengths where it was made for them, each a whole number of its steps", async () => {
    const trainer = await trainerOn(backend());
    const without = await trainer.predictor({ inputShape: [4, 2, 1], inputType: "index" });
    await expect(without.run(new Array(8).fill(1), [3, 4])).rejects.toThrow(
      "the predictor was made without lengths: true, so it takes no lengths",
    );
    const predictor = await trainer.predictor({ inputShape: [4, 2, 1], inputType: "index", lengths: true });
    for (const length of [0, 5, 1.5, -1])
      await expect(predictor.run(new Array(8).fill(1), [3, length])).rejects.toThrow(
        `the length of row 1 must be a whole number from 1 to 4, not ${length}`,
      );
    expect((await predictor.run(new Array(8).fill(1), [1, 4])).every(Number.isFinite)).toBe(true);
    trainer.dispose();
  });

  it("answers at once what it answers in time", async () => {
    const trainer = await trainerOn(backend());
    const predictor = await trainer.predictor(oneByOne);
    const inTime = await answers(predictor, [4, 0, 4]);
    predictor.reset();
    expect([4, 0, 4].map((id) => [...predictor.runNow!([id])])).toEqual(inTime);
    expect(() => predictor.runNow!([1, 2])).toThrow("the predictor takes inputs of shape [1, 1, 1], 1 numbers, not 2");
    await expect(predictor.run([1, 2])).rejects.toThrow("1 numbers, not 2");
    trainer.dispose();
  });
});

describe("on threads", () => {
  it("many rows give what they give on one, states and resets included", async () => {
    const [T, N, D] = [12, 7, 5];
    const rng = createRng(2);
    const windows = Array.from({ length: 3 }, () => Float64Array.from({ length: T * N * D }, rng.normal));
    const lengths = [12, 3, 1, 12, 7, 5, 2];
    const outputs = async (threads: number): Promise<number[][]> => {
      const trainer = await createTrainer(sequential({ rnn: recurrent(lstm(64)), head: dense(3) }), {
        loss: mse(),
        optimizer: adam({ learningRate: 0.01 }),
        backend: wasm({ threads }),
      });
      const predictor = await trainer.predictor({ inputShape: [T, N, D], lengths: true });
      const all: number[][] = [];
      for (const [i, window] of windows.entries()) {
        if (i === 2) predictor.reset([0, 1, 0, 0, 0, 0, 1]);
        all.push([...(await predictor.run(window, lengths))]);
      }
      all.push([...((await predictor.states())["rnn.h_l0"]!.data as Float32Array)]);
      trainer.dispose();
      return all;
    };
    const [one, two] = [await outputs(1), await outputs(2)];
    expect(one[1]).not.toEqual(one[0]);
    one.forEach((values, i) => {
      values.forEach((value, k) => {
        expect(two[i]![k]).toBeCloseTo(value, 5);
      });
    });
  });
});

describe("writing", () => {
  it("compiles nothing a second time, and gives the same for the same seed", async () => {
    let compiled = 0;
    const plain = wasm();
    const counting: Backend = {
      ...plain,
      async createSession() {
        const session = await plain.createSession();
        return {
          ...session,
          compile(program) {
            compiled++;
            return session.compile(program);
          },
        };
      },
    };
    const trainer = await trainerOn(counting);
    const predictor = await trainer.predictor(oneByOne);
    const before = compiled;
    const write = async (seed: number): Promise<string> => {
      let written = "";
      for await (const character of generate(predictor, text.vocabulary, { prompt: "the ", length: 40, seed }))
        written += character;
      return written;
    };
    const first = await write(3);
    expect(first).toHaveLength(40);
    expect(await write(4)).not.toBe(first);
    expect(await write(3)).toBe(first);
    expect(compiled).toBe(before);
    trainer.dispose();
  });

  it("writes the same where the backend answers later", async () => {
    const trainer = await trainerOn(wasm());
    const predictor = await trainer.predictor(oneByOne);
    const write = async (from: Predictor): Promise<string> => {
      let written = "";
      for await (const character of generate(from, text.vocabulary, { prompt: "fox", length: 30 }))
        written += character;
      return written;
    };
    expect(await write({ ...predictor, runNow: undefined })).toBe(await write(predictor));
    trainer.dispose();
  });

  it("lets the event loop turn", async () => {
    const trainer = await trainerOn(wasm());
    const predictor = await trainer.predictor(oneByOne);
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    for await (const _ of generate(predictor, text.vocabulary, { length: 4000 }));
    clearInterval(timer);
    expect(turns).toBeGreaterThan(0);
    trainer.dispose();
  });

  it.each([reference, wasm])(
    "draws many characters before they are read, on %o: the same text as one by one",
    async (backend) => {
      const trainer = await trainerOn(backend());
      await train(trainer, 12);
      const predictor = await trainer.predictor(oneByOne);
      const inBlocks: Predictor = { ...predictor, runNow: undefined };
      const written = async (from: Predictor, temperature: number): Promise<string> => {
        let all = "";
        for await (const piece of generate(from, text.vocabulary, {
          length: 150,
          temperature,
          seed: 3,
          prompt: "the ",
        }))
          all += piece;
        return all;
      };
      for (const temperature of [0, 0.7, 1.5])
        expect(await written(inBlocks, temperature)).toBe(await written(predictor, temperature));
      // The weights as they are now.
      await train(trainer, 12);
      expect(await written(inBlocks, 0.7)).toBe(await written(predictor, 0.7));
      trainer.dispose();
    },
  );

  it.each([reference, wasm])("draws nothing from logits that are not finite, on %o", async (backend) => {
    const trainer = await trainerOn(backend());
    const predictor = await trainer.predictor(oneByOne);
    await predictor.drawing!.draw(0, [0.5]);
    const state = await predictor.states();
    const broken = Object.fromEntries(
      Object.entries(state).map(([name, { shape, data }]) => [
        name,
        { shape, data: Array.from(data, () => Number.NaN) },
      ]),
    );
    predictor.setStates(broken);
    await expect(predictor.drawing!.draw(0, [0.5, 0.5])).rejects.toThrow("the logits are not finite");
    trainer.dispose();
  });
});

it("a layer that carries a state on under another name is refused", async () => {
  const average: Layer = {
    kind: "average",
    apply(x, context) {
      const h = context.state("h", [x.shape[1]!, 1]);
      context.carry("hh", h);
      return x.add(h);
    },
  };
  const trainer = await createTrainer(sequential({ average }), {
    loss: mse(),
    optimizer: adam(),
    backend: reference(),
  });
  await expect(trainer.predictor({ inputShape: [1, 1, 1] })).rejects.toThrow(
    'the model carries "average.hh" on, which is none of its states (average.h)',
  );
});
