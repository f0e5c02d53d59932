/** A character model is trained and writes: the same in a page and in Node. */
import {
  adam,
  type BackendName,
  createTrainer,
  crossEntropy,
  generate,
  readText,
  type Trainer,
  type TrainingData,
  textBatches,
  textModel,
} from "throughtime";

export interface Training {
  readonly backend: BackendName;
  readonly threads?: number | "auto";
  /** Features of each layer, and of the embedding. */
  readonly hidden: number;
  /** N. */
  readonly batch: number;
  /** T. */
  readonly window: number;
  readonly steps: number;
}

/** Called at the end of each part of a run. */
export type Note = (done: "created" | "first step" | "training" | "writing") => void;

export interface Outcome {
  readonly threads: number;
  readonly losses: readonly number[];
  readonly validationLoss: number | undefined;
  /** What the trained model writes. */
  readonly text: string;
}

export const dataOf = (play: string): TrainingData => textBatches(readText(play));

export const create = (play: string, { backend, threads, hidden, batch, window }: Training): Promise<Trainer> =>
  createTrainer(
    textModel({
      vocabularySize: readText(play).vocabulary.size,
      cell: "lstm",
      hidden,
      layers: 2,
      embedding: hidden,
      dropout: 0.1,
    }),
    {
      loss: crossEntropy(),
      optimizer: adam({ learningRate: 5e-3 }),
      clip: { norm: 5 },
      bptt: { window },
      batch,
      backend,
      threads,
    },
  );

export async function train(play: string, training: Training, note: Note = () => {}): Promise<Outcome> {
  const trainer = await create(play, training);
  note("created");
  const losses: number[] = [];
  let validationLoss: number | undefined;
  for await (const report of trainer.fit(dataOf(play), { steps: training.steps })) {
    losses.push(report.loss);
    validationLoss = report.validationLoss;
    if (report.step === 1) note("first step");
  }
  note("training");
  const text = await write(trainer, play);
  note("writing");
  trainer.dispose();
  return { threads: trainer.threads, losses, validationLoss, text };
}

async function write(trainer: Trainer, play: string): Promise<string> {
  const predictor = await trainer.predictor({ inputShape: [1, 1, 1], inputType: "index" });
  let written = "";
  const options = { prompt: "NELL:\n", length: 200, seed: 7 };
  for await (const character of generate(predictor, readText(play).vocabulary, options)) written += character;
  return written;
}
