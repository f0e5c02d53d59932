/** A character model is trained and writes: the same in a page and in Node. */
import {
  adam,
  createTrainer,
  crossEntropy,
  generate,
  readText,
  type Trainer,
  textBatches,
  textModel,
} from "throughtime";

export interface Training {
  readonly backend: "wasm" | "webgpu";
  readonly threads?: number | "auto";
  readonly hidden: number;
  readonly steps: number;
}

/** What has been done, called as soon as it is. */
export type Note = (done: "created" | "first step" | "training" | "writing") => void;

export interface Outcome {
  readonly threads: number;
  readonly losses: readonly number[];
  readonly validationLoss: number | undefined;
  /** What the trained model writes. */
  readonly text: string;
}

export const create = (play: string, { backend, threads, hidden }: Omit<Training, "steps">): Promise<Trainer> =>
  createTrainer(modelFor(play, hidden), {
    loss: crossEntropy(),
    optimizer: adam({ learningRate: 5e-3 }),
    clip: { norm: 5 },
    bptt: { window: 32 },
    batch: 16,
    backend,
    threads,
  });

const modelFor = (play: string, hidden: number) =>
  textModel({
    vocabularySize: readText(play).vocabulary.size,
    cell: "lstm",
    hidden,
    layers: 2,
    embedding: 32,
    dropout: 0.1,
  });

export async function train(play: string, training: Training, note: Note = () => {}): Promise<Outcome> {
  const text = readText(play);
  const trainer = await create(play, training);
  note("created");
  const losses: number[] = [];
  let validationLoss: number | undefined;
  for await (const report of trainer.fit(textBatches(text), { steps: training.steps })) {
    losses.push(report.loss);
    validationLoss = report.validationLoss;
    if (report.step === 1) note("first step");
    // The last step compiles the program of the validation.
    if (report.step === training.steps - 1) note("training");
  }
  const predictor = await trainer.predictor({ inputShape: [1, 1, 1], inputType: "index" });
  let written = "";
  for await (const character of generate(predictor, text.vocabulary, { prompt: "NELL:\n", length: 200, seed: 7 }))
    written += character;
  note("writing");
  const { threads } = trainer;
  trainer.dispose();
  return { threads, losses, validationLoss, text: written };
}
