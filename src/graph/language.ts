/**
 * The language that cells, layers, losses and optimisers are written in. Every function takes tensors and gives a tensor; the
 * derivative, the fused kernels and the memory follow from what is written.
 *
 * R rows (all leading dimensions), C columns (the last dimension).
 */
import { checkRate, UserError } from "../errors.js";
import * as matrix from "./ops/matrix.js";
import { matmul, slice, sumColumns, transpose } from "./ops/matrix.js";
import * as rowOps from "./ops/rows.js";
import { gather, oneHotIds, random } from "./ops/rows.js";
import { broadcast, columnsOf, rowsOf, type Shape, sameShape, showShape, sizeOf, withColumns } from "./shape.js";
import { constant, pointwise, Tensor } from "./tensor.js";
import type { Variable } from "./variable.js";

export {
  concat,
  matmul,
  maxColumns,
  reshape,
  slice,
  sliceRows,
  stopGradient,
  sumAll,
  sumColumns,
  transpose,
} from "./ops/matrix.js";
export { gather, logSoftmax, random, softmax } from "./ops/rows.js";
export { constant, scoped, Tensor } from "./tensor.js";
export { unroll } from "./unroll.js";

type Operand = Tensor | number;

/** The current value of a variable. */
export function current(variable: Variable): Tensor {
  return new Tensor("variable", [], variable.shape, { variable }, variable.type).named(variable.name);
}

/** `shape` zeros. */
export const zeros = (shape: Shape): Tensor => constant(0, shape);

// ── pointwise

/** eˣ. */
export const exp = (x: Tensor): Tensor => pointwise("exp", x);
/** The natural logarithm; NaN below 0. */
export const log = (x: Tensor): Tensor => pointwise("log", x);
/** log(1 + x), exact near 0. */
export const log1p = (x: Tensor): Tensor => pointwise("log1p", x);
/** eˣ − 1, exact near 0. */
export const expm1 = (x: Tensor): Tensor => pointwise("expm1", x);
/** √x; NaN below 0. */
export const sqrt = (x: Tensor): Tensor => pointwise("sqrt", x);
/** |x|; its slope at 0 is 0. */
export const abs = (x: Tensor): Tensor => pointwise("abs", x);
/** The error function, 2/√π·∫₀ˣ e^(−t²) dt. */
export const erf = (x: Tensor): Tensor => pointwise("erf", x);
/** The largest whole number up to x. Its slope is 0. */
export const floor = (x: Tensor): Tensor => pointwise("floor", x);
/** σ(x) = 1 / (1 + e⁻ˣ). */
export const sigmoid = (x: Tensor): Tensor => pointwise("sigmoid", x);
/** The hyperbolic tangent. */
export const tanh = (x: Tensor): Tensor => pointwise("tanh", x);
/** log(1 + eˣ). */
export const softplus = (x: Tensor): Tensor => pointwise("softplus", x);
/** The greater of the two, element by element; where they are equal the gradient goes to b. */
export const maximum = (a: Operand, b: Operand): Tensor => pointwise("max", asTensor(a), b);
/** The lesser of the two, element by element; where they are equal the gradient goes to b. */
export const minimum = (a: Operand, b: Operand): Tensor => pointwise("min", asTensor(a), b);
/** 1 where a < b, else 0. */
export const less = (a: Operand, b: Operand): Tensor => pointwise("less", asTensor(a), b);
/** 1 where a ≤ b, else 0. */
export const lessEqual = (a: Operand, b: Operand): Tensor => pointwise("lessEqual", asTensor(a), b);
/** 1 where a = b, else 0. */
export const equal = (a: Operand, b: Operand): Tensor => pointwise("equal", asTensor(a), b);
/** a where condition ≠ 0, b elsewhere. */
export const select = (condition: Tensor, a: Operand, b: Operand): Tensor => pointwise("select", condition, a, b);
/** x∘x. */
export const square = (x: Tensor): Tensor => x.mul(x);

