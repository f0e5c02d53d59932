/**
 * A character model of a text of one's own: reads, learns, writes.
 *
 *   npx tsx examples/text.ts book.txt [steps]
 */
import {
  adam,
  bitsPerCharacter,
  createTrainer,
  crossEntropy,
  dense,
  embedding,
  generate,
  lstm,
  readText,
  recurrent,
  sequential,
  textBatches,
} from "throughtime";
import { enableRelaxedSimd, readTextFile } from "throughtime/node";
import { runCommand, wholeNumber } from "./command-line.js";

export async function main({ file = "data/play.txt", steps = 1000, hidden = 128, layers = 2, length = 400 } = {}) {
  const text = readText(await readTextFile(file), { name: file });
  const V = text.vocabulary.size;
  const model = sequential({
    embedding: embedding(V, 64),
    rnn: recurrent(lstm(hidden), { layers, dropout: 0.2 }),
    head: dense(V),
  });
  const trainer = await createTrainer(model, {
    loss: crossEntropy(),
    optimizer: adam({ learningRate: 2e-3 }),
    clip: { norm: 5 },
    bptt: { window: 50 }, // truncated BPTT: the state is carried from window to window, the gradient is not
    batch: 32,
    seed: 1,
  });
  const data = textBatches(text);
  const losses: number[] = [];
  for await (const { step, loss, gradientNorm, validationLoss } of trainer.fit(data, { steps, validateEvery: 200 })) {
    losses.push(loss);
    const held = validationLoss === undefined ? "" : `, held out ${bitsPerCharacter(validationLoss).toFixed(3)} bits`;
    if (step % 50 === 0 || step === steps)
      console.log(`step ${step}: loss ${loss.toFixed(3)}, gradient norm ${gradientNorm.toFixed(2)}${held}`);
  }

  const predictor = await trainer.predictor({ inputShape: [1, 1, 1], inputType: "index" });
  let written = "";
  for await (const character of generate(predictor, text.vocabulary, { length, temperature: 0.8 })) {
    process.stdout.write(character);
    written += character;
  }
  console.log();
  trainer.dispose();
  return { losses, written };
}

if (import.meta.filename === process.argv[1]) {
  enableRelaxedSimd(); // faster on Node 20
  await runCommand(() => main({ file: process.argv[2], steps: wholeNumber("steps", process.argv[3], 1000) }));
}
