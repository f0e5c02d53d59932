/** What works on one state does so one at a time: a second one is refused, and one that was left blocks nobody. */
import { describe, expect, it } from "vitest";
import {
  adam,
  arrayBatches,
  createTrainer,
  crossEntropy,
  dense,
  generate,
  gru,
  last,
  mse,
  oneHotEncoding,
  readText,
  recurrent,
  reference,
  sequential,
  type Trainer,
  wasm,
} from "../../src/index.js";
import { errorOf } from "../refusal.js";

const data = arrayBatches({
  inputs: Float64Array.from({ length: 60 }, (_, i) => Math.sin(i)),
  inputShape: [3, 2],
  targets: Float64Array.from({ length: 10 }, (_, i) => Math.cos(i)),
  targetShape: [1],
});
const numbers = (): Promise<Trainer> =>
  createTrainer(sequential({ rnn: recurrent(gru(4)), last: last(), head: dense(1) }), {
    loss: mse(),
    optimizer: adam(),
    batch: 2,
    threads: 1,
  });
const { vocabulary } = readText("abcdefgh and so on", { validation: 0 });
const characters = (): Promise<Trainer> =>
  createTrainer(
    sequential({
      input: oneHotEncoding(vocabulary.size),
      rnn: recurrent(gru(16)),
      head: dense(vocabulary.size),
    }),
    { loss: crossEntropy(), optimizer: adam(), threads: 1 },
  );
const fitted = async (trainer: Trainer, steps: number): Promise<number[]> => {
  const made: number[] = [];
  for await (const { step } of trainer.fit(data, { steps })) made.push(step);
  return made;
};

describe("two fits of one trainer", () => {
  it("at once: the second is refused, and the first goes through as alone", async () => {
    const [trainer, other] = await Promise.all([numbers(), numbers()]);
    const [made, error] = await Promise.all([fitted(trainer, 10), errorOf(fitted(trainer, 10))]);
    expect(error.name).toBe("UserError");
    expect(error.message).toBe("fit is under way: await its end, leave its loop, or call its return()");
    expect(made).toEqual(await fitted(other, 10));
    expect(await trainer.parameters()).toEqual(await other.parameters());
  });

  it("one inside the other: the inner is refused", async () => {
    const trainer = await numbers();
    const nested = async (): Promise<void> => {
      for await (const _ of trainer.fit(data, { steps: 3 })) await fitted(trainer, 2);
    };
    expect((await errorOf(nested())).message).toContain("fit is under way");
    // What it threw left the outer loop too.
    expect(await fitted(trainer, 3)).toEqual([2, 3]);
  });

  it("one after the other, left by break, by throw, by its end or by a refusal: none blocks the next", async () => {
    const trainer = await numbers();
    for await (const { step } of trainer.fit(data, { steps: 9 })) if (step === 2) break;
    const thrown = async (): Promise<void> => {
      for await (const _ of trainer.fit(data, { steps: 9 })) throw new Error("mine");
    };
    expect((await errorOf(thrown())).message).toBe("mine");
    await errorOf(trainer.fit(data, {}).next());
    expect(await fitted(trainer, 5)).toEqual([4, 5]);
  });
});

it("a fit of which one report was taken by hand goes on until its return()", async () => {
  const [trainer, other] = await Promise.all([numbers(), numbers()]);
  const byHand = trainer.fit(data, { steps: 9 });
  await byHand.next();
  expect((await errorOf(trainer.fit(data, { steps: 2 }).next())).message).toContain("or call its return()");
  // The second changed nothing: the first goes on.
  expect((await byHand.next()).value).toMatchObject({ step: 2 });
  await byHand.return();
  expect(await fitted(trainer, 4)).toEqual([3, 4]);
  await fitted(other, 4);
  expect(await trainer.parameters()).toEqual(await other.parameters());
});

describe("two texts of one predictor", () => {
  const oneByOne = { inputShape: [1, 1, 1], inputType: "index" } as const;
  const options = { prompt: "a", length: 30, seed: 3 };

  it("at once: the second is refused, and the first is written as alone", async () => {
    const predictor = await (await characters()).predictor(oneByOne);
    const write = async (): Promise<string> => {
      let written = "";
      for await (const character of generate(predictor, vocabulary, options)) written += character;
      return written;
    };
    const alone = await write();
    const [written, error] = await Promise.all([write(), errorOf(write())]);
    expect(error.name).toBe("UserError");
    expect(error.message).toContain("generate with this predictor is under way");
    expect(written).toBe(alone);
    for await (const _ of generate(predictor, vocabulary, options)) break;
    expect(await write()).toBe(alone);
  });
});

describe.each([reference, wasm])("a predictor on %o", (backend) => {
  const make = (): Promise<Trainer> =>
    createTrainer(sequential({ rnn: recurrent(gru(4)) }), { loss: mse(), optimizer: adam(), backend: backend() });

  it("refuses a run, a reset and states while it runs, and none after it", async () => {
    const predictor = await (await make()).predictor({ inputShape: [1, 1, 2] });
    const expected = [...(await predictor.run([1, 2]))];
    predictor.reset();
    const first = predictor.run([1, 2]);
    const others = [predictor.run([3, 4]), predictor.states()].map(errorOf);
    expect(() => predictor.reset()).toThrow("still at work");
    for (const error of await Promise.all(others))
      expect(error.message).toBe(
        "the predictor is still at work: await its answer before the next call, or make a second predictor",
      );
    expect([...(await first)]).toEqual(expected);
    predictor.reset();
    await errorOf(predictor.run([1]));
    expect([...(await predictor.run([1, 2]))]).toEqual(expected);
  });

  it("that is disposed of gives what it holds to the next one, which begins anew", async () => {
    const trainer = await make();
    const options = { inputShape: [20, 4, 2] };
    const inputs = Float64Array.from({ length: 160 }, (_, i) => Math.sin(i));
    const first = await trainer.predictor(options);
    const expected = [...(await first.run(inputs))];
    first.dispose();
    first.dispose();
    const held = trainer.memory();
    for (let i = 0; i < 5; i++) {
      const next = await trainer.predictor(options);
      expect([...(await next.run(inputs))]).toEqual(expected);
      next.dispose();
    }
    expect(trainer.memory()).toEqual(held);
    expect((await errorOf(first.run(inputs))).message).toBe("the predictor was disposed of");
    expect(() => first.runNow?.(inputs)).toThrow("disposed of");
  });

  it("shares nothing with another of the same shape that is in use", async () => {
    const trainer = await make();
    const options = { inputShape: [1, 1, 2] };
    const [a, b] = [await trainer.predictor(options), await trainer.predictor(options)];
    const alone = [...(await b.run([1, 2]))];
    await a.run([3, 4]);
    b.reset();
    expect([...(await b.run([1, 2]))]).toEqual(alone);
    a.dispose();
    const [c, d] = [await trainer.predictor(options), await trainer.predictor({ ...options, carry: false })];
    expect([...(await c.run([1, 2]))]).toEqual(alone);
    expect([...(await d.run([1, 2]))]).toEqual(alone);
    await b.run([5, 6]);
    c.reset();
    expect([...(await c.run([1, 2]))]).toEqual(alone);
  });
});
