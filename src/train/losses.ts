/**
 * Losses. z predictions, y targets, R rows (all leading dimensions), C columns; σ the logistic function.
 *
 *   mse               mean (z−y)²
 *   halfMse           mean over rows of ½·Σ_columns (z−y)²
 *   mae               mean |z−y|
 *   huber             mean c·(|z−y| − ½c), c = min(|z−y|, δ)                      (Huber 1964)
 *   bce               mean −y·log z − (1−y)·log(1−z)
 *   bceWithLogits     mean w·y·softplus(−z) + (1−y)·softplus(z)                   = bce of σ(z)
 *   crossEntropy      Σ_rows −Σ_j q_j·log softmax(z)_j / Σ_rows w_y,  q_j = w_j·((1−ε)·[j=y] + ε/V)
 *   quantile          mean max(τ·(y−z), (τ−1)·(y−z)) over the levels τ            (Koenker & Bassett 1978)
 *   gaussianNll       mean ½·(log s + (z−y)²/s), s the predicted variance         (Nix & Weigend 1994)
 *
 * Means are over all elements, as PyTorch's reduction="mean"; with a mask over the rows where it is 1. Where no row counts
 * the loss is 0. Rows that the mask leaves out may hold any target, NaN included.
 */
import { checkOptions, checkRate, UserError } from "../errors.js";
import {
  abs,
  constant,
  current,
  equal,
  gather,
  log,
  maximum,
  minimum,
  scoped,
  select,
  softplus,
  split,
  square,
  sumAll,
  type Tensor,
  transpose,
} from "../graph/language.js";
import { crossEntropyRows } from "../graph/ops/rows.js";
import { columnsOf, rowsOf, type Shape, sameShape, showShape, sizeOf, withColumns } from "../graph/shape.js";
import type { Variable } from "../graph/variable.js";
import { firstOutside, placeIn } from "../layers/check.js";
import { checkTargets, type Loss, orOne } from "./loss.js";

type Target = ReturnType<Loss["target"]>;

interface LossDefinition {
  readonly name: string;
  /** Columns of the target; a UserError where the loss cannot be taken of such predictions. Default: as many as the prediction. */
  readonly targetColumns?: (prediction: Shape) => number;
  /** The loss of each element (or row), [.., C′]. */
  readonly elements: (prediction: Tensor, target: Tensor) => Tensor;
}

/** A loss of numbers that is the mean of its elements. */
function elementwise({ name, targetColumns = columnsOf, elements }: LossDefinition): Loss {
  const target = (prediction: Shape): Target => ({
    shape: withColumns(prediction, targetColumns(prediction)),
    type: "float",
  });
  return {
    name,
    target,
    apply(prediction, given, mask) {
      checkTarget(name, prediction, given, target(prediction.shape), mask);
      return scoped(name, () => {
        const all = elements(prediction, mask ? select(mask, given, 0) : given);
        if (!mask) return sumAll(all).div(sizeOf(all.shape));
        return sumAll(all.mul(mask)).div(orOne(sumAll(mask).mul(columnsOf(all.shape))));
      });
    },
  };
}

const product = (a: Tensor | undefined, b: Tensor | undefined): Tensor | undefined => (a && b ? a.mul(b) : (a ?? b));

function checkTarget(name: string, prediction: Tensor, target: Tensor, wanted: Target, mask: Tensor | undefined): void {
  checkTargets(`${name}: predictions ${showShape(prediction.shape)}`, wanted, target);
  const rows = withColumns(prediction.shape, 1);
  if (mask && !sameShape(mask.shape, rows))
    throw new UserError(
      `${name}: predictions ${showShape(prediction.shape)} want a mask ${showShape(rows)}, not ${showShape(mask.shape)}`,
    );
}

/** Mean squared error. z and y [.., C]. */
export const mse = (): Loss => elementwise({ name: "mse", elements: (z, y) => square(z.sub(y)) });

/** Half the squared error of a row, summed over its columns, mean over the rows. z and y [.., C]. */
export function halfMse(): Loss {
  return elementwise({
    name: "halfMse",
    // The mean over rows is C times the mean over elements.
    elements: (z, y) => square(z.sub(y)).mul(0.5 * columnsOf(z.shape)),
  });
}

/** Mean absolute error; its slope at 0 is 0. z and y [.., C]. */
export const mae = (): Loss => elementwise({ name: "mae", elements: (z, y) => abs(z.sub(y)) });

/** Options of `huber`; all have defaults. */
export interface HuberOptions {
  /** δ, the error where the parabola ends and the straight line begins. Default 1, as PyTorch. */
  readonly delta?: number;
}

