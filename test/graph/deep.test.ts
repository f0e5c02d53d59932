/** Graphs deeper than the stack, and models of many layers. */
import { describe, expect, it } from "vitest";
import { wasm } from "../../src/backend/wasm/index.js";
import { rnn } from "../../src/cells/rnn.js";
import { current, sumAll, type Tensor, tanh, unroll, zeros } from "../../src/graph/language.js";
import { gradients } from "../../src/graph/sweep.js";
import { variable } from "../../src/graph/variable.js";
import { dense, recurrent, sequential } from "../../src/layers/index.js";
import { mse } from "../../src/train/losses.js";
import { adam } from "../../src/train/optimizers.js";
import { createTrainer } from "../../src/train/trainer.js";
import { sourceOf } from "../train/source.js";

const DEPTH = 30_000;

function deep(x: Tensor): Tensor {
  let y = x;
  for (let i = 0; i < DEPTH; i++) y = y.mul(0.999);
  return y;
}

describe("a graph deeper than the stack", () => {
  it("has a gradient", () => {
    const x = current(variable("x", [2, 3]));
    const [dx] = gradients(sumAll(deep(x)), [x]);
    expect(dx!.shape).toEqual([2, 3]);
  });

  it("may be what a loop takes from outside", () => {
    const x = current(variable("x", [4, 2, 3]));
    const factor = deep(current(variable("factor", [2, 3])));
    const { outputs } = unroll({
      inputs: { x },
      state: { h: zeros([2, 3]) },
      step: (at, { h }) => {
        const next = tanh(at.x!.add(h!).mul(factor));
        return { state: { h: next }, outputs: { y: next } };
      },
    });
    const [dx, dFactor] = gradients(sumAll(outputs.y!), [x, factor]);
    expect(dx!.shape).toEqual([4, 2, 3]);
    expect(dFactor!.shape).toEqual([2, 3]);
  });
});

it.each([false, true])(
  "a model of 200 layers trains, in segments: %s",
  async (recompute) => {
    const trainer = await createTrainer(sequential({ rnn: recurrent(rnn(2), { layers: 200 }), head: dense(1) }), {
      loss: mse(),
      optimizer: adam({ learningRate: 0.01 }),
      bptt: { recompute },
      batch: 2,
      backend: wasm({ threads: 1 }),
    });
    const source = sourceOf([4, 2, 1], {
      carries: false,
      fill(_, inputs, targets) {
        for (let i = 0; i < 8; i++) [inputs[i], targets[i]] = [Math.sin(i), Math.cos(i)];
        return true;
      },
    });
    const losses: number[] = [];
    for await (const { loss } of trainer.fit({ train: () => source }, { steps: 5 })) losses.push(loss);
    expect(losses.at(-1)).toBeLessThan(losses[0]!);
    expect(trainer.network.parameters.size).toBe(802);
    trainer.dispose();
  },
  60_000,
);
