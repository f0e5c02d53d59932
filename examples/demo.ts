/**
 * A recurrent network reads a play, character by character, and learns to write like it, in about a minute.
 *
 *   npm run demo
 */
import { readFileSync } from "node:fs";
import { SingleBar } from "cli-progress";
import { adam, createTrainer, crossEntropy, generate, readText, schedules, textBatches, textModel } from "throughtime";
import { enableRelaxedSimd, saveTextRun } from "throughtime/node";
import { runCommand, wholeNumber } from "./command-line.js";

const model = { cell: "gru", hidden: 128, layers: 2, embedding: 0, dropout: 0.15 } as const;
const dir = "runs/demo";

async function main(steps: number): Promise<void> {
  const sampleAt = [50, 150, 400, steps];
  enableRelaxedSimd(); // V8's flag for fused multiply-add, where Node still hides it
  const text = readText(readFileSync(new URL("../data/play.txt", import.meta.url), "utf8"), { validation: 0.05 });
  const trainer = await createTrainer(textModel({ vocabularySize: text.vocabulary.size, ...model }), {
    loss: crossEntropy(),
    optimizer: adam({ learningRate: 0.006 }),
    schedule: schedules.cosine({ steps, minimum: 0.0005 }),
    clip: { norm: 5 },
    bptt: { window: 40 },
    batch: 25,
    seed: 1,
  });
  const predictor = await trainer.predictor({ inputShape: [1, 1, 1], inputType: "index" });

  async function sample(title: string): Promise<void> {
    console.log(`\n── ${title} ${"─".repeat(60 - title.length)}`);
    for await (const character of generate(predictor, text.vocabulary, { length: 250, temperature: 0.6, seed: 7 }))
      process.stdout.write(character);
    console.log("\n");
  }

  console.log(`A GRU of 2 × 128 units learns to predict the next of ${text.train.length} characters of data/play.txt.`);
  await sample("Before training");
  const bar = new SingleBar({
    format: "{bar} {value}/{total}  loss {loss}  gradient norm {norm}  {speed} characters/s  {eta_formatted}",
    barsize: 20,
    etaBuffer: 50,
    noTTYOutput: true, // a line now and then, where stderr is no terminal
    notTTYSchedule: 5000,
  });
  let shown = { loss: "…", norm: "…", speed: "…" };
  let rate = 0;
  bar.start(steps, 0, shown);
  for await (const { step, loss, gradientNorm, elementsPerSecond } of trainer.fit(textBatches(text), { steps })) {
    rate += (elementsPerSecond - rate) * Math.max(0.05, 1 / step);
    shown = { loss: loss.toFixed(2), norm: gradientNorm.toFixed(2), speed: Math.round(rate).toLocaleString("en-US") };
    bar.update(step, shown);
    if (!sampleAt.includes(step)) continue;
    bar.stop();
    await sample(`After ${step} steps`);
    if (step < steps) bar.start(steps, step, shown);
  }

  const validationLoss = await trainer.evaluate(textBatches(text));
  await saveTextRun(dir, { model, vocabulary: text.vocabulary, checkpoint: await trainer.checkpoint() });
  trainer.dispose();
  console.log(`On pages it has not read its loss is ${(validationLoss / Math.LN2).toFixed(2)} bits a character; guessing has ${Math.log2(text.vocabulary.size).toFixed(2)}.
The model is saved in ${dir}. To let it write more:

  npm run -s throughtime -- text sample ${dir} --prompt "NELL:"

To train one on a text of your own, and to see what else there is:

  npm run -s throughtime -- text train YOUR.txt
  npm run -s throughtime -- --help`);
}

await runCommand(() => main(wholeNumber("steps", process.argv[2], 1000)));
