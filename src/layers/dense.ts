/**
 * A fully connected layer.
 *
 *   y = f(W·x + b)
 */
import { checkCount, checkOptions } from "../errors.js";
import { linear } from "../graph/language.js";
import { columnsOf } from "../graph/shape.js";
import { pytorchUniform } from "../parameters/initializers.js";
import type { Initializer } from "../parameters/parameter.js";
import { type Activation, activationFunction } from "./activation.js";
import { checkRows } from "./check.js";
import type { Layer } from "./layer.js";

/** Options of `dense`; all have defaults. */
export interface DenseOptions {
  /** f. Default "identity". */
  readonly activation?: Activation;
  /** Default true. */
  readonly bias?: boolean;
  /** How `weight` [units, D] starts. Default U(±1/√D), as PyTorch's Linear. */
  readonly initializer?: Initializer;
  /** How `bias` [units] starts. Default U(±1/√D), as PyTorch's Linear. */
  readonly biasInitializer?: Initializer;
}

/**
 * Input [N, D] or [T, N, D], output [N, units] or [T, N, units]. Parameters, under PyTorch's names: weight [units, D], bias [units].
 * @throws UserError where `units` is no whole number of at least 1, or the input holds indices
 */
export function dense(units: number, options: DenseOptions = {}): Layer {
  const { activation = "identity", bias = true, initializer, biasInitializer } = options;
  checkCount("dense: units", units);
  checkOptions("dense", options, "activation bias initializer biasInitializer");
  const f = activationFunction("dense", activation);
  return {
    kind: "dense",
    apply(input, context) {
      const features = columnsOf(checkRows("dense", input).shape);
      const byDefault = pytorchUniform(features);
      const weight = context.parameter("weight", [units, features], initializer ?? byDefault);
      const b = bias ? context.parameter("bias", [units], biasInitializer ?? byDefault) : undefined;
      return f(linear(input, weight, b));
    },
  };
}