const asTensor = (x: Operand): Tensor => (typeof x === "number" ? constant(x) : x);

// ── activations

/** max(x, 0); its slope at 0 is 0. */
export const relu = (x: Tensor): Tensor => maximum(x, 0);
/** x where x > 0, slope·x elsewhere. Default slope 0.01. */
export const leakyRelu = (x: Tensor, slope = 0.01): Tensor => select(less(0, x), x, x.mul(slope));
/** x where x > 0, alpha·(eˣ − 1) elsewhere; its slope at 0 is alpha. */
export const elu = (x: Tensor, alpha = 1): Tensor => select(less(0, x), x, expm1(minimum(0, x)).mul(alpha));
/** x·Φ(x) with the normal distribution's Φ (Hendrycks & Gimpel 2016), exact. */
export const gelu = (x: Tensor): Tensor => x.mul(0.5).mul(erf(x.mul(Math.SQRT1_2)).add(1));
/** x·σ(x), also called swish. */
export const silu = (x: Tensor): Tensor => x.mul(sigmoid(x));

/** The activation functions by name, as options take them. */
export const activations = {
  identity: (x: Tensor): Tensor => x,
  relu,
  leakyRelu,
  elu,
  gelu,
  silu,
  sigmoid,
  tanh,
  softplus,
} as const;
/** The name of one of `activations`. */
export type ActivationName = keyof typeof activations;

// ── structure

/** x·weightᵀ + bias: x [.., C], weight [O, C], bias [O], as PyTorch's `linear`. One-hot rows become a lookup. */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  if (columnsOf(x.shape) !== columnsOf(weight.shape))
    throw new UserError(
      `linear: ${nameOf(x, "the input")} of shape ${showShape(x.shape)} has ${columnsOf(x.shape)} features, but ${nameOf(weight, "the weight")} of shape ${showShape(weight.shape)} takes ${columnsOf(weight.shape)}`,
    );
  const ids = oneHotIds.get(x);
  const product = ids ? gather(transpose(weight), ids) : matmul(x, weight, { transposeB: true });
  return bias ? product.add(bias) : product;
}

const nameOf = (tensor: Tensor, otherwise: string): string => tensor.name ?? otherwise;

/** Each index of [.., 1] as a row of `classes` zeros with a one at its place. */
export function oneHot(ids: Tensor, classes: number): Tensor {
  const numbers = {
    name: `0…${classes - 1}`,
    shape: [1, classes],
    type: "float",
    initial: Array.from({ length: classes }, (_, i) => i),
  } as const;
  const rows = equal(ids, current(numbers));
  oneHotIds.set(rows, ids);
  return rows;
}

/** As many tensors as the number or the names say, where they are written out. */
type Pieces<P, A extends Tensor[] = []> = P extends readonly unknown[]
  ? { -readonly [I in keyof P]: Tensor }
  : number extends P
    ? Tensor[]
    : A["length"] extends P
      ? A
      : A["length"] extends 16
        ? Tensor[]
        : Pieces<P, [...A, Tensor]>;

/**
 * Cuts the features of x [.., C] into `parts` equal pieces [.., C/parts]; names, given instead of a number, name the pieces for
 * explanations.
 * @throws UserError where C does not divide by their number
 */
export function split<const P extends number | readonly string[]>(x: Tensor, parts: P): Pieces<P>;
export function split(x: Tensor, parts: number | readonly string[]): unknown {
  const count = typeof parts === "number" ? parts : parts.length;
  const columns = columnsOf(x.shape);
  if (!Number.isInteger(count) || count < 1 || columns % count !== 0)
    throw new UserError(`split: ${columns} features of ${showShape(x.shape)} do not divide into ${count} equal parts`);
  return Array.from({ length: count }, (_, i) => {
    const part = slice(x, (i * columns) / count, columns / count);
    return typeof parts === "number" || part === x ? part : part.named(parts[i]!);
  });
}