/** ½(z−y)² up to an error of δ, straight beyond: δ·(|z−y| − ½δ). z and y [.., C]. */
export function huber(options: HuberOptions = {}): Loss {
  const { delta = 1 } = options;
  checkOptions("huber", options, "delta");
  if (!(delta > 0 && Number.isFinite(delta))) throw new UserError(`huber: delta must be above 0, not ${delta}`);
  return elementwise({
    name: "huber",
    elements(z, y) {
      const error = abs(z.sub(y));
      const c = minimum(error, delta);
      return c.mul(error.sub(c.mul(0.5)));
    },
  });
}

/** log x, no less than −100, as PyTorch's binary_cross_entropy has it; the slope is 0 where it is cut. */
const clampedLog = (x: Tensor): Tensor => maximum(log(maximum(x, Math.exp(-100))), -100);

/**
 * Binary cross-entropy of probabilities. z [.., C] in 0 … 1 (a sigmoid's output), y [.., C] in 0 … 1. Logarithms are cut at −100,
 * as PyTorch's. `bceWithLogits` is more accurate.
 */
export function bce(): Loss {
  return elementwise({
    name: "bce",
    elements(z, y) {
      const one = constant(1);
      return y
        .mul(clampedLog(z))
        .add(one.sub(y).mul(clampedLog(one.sub(z))))
        .neg();
    },
  });
}

/** Options of `bceWithLogits`; all have defaults. */
export interface BceWithLogitsOptions {
  /** w, the weight of y = 1 against y = 0: one number, or one for each column. Default 1. */
  readonly positiveWeight?: number | readonly number[];
}

/** Binary cross-entropy from logits z [.., C] (before the sigmoid), y [.., C] in 0 … 1. */
export function bceWithLogits(options: BceWithLogitsOptions = {}): Loss {
  const { positiveWeight = 1 } = options;
  const name = "bceWithLogits";
  checkOptions(name, options, "positiveWeight");
  const weights = typeof positiveWeight === "number" ? undefined : row(name, "positiveWeight", positiveWeight);
  if (typeof positiveWeight === "number") checkWeights(name, "positiveWeight", [positiveWeight]);
  return elementwise({
    name,
    targetColumns(prediction) {
      const columns = columnsOf(prediction);
      if (weights && weights.shape[0] !== columns)
        throw new UserError(
          `${name}: positiveWeight has ${weights.shape[0]} numbers, but the predictions ${showShape(prediction)} have ${columns} columns`,
        );
      return columns;
    },
    elements: (z, y) =>
      y
        .mul(softplus(z.neg()))
        .mul(weights ? current(weights) : (positiveWeight as number))
        .add(constant(1).sub(y).mul(softplus(z))),
  });
}

/** Numbers, one a column, as a variable that holds them from the start. */
function row(name: string, what: string, numbers: readonly number[]): Variable {
  checkWeights(name, what, numbers);
  return { name: what, shape: [numbers.length], type: "float", initial: [...numbers] };
}

function checkWeights(name: string, what: string, weights: readonly number[]): void {
  const wrong = weights.find((weight) => !(weight >= 0 && Number.isFinite(weight)));
  if (wrong !== undefined) throw new UserError(`${name}: ${what} must be at least 0, not ${wrong}`);
  if (!weights.some((weight) => weight > 0)) throw new UserError(`${name}: ${what} holds no number above 0`);
}

/** Options of `crossEntropy`; all have defaults. */
export interface CrossEntropyOptions {
  /** ε, the part of the target that is spread over all V classes (Szegedy et al. 2016). Default 0. */
  readonly labelSmoothing?: number;
  /** w [V], one for each class; the mean is weighted by them, as PyTorch's. Default 1 each. */
  readonly classWeights?: readonly number[];
  /** Rows with this target count nothing; it may lie outside 0 … V−1, as PyTorch's −100. Default none. */
  readonly ignoreIndex?: number;
}

/**
 * Cross-entropy from logits z [.., V] and target classes y, indices [.., 1] in 0 … V−1. In nats. Training and validation refuse a
 * target outside 0 … V−1 that neither `ignoreIndex` names nor the mask leaves out; in a graph of your own it adds nothing to the
 * sum, but its row counts in the mean.
 */
