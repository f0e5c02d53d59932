/**
 * A cell of one's own: the minimal gated unit (Zhou, Wu, Zhang & Zhou 2016), which has one gate where the GRU has two.
 *
 *   f  = σ(W_f·x + b_f + U_f·h)              how much of the state is forgotten
 *   n  = tanh(W_n·x + b_n + U_n·(f∘h))       what comes in its place
 *   h' = (1−f)∘h + f∘n
 *
 *   npx tsx examples/own-cell.ts
 */
import { constant, defineCell, explain, gradientCheck, linear, sigmoid, tanh } from "throughtime";
import { adding } from "./adding.js";
import { cells, cellsByLength } from "./cells-by-length.js";

export const mgu = (H: number) =>
  defineCell({
    name: "mgu",
    state: { h: H },
    parameters: (D) => ({ W_f: [H, D], U_f: [H, H], b_f: [H], W_n: [H, D], U_n: [H, H], b_n: [H] }),
    step(x, { h }, { W_f, U_f, b_f, W_n, U_n, b_n }) {
      const f = sigmoid(linear(x, W_f, b_f).add(linear(h, U_f))).named("f");
      const n = tanh(linear(x, W_n, b_n).add(linear(f.mul(h), U_n))).named("n");
      return { h: constant(1).sub(f).mul(h).add(f.mul(n)) };
    },
  });

export async function main({ lengths = [50, 100], steps = 1000 } = {}) {
  console.log(explain(mgu(4)));

  const check = await gradientCheck(mgu(4));
  console.log("Its derived gradients beside finite differences:");
  for (const { name, relativeError } of check.rows)
    console.log(`  ${name.padEnd(12)} relative error ${relativeError.toExponential(1)}`);

  console.log("\nAnd it learns the adding task (mean squared error, guessing: 0.1667):");
  return { check, table: await cellsByLength(adding, { cells: { mgu, gru: cells.gru }, lengths, steps }) };
}

if (import.meta.filename === process.argv[1]) await main();
