/** A workload's network, and what it is trained on. */
import { dense, oneHotEncoding, recurrent, sequential } from "../../src/layers/index.js";
import type { Layer } from "../../src/layers/layer.js";
import { cellNamed } from "../../src/models/text-model.js";
import { createRng } from "../../src/parameters/rng.js";
import type { TrainingData } from "../../src/train/data.js";
import type { Model, Training } from "./workloads.js";

export function modelOf({ cell, hidden, layers, vocabulary }: Model): Layer {
  const rnn = recurrent(cellNamed(cell, hidden), { layers });
  return vocabulary
    ? sequential({ input: oneHotEncoding(vocabulary), rnn, head: dense(vocabulary) })
    : sequential({ rnn, head: dense(1) });
}

/** One window of random numbers, given again and again, its state carried. */
export function windowOf({ vocabulary, features = 1, batch, time }: Training): TrainingData {
  const rng = createRng(1);
  const draw = (): number => (vocabulary ? Math.floor(rng.uniform() * vocabulary) : rng.normal());
  const width = vocabulary ? 1 : features;
  const type = vocabulary ? "index" : "float";
  const inputs = Float32Array.from({ length: time * batch * width }, draw);
  const targets = Float32Array.from({ length: time * batch }, draw);
  return {
    train: () => ({
      inputShape: [time, batch, width],
      inputType: type,
      targetShape: [time, batch, 1],
      targetType: type,
      length: Number.MAX_SAFE_INTEGER,
      carries: true,
      masked: false,
      fill(index, intoInputs, intoTargets) {
        intoInputs.set(inputs);
        intoTargets.set(targets);
        return index === 0;
      },
    }),
  };
}
