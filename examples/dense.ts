/**
 * A plain dense network on the same core: which of two intertwined spirals does a point belong to? No straight line, and no
 * curve of low degree, can tell. Prints the share it gets right, and what it answers all over the plane.
 *
 *   npx tsx examples/dense.ts
 */
import { adam, arrayBatches, bceWithLogits, createRng, createTrainer, dense, type Rng, sequential } from "throughtime";

/** Points of both arms, [x, y] in −1 … 1, slightly shaken, and their arm, 0 or 1. */
function spirals(count: number, rng: Rng): { inputs: number[]; targets: number[] } {
  const inputs: number[] = [];
  const targets: number[] = [];
  for (let i = 0; i < count; i++) {
    const arm = i % 2;
    const along = Math.sqrt(rng.uniform());
    const angle = 3 * Math.PI * along + Math.PI * arm;
    inputs.push(along * Math.cos(angle) + 0.02 * rng.normal(), along * Math.sin(angle) + 0.02 * rng.normal());
    targets.push(arm);
  }
  return { inputs, targets };
}

/** Trains and gives the share of held-out points on the right arm. */
export async function main({ epochs = 100, seed = 1 } = {}): Promise<number> {
  const rng = createRng(seed);
  const [training, held] = [spirals(1000, rng), spirals(400, rng)];
  const data = arrayBatches({ ...training, inputShape: [2], targetShape: [1], validation: held });

  const model = sequential(dense(32, { activation: "tanh" }), dense(32, { activation: "tanh" }), dense(1));
  const trainer = await createTrainer(model, { loss: bceWithLogits(), optimizer: adam({ learningRate: 0.01 }), seed });
  for await (const { epoch, loss, validationLoss } of trainer.fit(data, { epochs }))
    if (validationLoss !== undefined && epoch % (epochs / 5) === 0)
      console.log(`epoch ${epoch}: loss ${loss.toFixed(4)}, on held-out points ${validationLoss.toFixed(4)}`);

  const judge = await trainer.predictor({ inputShape: [400, 2] });
  const logits = await judge.run(held.inputs);
  const right = held.targets.filter((arm, i) => logits[i]! > 0 === (arm === 1)).length / held.targets.length;
  console.log(`right on ${(100 * right).toFixed(1)} % of held-out points`);

  const [rows, columns] = [21, 42];
  const plane = Array.from({ length: rows * columns }, (_, i) => [
    (2 * ((i % columns) + 0.5)) / columns - 1,
    1 - (2 * (Math.floor(i / columns) + 0.5)) / rows,
  ]);
  const painter = await trainer.predictor({ inputShape: [rows * columns, 2] });
  const picture = Array.from(await painter.run(plane.flat()), (logit) => (logit > 0 ? "█" : "·")).join("");
  for (let row = 0; row < rows; row++) console.log(picture.slice(row * columns, (row + 1) * columns));
  trainer.dispose();
  return right;
}

if (import.meta.filename === process.argv[1]) await main();
