/**
 * The copy task (Hochreiter & Schmidhuber 1997): four symbols of eight, then T blanks, then a sign to go: which four were they?
 * A network that has forgotten them can but guess, at ln 8 = 2.079 nats a symbol.
 *
 *   npx tsx examples/copy.ts [seed]
 */
import { crossEntropy, dense, oneHotEncoding, recurrent, sequential } from "throughtime";
import { enableRelaxedSimd } from "throughtime/node";
import { cellsByLength, type TableOptions, type Task } from "./cells-by-length.js";
import { runCommand, wholeNumber } from "./command-line.js";

const [symbols, shown, blank, sign, unasked] = [8, 4, 8, 9, -1];

const copy: Task = {
  model: (cell) => sequential({ input: oneHotEncoding(symbols + 2), rnn: recurrent(cell), head: dense(symbols) }),
  loss: crossEntropy({ ignoreIndex: unasked }),
  hidden: 32,
  examples(count, T, rng) {
    const length = shown + T + shown;
    const inputs = new Int32Array(count * length).fill(blank);
    const targets = new Int32Array(count * length).fill(unasked);
    for (let start = 0; start < count * length; start += length) {
      inputs[start + shown + T] = sign;
      for (let i = start; i < start + shown; i++)
        targets[i + shown + T] = inputs[i] = Math.floor(rng.uniform() * symbols);
    }
    const shape = [length, 1];
    return { inputs, inputShape: shape, inputType: "index", targets, targetShape: shape, targetType: "index" };
  },
};

export function main(options: Partial<TableOptions> = {}): ReturnType<typeof cellsByLength> {
  console.log("copy: cross-entropy of a symbol, in nats (guessing: 2.0794)");
  return cellsByLength(copy, { lengths: [10, 30, 100], steps: 2000, ...options });
}

if (import.meta.filename === process.argv[1]) {
  enableRelaxedSimd(); // faster on Node 20
  await runCommand(() => main({ seed: wholeNumber("the seed", process.argv[2], 1) }));
}
