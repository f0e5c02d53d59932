/** A small text model in training on a device. */
import { webgpu } from "../../../src/backend/webgpu/index.js";
import {
  adam,
  createTrainer,
  crossEntropy,
  readText,
  type Trainer,
  textBatches,
  textModel,
} from "../../../src/index.js";

const text = readText("time flows backward and on. ".repeat(20), { validation: 0 });

export const trainerOn = (
  device: GPUDevice,
  { stepwise = false, batch = 4, hidden = 8 }: { stepwise?: boolean; batch?: number; hidden?: number } = {},
): Promise<Trainer> =>
  createTrainer(textModel({ vocabularySize: text.vocabulary.size, cell: "lstm", hidden, layers: 1 }), {
    loss: crossEntropy(),
    optimizer: adam({ learningRate: 0.01 }),
    bptt: { window: 6 },
    batch,
    backend: webgpu({ device, stepwise }),
  });

/** The losses of so many updates. */
export async function train(trainer: Trainer, steps: number): Promise<number[]> {
  const losses: number[] = [];
  for await (const { loss } of trainer.fit(textBatches(text), { steps })) losses.push(loss);
  return losses;
}
