/** The suite `dense`: a multilayer perceptron with each activation and loss, forward and backward. N batch. */
import type { Backend } from "../../src/backend/contract.js";
import { evaluate } from "../../src/backend/evaluate.js";
import { current } from "../../src/graph/language.js";
import { type Shape, sizeOf } from "../../src/graph/shape.js";
import { gradients } from "../../src/graph/sweep.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { batchVariable, type Variable, variable } from "../../src/graph/variable.js";
import type { Activation } from "../../src/layers/activation.js";
import { dense } from "../../src/layers/dense.js";
import { sequential } from "../../src/layers/sequential.js";
import type { Loss } from "../../src/train/loss.js";
import { bce, bceWithLogits, crossEntropy, gaussianNll, halfMse, huber, mae, mse } from "../../src/train/losses.js";
import { count, type GoldenCase, listOf, oneOf } from "./case.js";
import type { Outcome } from "./compare.js";
import { contextOf } from "./context.js";

const activations = {
  identity: "identity",
  relu: "relu",
  leaky_relu: "leakyRelu",
  elu: "elu",
  gelu: "gelu",
  silu: "silu",
  sigmoid: "sigmoid",
  tanh: "tanh",
  softplus: "softplus",
  softmax: "softmax",
} as const satisfies Readonly<Record<string, Activation>>;

const losses = {
  mse: mse(),
  half_mse: halfMse(),
  mae: mae(),
  huber: huber(),
  bce: bce(),
  bce_logits: bceWithLogits(),
  cross_entropy: crossEntropy(),
  cross_entropy_smooth: crossEntropy({ labelSmoothing: 0.1 }),
  gaussian_nll: gaussianNll({ epsilon: 1e-3 }),
} as const satisfies Readonly<Record<string, Loss>>;

const keysOf = <T extends object>(table: T): (keyof T & string)[] => Object.keys(table) as (keyof T & string)[];

export async function runDense({ fields, tensors }: GoldenCase, backend: Backend): Promise<Outcome> {
  const sizes = fields.get("sizes", listOf(count));
  const functions = fields.get("activations", listOf(oneOf(keysOf(activations))));
  const loss = losses[fields.get("loss", oneOf(keysOf(losses)))];
  const N = fields.get("batch", count);
  fields.finish();
  if (sizes.length < 2 || functions.length !== sizes.length - 1)
    throw new Error(`${sizes.length} sizes want one activation fewer, not ${functions.length}`);

  const feeds: [Variable, ArrayLike<number>][] = [];
  const wrt = new Map<string, Tensor>();
  const given = (name: string, shape: Shape): Tensor => {
    const made = name === "input" ? batchVariable(name, shape) : variable(name, shape);
    feeds.push([made, tensors.floats(name, shape)]);
    wrt.set(name, current(made));
    return wrt.get(name)!;
  };
  const layers = functions.map((name, i) => dense(sizes[i + 1]!, { activation: activations[name] }));
  const output = sequential({ layers: sequential(layers) }).apply(
    given("input", [N, sizes[0]!]),
    contextOf({ parameter: given }),
  );

  const wanted = loss.target(output.shape);
  const target = batchVariable("target", wanted.shape, wanted.type);
  // PyTorch's classes are [N], an index for each row.
  const figures = wanted.type === "index" ? tensors.indices("target", [N]) : tensors.floats("target", wanted.shape);
  if (figures.length !== sizeOf(wanted.shape)) throw new Error(`the target has ${figures.length} figures`);
  feeds.push([target, figures]);
  const value = loss.apply(output, current(target));
  const dx = gradients(value, [...wrt.values()]);
  const results: Record<string, Tensor> = { output, loss: value };
  [...wrt.keys()].forEach((name, i) => {
    results[`grad.${name}`] = dx[i]!;
  });

  const computed = await evaluate(backend, results, feeds);
  const comparisons = Object.entries(results).map(([tensor, { shape }]) => ({
    tensor,
    actual: computed[tensor]!,
    expected: tensors.floats(tensor, shape),
  }));
  tensors.finish();
  return { comparisons, demand: undefined };
}
