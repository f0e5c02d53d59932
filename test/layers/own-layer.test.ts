/** The README's own layer: it learns where its state starts, and the trainer carries it on. */
import { describe, expect, it } from "vitest";
import {
  arrayBatches,
  createTrainer,
  gradientCheck,
  initializers,
  type Layer,
  mse,
  reference,
  sgd,
  unroll,
} from "../../src/index.js";

const average = (rate: number): Layer => ({
  kind: "average",
  apply(x, context) {
    const [, N, D] = x.shape as [number, number, number];
    const start = context.parameter("start", [D], initializers.zeroInit); // what a fresh sequence starts from
    const state = { h: context.state("h", [N, D], start) }; // or what was carried, or given
    const step = (at: { x: typeof x }, { h }: typeof state) => {
      const next = h.mul(1 - rate).add(at.x.mul(rate));
      return { state: { h: next }, outputs: { y: next } };
    };
    const { outputs, state: final } = unroll({ inputs: { x }, state, step });
    context.carry("h", final.h);
    return outputs.y;
  },
});

describe("a layer with a state of its own", () => {
  it("has the gradients that finite differences have, its start's among them", async () => {
    const { passed, rows } = await gradientCheck(average(0.3), { inputShape: [4, 3, 2] });
    expect(rows.map(({ name }) => name)).toEqual(expect.arrayContaining(["start", "input"]));
    expect(passed).toBe(true);
  });

  it("learns its start, and goes on from call to call", async () => {
    const backend = reference();
    const trainer = await createTrainer(average(0.5), {
      loss: mse(),
      optimizer: sgd({ learningRate: 1 }),
      batch: 1,
      backend,
    });
    const data = arrayBatches({ inputs: [0, 0], inputShape: [2, 1], targets: [4, 2], targetShape: [2, 1] });
    for await (const _ of trainer.fit(data, { steps: 200 }));
    expect((await trainer.parameters()).start!.data[0]).toBeCloseTo(8, 6);
    const predictor = await trainer.predictor({ inputShape: [2, 1, 1] });
    const outputs = [...(await predictor.run([0, 0])), ...(await predictor.run([0, 0]))];
    for (const [t, expected] of [4, 2, 1, 0.5].entries()) expect(outputs[t]).toBeCloseTo(expected, 6);
  });
});