/** Whether `shape` repeats to `full` as operands do. */
function checkRepeats(what: string, shape: Shape, full: Shape): void {
  if (!sameShape(broadcast([shape, full], what), full))
    throw new UserError(`${what}: ${showShape(shape)} does not repeat to ${showShape(full)}`);
}

/**
 * x repeated to `shape`: along the features, along the first dimensions, or both, as an operand of `add` is.
 * @throws UserError where that is no repetition, such as [T, 1, D] to [T, N, D]
 */
export function expand(x: Tensor, shape: Shape): Tensor {
  checkRepeats("expand", x.shape, shape);
  return matrix.expand(x, shape);
}

/**
 * Sum over the first dimensions, down to `shape`: [T, N, D] to [N, D] sums over time, to [D] or [1, D] (default) over all rows.
 * @throws UserError where `shape` does not repeat to that of x, or has other features
 */
export function sumRows(x: Tensor, shape: Shape = [columnsOf(x.shape)]): Tensor {
  checkRepeats("sumRows", shape, x.shape);
  if (columnsOf(shape) !== columnsOf(x.shape))
    throw new UserError(`sumRows: ${showShape(x.shape)} has not the features of ${showShape(shape)}`);
  return matrix.sumRows(x, shape);
}

/** Mean over the features, [R, 1]. */
export const meanColumns = (x: Tensor): Tensor => sumColumns(x).div(columnsOf(x.shape));
/** Mean over all rows, [C]. */
export const meanRows = (x: Tensor): Tensor => matrix.sumRows(x).div(rowsOf(x.shape));

/**
 * Each row's softmax cross-entropy [.., 1] from logits [.., V] and target classes (index, [.., 1]). `weights` [V] scale the
 * classes, `smoothing` ε spreads ε of the target over all classes; a target outside 0 … V−1 gives 0.
 * As PyTorch's `cross_entropy(reduction="none")`.
 * @throws UserError where the targets or the weights do not fit the logits
 */
export function crossEntropyRows(
  logits: Tensor,
  target: Tensor,
  options: { weights?: Tensor; smoothing?: number } = {},
): Tensor {
  const { weights } = options;
  const wanted = withColumns(logits.shape, 1);
  if (target.type !== "index" || !sameShape(target.shape, wanted))
    throw new UserError(
      `cross-entropy: logits ${showShape(logits.shape)} want index targets ${showShape(wanted)}, not ${target.type} ${showShape(target.shape)}`,
    );
  if (weights && sizeOf(weights.shape) !== columnsOf(logits.shape))
    throw new UserError(
      `cross-entropy: weights ${showShape(weights.shape)} are not one for each class of logits ${showShape(logits.shape)}`,
    );
  return rowOps.crossEntropyRows(logits, target, options);
}

/** Each row to mean 0 and variance 1 over the features, then gain ∘ x + bias (Ba, Kiros & Hinton 2016). `epsilon` as PyTorch's. */
export function layerNormalize(x: Tensor, gain?: Tensor, bias?: Tensor, epsilon = 1e-5): Tensor {
  const centred = x.sub(meanColumns(x));
  const normal = centred.div(sqrt(meanColumns(square(centred)).add(epsilon)));
  const scaled = gain ? normal.mul(gain) : normal;
  return bias ? scaled.add(bias) : scaled;
}

/**
 * Inverted dropout (Srivastava et al. 2014): each element is zero with probability `rate`, else divided by 1 − rate. The mask
 * depends on the step's seed, the key and the element's place alone.
 */
export function dropped(x: Tensor, rate: number, seed: Tensor, key: number): Tensor {
  checkRate("dropout: the rate", rate);
  return rate === 0 ? x : x.mul(dropoutMask(x, rate, seed, key));
}

/** 0 with probability `rate`, else 1/(1 − rate), in the shape of `like`. */
export const dropoutMask = (like: Tensor, rate: number, seed: Tensor, key: number): Tensor =>
  lessEqual(rate, random(seed, key, like)).mul(1 / (1 - rate));

export { withColumns };
