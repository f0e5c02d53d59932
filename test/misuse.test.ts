/** What is given in the wrong form is named in one sentence. */
import { describe, expect, it } from "vitest";
import {
  arrayBatches,
  type Cell,
  createTrainer,
  defineCell,
  dense,
  initializers,
  type Layer,
  mse,
  type Optimizer,
  recurrent,
  sequential,
  sgd,
} from "../src/index.js";
import { errorOf } from "./refusal.js";

const data = arrayBatches({ inputs: [1, 2, 3, 4], inputShape: [2, 1], targets: [1, 2, 3, 4], targetShape: [2, 1] });
const refusal = async (layer: Layer, optimizer: Optimizer = sgd()): Promise<string> => {
  const trainer = await createTrainer(layer, { loss: mse(), optimizer, batch: 2, threads: 1 });
  const error = await errorOf(trainer.fit(data, { steps: 1 }).next());
  trainer.dispose();
  expect(error.name).toBe("UserError");
  return error.message;
};
const cell = (next: unknown): Cell =>
  defineCell({ name: "mine", state: { h: 3 }, parameters: (D) => ({ W: [3, D] }), step: () => next as never });

describe("a cell of one's own", () => {
  it.each([
    ["3", { h: 3 }],
    ["nothing", {}],
    ["nothing", undefined],
  ])("that gives %s for its state", async (said, next) => {
    expect(await refusal(recurrent(cell(next)))).toContain(
      `the step must return state "h" of shape [2, 3], not ${said}`,
    );
  });
});

it("an optimiser of one's own that gives no head.weighteight, or no slot", async () => {
  const own = (result: (w: Parameters<Optimizer["update"]>[0]) => unknown): Optimizer => ({
    name: "lion",
    learningRate: 0.1,
    slots: { m: 0 },
    scalars: () => ({}),
    update: result as Optimizer["update"],
  });
  const layer = sequential({ head: dense(1) });
  expect(
    await refusal(
      layer,
      own(({ w }) => ({ w, slots: {} })),
    ),
  ).toBe("lion: update gives no head.weight.m");
  expect(
    await refusal(
      layer,
      own(({ slots }) => ({ slots })),
    ),
  ).toBe("lion: update gives no head.weight");
});

it("an initialiser that is called as if it made one", () => {
  const called = initializers.heUniform as unknown as () => unknown;
  expect(() => called()).toThrow("heUniform, heNormal, lecunUniform and lecunNormal are initialisers");
});
