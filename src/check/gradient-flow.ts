/**
 * Gradient flow: ‖∂loss/∂h_t‖ for every time step. In a vanilla RNN it vanishes or explodes with the distance from the loss
 * (Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013); an LSTM's cell carries it on.
 *
 * A sequence of zeros is added to h_t; the gradient with respect to it, which the ordinary derivative gives, is ∂loss/∂h_t.
 */
import { backendNamed } from "../backend/choose.js";
import type { Backend } from "../backend/contract.js";
import { evaluate } from "../backend/evaluate.js";
import type { Cell } from "../cells/cell.js";
import { checkOptions } from "../errors.js";
import { current, sliceRows, sumAll, type Tensor } from "../graph/language.js";
import { columnsOf, rowsOf, type Shape, sizeOf } from "../graph/shape.js";
import { gradients } from "../graph/sweep.js";
import { type Variable, variable } from "../graph/variable.js";
import type { Layer } from "../layers/layer.js";
import { createRng } from "../parameters/rng.js";
import { createNetwork } from "../train/network.js";
import type { NamedTensor } from "../train/predictor.js";
import { asLayer } from "./subject.js";

/** Options of `gradientFlow`; all have defaults. */
export interface GradientFlowOptions {
  /** [T, N, D]. Default [100, 16, 8]. */
  readonly inputShape?: Shape;
  /** For index inputs: how many classes there are. Default: normally distributed floats. */
  readonly classes?: number;
  /** From the model's output to the loss. Default: the sum of the last step's outputs, its mean over the batch. */
  readonly loss?: (output: Tensor) => Tensor;
  /** Trained weights by name; those not named start from the seed. */
  readonly weights?: Readonly<Record<string, NamedTensor>>;
  /** Of the weights and the input. Default 1. */
  readonly seed?: number;
  /** Default `backendNamed()`. */
  readonly backend?: Backend;
}

/** The gradient at one hidden state. */
export interface LayerFlow {
  /** The hidden state: "h_l0", "rnn.h_l1_reverse". */
  readonly name: string;
  /** ‖∂loss/∂h_t‖ over batch and features, for t = 0 … T−1. */
  readonly norms: Float64Array;
}

/** The norm of the loss's gradient at the hidden state of each recurrent layer and time step. */
export async function gradientFlow(subject: Cell | Layer, options: GradientFlowOptions = {}): Promise<LayerFlow[]> {
  const { inputShape = [100, 16, 8], classes, seed = 1, backend = backendNamed() } = options;
  checkOptions("gradientFlow", options, "inputShape classes loss weights seed backend");
  const rng = createRng(`${seed}: input`);
  const input = variable("input", inputShape, classes ? "index" : "float");
  const data = Float64Array.from({ length: sizeOf(inputShape) }, () =>
    classes ? Math.floor(rng.uniform() * classes) : rng.normal(),
  );
  const feeds: [Variable, ArrayLike<number>][] = [[input, data]];
  const probes = new Map<string, Tensor>();
  const { output } = createNetwork(asLayer(subject), seed, options.weights).trace(current(input), {
    training: false,
    seed: current(variable("seed", [1], "index")),
    probe: (name, shape) => {
      const probe = current(variable(`probe ${name}`, shape));
      probes.set(name, probe);
      return probe;
    },
  });
  const last = output.shape.length === 3 ? sliceRows(output, output.shape[0]! - 1, 1) : output;
  const loss = options.loss ? options.loss(output) : sumAll(last).div(rowsOf(last.shape));
  const names = [...probes.keys()];
  const flows = gradients(loss, [...probes.values()]);
  const values = await evaluate(backend, Object.fromEntries(names.map((name, i) => [name, flows[i]!])), feeds);
  return names.map((name, i) => {
    const [steps, rows, features] = [flows[i]!.shape[0]!, flows[i]!.shape[1]!, columnsOf(flows[i]!.shape)];
    const size = rows * features;
    const norms = Float64Array.from({ length: steps }, (_, t) => norm(values[name]!, t * size, (t + 1) * size));
    return { name, norms };
  });
}

function norm(values: ArrayLike<number>, from: number, to: number): number {
  let sum = 0;
  for (let i = from; i < to; i++) sum += values[i]! ** 2;
  return Math.sqrt(sum);
}