export function crossEntropy(options: CrossEntropyOptions = {}): Loss {
  const { labelSmoothing: smoothing = 0, classWeights, ignoreIndex } = options;
  const name = "crossEntropy";
  checkOptions(name, options, "labelSmoothing classWeights ignoreIndex");
  checkRate(`${name}: labelSmoothing`, smoothing);
  if (ignoreIndex !== undefined && !Number.isInteger(ignoreIndex))
    throw new UserError(`${name}: ignoreIndex must be a whole number, not ${ignoreIndex}`);
  const weights = classWeights && row(name, "classWeights", classWeights);
  const target = (prediction: Shape): Target => {
    const classes = columnsOf(prediction);
    if (classes < 2)
      throw new UserError(
        `${name}: predictions ${showShape(prediction)} have 1 class: for yes and no use bceWithLogits`,
      );
    if (weights && weights.shape[0] !== classes)
      throw new UserError(
        `${name}: classWeights has ${weights.shape[0]} numbers, but the predictions ${showShape(prediction)} have ${classes} classes`,
      );
    return { shape: withColumns(prediction, 1), type: "index" };
  };
  const countsOf = (y: Tensor, mask: Tensor | undefined): Tensor | undefined =>
    product(ignoreIndex === undefined ? undefined : constant(1).sub(equal(y, ignoreIndex)), mask);
  const sharesOf = (y: Tensor, mask: Tensor | undefined): Tensor | undefined =>
    product(weights && gather(transpose(current(weights)), y), countsOf(y, mask));
  return {
    name,
    target,
    weight(_, y, mask) {
      const shares = sharesOf(y, mask);
      return shares && sumAll(shares);
    },
    check(prediction, targets, mask, nameOf) {
      const classes = columnsOf(prediction);
      const at = firstOutside(classes, targets, mask, ignoreIndex);
      if (at >= 0)
        throw new UserError(
          `${name}: the target at ${placeIn(prediction, at, nameOf)} is ${targets[at]}, but the predictions have ${classes} classes, 0 to ${classes - 1}; ignoreIndex leaves one out`,
        );
    },
    apply(z, y, mask) {
      checkTarget(name, z, y, target(z.shape), mask);
      return scoped(name, () => {
        const w = weights && current(weights);
        const losses = crossEntropyRows(z, y, { smoothing, ...(w ? { weights: w } : {}) });
        const counts = countsOf(y, mask);
        const shares = sharesOf(y, mask);
        const total = sumAll(product(losses, counts)!);
        // A fixed number where it can be: each part of a batch then knows its gradient without the others.
        return shares ? total.div(orOne(sumAll(shares))) : total.div(rowsOf(z.shape));
      });
    },
  };
}

/**
 * Pinball loss for quantile forecasts. With Q levels and targets y [.., C] the predictions are z [.., Q·C]: first all C columns at
 * the first level, then all C at the second, and so on. Mean over all Q·C columns.
 * @throws UserError where a level is not between 0 and 1, or the columns of predictions do not divide by their number
 */
export function quantile(levels: readonly number[]): Loss {
  const name = "quantile";
  if (levels.length === 0) throw new UserError(`${name}: there are no levels`);
  const wrong = levels.find((level) => !(level > 0 && level < 1));
  if (wrong !== undefined) throw new UserError(`${name}: a level must lie between 0 and 1, which ${wrong} does not`);
  return elementwise({
    name,
    targetColumns: (prediction) => parts(name, prediction, levels.length, `${levels.length} levels`),
    elements: (z, y) =>
      split(z, levels.length)
        .map((part, i) => {
          const error = y.sub(part);
          return maximum(error.mul(levels[i]!), error.mul(levels[i]! - 1));
        })
        .reduce((sum, part) => sum.add(part))
        .div(levels.length),
  });
}

function parts(name: string, prediction: Shape, count: number, what: string): number {
  const columns = columnsOf(prediction) / count;
  if (!Number.isInteger(columns))
    throw new UserError(`${name}: predictions ${showShape(prediction)} do not divide into ${what}`);
  return columns;
}

/** Options of `gaussianNll`; all have defaults. */
export interface GaussianNllOptions {
  /** The least variance. Default 1e-3. */
  readonly epsilon?: number;
}

/**
 * Negative log-likelihood of a normal distribution without its constant ½·log 2π, as PyTorch's GaussianNLLLoss. With targets y
 * [.., C] the predictions are [.., 2C]: C means, then C numbers v with variance s = softplus(v) + epsilon.
 */
export function gaussianNll(options: GaussianNllOptions = {}): Loss {
  const { epsilon = 1e-3 } = options;
  const name = "gaussianNll";
  checkOptions(name, options, "epsilon");
  if (!(epsilon > 0 && Number.isFinite(epsilon)))
    throw new UserError(`${name}: epsilon must be above 0, not ${epsilon}`);
  return elementwise({
    name,
    targetColumns: (prediction) => parts(name, prediction, 2, "means and variances"),
    elements(prediction, y) {
      const [mean, v] = split(prediction, 2);
      const s = softplus(v).add(epsilon).named("variance");
      return log(s)
        .add(square(mean.sub(y)).div(s))
        .mul(0.5);
    },
  });
}
