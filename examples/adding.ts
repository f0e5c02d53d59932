/**
 * The adding task (Hochreiter & Schmidhuber 1997): a sequence of T numbers between 0 and 1, two of them marked, one in each
 * half. After the last one: what is the sum of those two? Who always answers 1 has a mean squared error of 1/6 = 0.167.
 *
 *   npx tsx examples/adding.ts [seed]
 */
import { dense, mse, recurrent, sequential } from "throughtime";
import { enableRelaxedSimd } from "throughtime/node";
import { cellsByLength, type TableOptions, type Task } from "./cells-by-length.js";
import { runCommand, wholeNumber } from "./command-line.js";

export const adding: Task = {
  model: (cell) => sequential({ rnn: recurrent(cell, { output: "last" }), head: dense(1) }),
  loss: mse(),
  hidden: 16,
  /** Inputs [T, 2]: a number, and 1 where it is marked. */
  examples(count, T, rng) {
    const inputs = Float32Array.from({ length: count * T * 2 }, (_, i) => (i % 2 === 0 ? rng.uniform() : 0));
    const targets = new Float32Array(count);
    for (let example = 0; example < count; example++) {
      for (const half of [0, 1]) {
        const marked = example * T + Math.floor(((half + rng.uniform()) * T) / 2);
        inputs[2 * marked + 1] = 1;
        targets[example]! += inputs[2 * marked]!;
      }
    }
    return { inputs, inputShape: [T, 2], targets, targetShape: [1] };
  },
};

export function main(options: Partial<TableOptions> = {}): ReturnType<typeof cellsByLength> {
  console.log("adding: mean squared error (guessing: 0.1667)");
  return cellsByLength(adding, { lengths: [50, 100, 200, 400], steps: 1000, ...options });
}

if (import.meta.filename === process.argv[1]) {
  enableRelaxedSimd(); // faster on Node 20
  await runCommand(() => main({ seed: wholeNumber("the seed", process.argv[2], 1) }));
}
