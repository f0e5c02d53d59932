/**
 * One step of backpropagation beside the same step worked out by hand: two inputs x, two hidden sigmoid units h, one output y.
 *
 *   h = σ(W·x + b)     y = σ(v·h + c)     L = ½(y−t)²
 *   dc = (y−t)·y·(1−y)     dv = dc·h     db = dc·v∘h∘(1−h)     dW = db·xᵀ     then w ← w − γ·dw for all four
 *
 *   npx tsx examples/backprop-by-hand.ts
 */
import { arrayBatches, createTrainer, dense, halfMse, sequential, sgd } from "throughtime";

const [x1, x2, target, rate] = [0.05, 0.1, 0.01, 0.5];
const start = { W11: 0.15, W12: 0.2, W21: 0.25, W22: 0.3, b1: 0.35, b2: 0.35, v1: 0.4, v2: 0.45, c: 0.6 };
type Weights = typeof start;
type Step = Record<"output" | "loss" | "output after" | "loss after" | keyof Weights, number>;

const σ = (z: number): number => 1 / (1 + Math.exp(-z));

function forward({ W11, W12, W21, W22, b1, b2, v1, v2, c }: Weights) {
  const h1 = σ(W11 * x1 + W12 * x2 + b1);
  const h2 = σ(W21 * x1 + W22 * x2 + b2);
  const y = σ(v1 * h1 + v2 * h2 + c);
  return { h1, h2, y, loss: 0.5 * (y - target) ** 2 };
}

function byHand(): Step {
  const { h1, h2, y, loss } = forward(start);
  const dc = (y - target) * y * (1 - y);
  const [db1, db2] = [dc * start.v1 * h1 * (1 - h1), dc * start.v2 * h2 * (1 - h2)];
  const after: Weights = {
    W11: start.W11 - rate * db1 * x1,
    W12: start.W12 - rate * db1 * x2,
    W21: start.W21 - rate * db2 * x1,
    W22: start.W22 - rate * db2 * x2,
    b1: start.b1 - rate * db1,
    b2: start.b2 - rate * db2,
    v1: start.v1 - rate * dc * h1,
    v2: start.v2 - rate * dc * h2,
    c: start.c - rate * dc,
  };
  const next = forward(after);
  return { output: y, loss, ...after, "output after": next.y, "loss after": next.loss };
}

async function byThroughtime(): Promise<Step> {
  const { W11, W12, W21, W22, b1, b2, v1, v2, c } = start;
  const sigmoid = { activation: "sigmoid" } as const;
  const trainer = await createTrainer(sequential({ hidden: dense(2, sigmoid), output: dense(1, sigmoid) }), {
    loss: halfMse(),
    optimizer: sgd({ learningRate: rate }),
    batch: 1,
    backend: "reference",
    weights: {
      "hidden.weight": { shape: [2, 2], data: [W11, W12, W21, W22] },
      "hidden.bias": { shape: [2], data: [b1, b2] },
      "output.weight": { shape: [1, 2], data: [v1, v2] },
      "output.bias": { shape: [1], data: [c] },
    },
  });
  const data = arrayBatches({ inputs: [x1, x2], inputShape: [2], targets: [target], targetShape: [1] });
  const predictor = await trainer.predictor({ inputShape: [1, 2] });
  const look = async () => ({ y: (await predictor.run([x1, x2]))[0]!, loss: await trainer.evaluate(data) });

  const before = await look();
  for await (const _ of trainer.fit(data, { steps: 1 })); // one update
  const next = await look();
  const after = Object.values(await trainer.parameters()).flatMap(({ data }) => Array.from(data));
  trainer.dispose();
  const weights = Object.fromEntries(Object.keys(start).map((name, i) => [name, after[i]!])) as Weights;
  return { output: before.y, loss: before.loss, ...weights, "output after": next.y, "loss after": next.loss };
}

export async function main(): Promise<{ hand: Step; throughtime: Step }> {
  const [hand, throughtime] = [byHand(), await byThroughtime()];
  console.log("                 by hand     throughtime");
  for (const name of Object.keys(hand) as (keyof Step)[])
    console.log(`${name.padEnd(14)}${hand[name].toFixed(8).padStart(12)}${throughtime[name].toFixed(8).padStart(14)}`);
  return { hand, throughtime };
}

if (import.meta.filename === process.argv[1]) await main();
