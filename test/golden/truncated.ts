/**
 * The suite `truncated`: truncated BPTT on a stream. W windows of K steps, batch B, vocabulary V; one-hot input, a recurrent net, a
 * linear head, mean cross-entropy. The state is carried and the gradient cut at each window; one update a window.
 */
import type { Backend } from "../../src/backend/contract.js";
import { oneHot } from "../../src/graph/language.js";
import { dense } from "../../src/layers/dense.js";
import { recurrent } from "../../src/layers/recurrent.js";
import { sequential } from "../../src/layers/sequential.js";
import { crossEntropy } from "../../src/train/losses.js";
import { count, type GoldenCase, number } from "./case.js";
import { type Comparison, demandOf, type Outcome } from "./compare.js";
import { optimizerOf } from "./optimizers.js";
import { cellOf } from "./recurrent.js";
import { createStep } from "./step.js";

export async function runTruncated({ fields, tensors }: GoldenCase, backend: Backend): Promise<Outcome> {
  const cell = cellOf(fields);
  const [V, B] = [fields.get("vocab", count), fields.get("batch", count)];
  const [K, W] = [fields.get("window", count), fields.get("windows", count)];
  const net = recurrent(cell, { layers: fields.get("num_layers", count) });
  const optimizer = optimizerOf(fields);
  const clip = { value: fields.maybe("clip_value", number), norm: fields.maybe("clip_norm", number) };
  fields.finish();
  const ids = tensors.indices("ids", [W * K + 1, B]);
  const strange = ids.find((id) => id < 0 || id >= V);
  if (strange !== undefined) throw new Error(`ids holds ${strange}, outside a vocabulary of ${V}`);
  const rows = (first: number): Int32Array => ids.subarray(first * B, (first + K) * B);

  const session = await backend.createSession();
  try {
    const step = await createStep(session, {
      model: (x, context) => sequential({ rnn: net, head: dense(V) }).apply(oneHot(x, V), context),
      loss: crossEntropy(),
      shape: [K, B, 1],
      optimizer,
      clip,
      initial: (name, shape) => tensors.floats(`before.${name}`, shape),
    });
    const [losses, norms]: [number[], number[]] = [[], []];
    for (let w = 0; w < W; w++) {
      const { loss, norm } = await step.run(rows(w * K), rows(w * K + 1));
      losses.push(loss);
      norms.push(norm);
    }
    const comparisons: Comparison[] = [
      { tensor: "losses", actual: losses, expected: tensors.floats("losses", [W]) },
      { tensor: "grad_norms", actual: norms, expected: tensors.floats("grad_norms", [W]) },
    ];
    for (const [name, parameter] of step.parameters)
      comparisons.push({
        tensor: `after.${name}`,
        actual: await session.read(parameter),
        expected: tensors.floats(`after.${name}`, parameter.shape),
      });
    tensors.finish();
    const oneHots = Array.from({ length: V }, (_, id) => new Float64Array(V).fill(1, id, id + 1));
    // State and weights carry rounding errors from window to window: the stream is one sequence.
    return { comparisons, demand: demandOf(W * K, oneHots, tensors, "after.rnn.") };
  } finally {
    session.dispose();
  }
}
