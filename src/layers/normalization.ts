/**
 * Normalisation. ε keeps the root from 0; γ is `weight`, β is `bias`, both [D].
 *
 *   layer norm (Ba, Kiros & Hinton 2016), each row by itself:        y = γ∘(x − mean(x)) / √(var(x) + ε) + β
 *   batch norm (Ioffe & Szegedy 2015), each feature over R rows:     y = γ∘(x − μ) / √(σ² + ε) + β
 *     training:   μ = Σx/R, σ² = Σ(x − μ)²/R
 *                 running_mean ← (1−m)·running_mean + m·μ
 *                 running_var  ← (1−m)·running_var  + m·σ²·R/(R−1)
 *     otherwise:  μ = running_mean, σ² = running_var
 */
import { checkOptions, UserError } from "../errors.js";
import { layerNormalize, maximum, sqrt, square, sumAll, sumRows } from "../graph/language.js";
import { columnsOf, rowsOf, showShape } from "../graph/shape.js";
import { constant, type Tensor } from "../graph/tensor.js";
import { oneInit, zeroInit } from "../parameters/initializers.js";
import { checkPositive, checkRows, maskOf } from "./check.js";
import type { Layer } from "./layer.js";

/** Options of `layerNorm`; all have defaults. */
export interface LayerNormOptions {
  /** ε. Default 1e-5, as PyTorch. */
  readonly epsilon?: number;
}

/** Layer norm over the features. Input and output [N, D] or [T, N, D]. Parameters, under PyTorch's names: weight, bias [D]. */
export function layerNorm(options: LayerNormOptions = {}): Layer {
  const { epsilon = 1e-5 } = options;
  checkOptions("layerNorm", options, "epsilon");
  checkPositive("layerNorm", "epsilon", epsilon);
  return {
    kind: "layerNorm",
    apply(input, context) {
      const features = [columnsOf(checkRows("layerNorm", input).shape)];
      const weight = context.parameter("weight", features, oneInit);
      const bias = context.parameter("bias", features, zeroInit);
      return layerNormalize(input, weight, bias, epsilon);
    },
  };
}

/** Options of `batchNorm`; all have defaults. */
export interface BatchNormOptions {
  /** m, the part of the batch's statistics in the running ones. Default 0.1, as PyTorch. */
  readonly momentum?: number;
  /** ε. Default 1e-5, as PyTorch. */
  readonly epsilon?: number;
}

/**
 * Batch norm over all rows. Input and output [N, D] or [T, N, D]; of a sequence every step's rows count, past a sequence's end
 * (mask) none. Parameters, under PyTorch's names: weight, bias [D]; statistics: running_mean, running_var [D].
 * @throws UserError where momentum is not above 0 and at most 1, or a training batch has one row only
 */
export function batchNorm(options: BatchNormOptions = {}): Layer {
  const { momentum = 0.1, epsilon = 1e-5 } = options;
  checkOptions("batchNorm", options, "momentum epsilon");
  checkPositive("batchNorm", "epsilon", epsilon);
  if (!(momentum > 0 && momentum <= 1))
    throw new UserError(`batchNorm: the momentum must be above 0 and at most 1, not ${momentum}`);
  return {
    kind: "batchNorm",
    apply(input, context) {
      const features = [columnsOf(checkRows("batchNorm", input).shape)];
      const weight = context.parameter("weight", features, oneInit);
      const bias = context.parameter("bias", features, zeroInit);
      const runningMean = context.statistic("running_mean", features, zeroInit);
      const runningVariance = context.statistic("running_var", features, oneInit);
      if (!context.training)
        return normalized(input.sub(runningMean.value), runningVariance.value.add(epsilon)).mul(weight).add(bias);

      const rows = rowsOf(input.shape);
      if (rows < 2)
        throw new UserError(
          `batchNorm: training needs at least 2 rows to have a variance; ${showShape(input.shape)} has 1`,
        );
      const mask = maskOf(input, context.mask);
      const count = mask ? maximum(sumAll(mask), 1) : constant(rows);
      const others = mask ? maximum(count.sub(1), 1) : constant(rows - 1);
      const total = (x: Tensor): Tensor => sumRows(mask ? x.mul(mask) : x);
      const mean = total(input).div(count);
      const centred = input.sub(mean);
      const squares = total(square(centred));
      const running = (old: Tensor, now: Tensor): Tensor => old.mul(1 - momentum).add(now.mul(momentum));
      runningMean.update(running(runningMean.value, mean));
      runningVariance.update(running(runningVariance.value, squares.div(others)));
      return normalized(centred, squares.div(count).add(epsilon)).mul(weight).add(bias);
    },
  };
}

const normalized = (centred: Tensor, variance: Tensor): Tensor => centred.div(sqrt(variance));
