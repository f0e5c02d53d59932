/** Ops that treat each row by itself: softmax, cross-entropy, lookups. V classes or table rows. */
import { UserError } from "../../errors.js";
import { columnsOf, type Shape, showShape, withColumns } from "../shape.js";
import { type Attributes, pointwise, Tensor } from "../tensor.js";
import { sumColumns } from "./matrix.js";
import type { OpRule } from "./rule.js";

const first = (inputs: readonly Tensor[]): Shape => inputs[0]!.shape;

/** Each row's softmax over the features. */
export const softmax = (x: Tensor): Tensor => new Tensor("softmax", [x], x.shape);
/** The logarithm of each row's softmax, without overflow. */
export const logSoftmax = (x: Tensor): Tensor => new Tensor("logSoftmax", [x], x.shape);

/** As the language's own, which checks that targets and weights fit the logits. */
export function crossEntropyRows(
  logits: Tensor,
  target: Tensor,
  { weights, smoothing = 0 }: { weights?: Tensor; smoothing?: number } = {},
): Tensor {
  const inputs = weights ? [logits, target, weights] : [logits, target];
  return new Tensor("crossEntropy", inputs, withColumns(logits.shape, 1), { smoothing });
}

/** Rows of `table` [V, D] by `index` [.., 1]: an embedding. An index outside the table gives a row of zeros. */
export function gather(table: Tensor, index: Tensor): Tensor {
  return new Tensor("gather", [table, index], gatherShape([table, index]));
}

function gatherShape([table, index]: readonly Tensor[]): Shape {
  if (index!.type !== "index" || columnsOf(index!.shape) !== 1)
    throw new UserError(`gather: wants an index of shape [.., 1], not ${index!.type} ${showShape(index!.shape)}`);
  return withColumns(index!.shape, columnsOf(table!.shape));
}

/** Sums the rows of x [.., D] into the rows of a [rows, D] table that `index` [.., 1] names. */
export const scatter = (x: Tensor, index: Tensor, shape: Shape): Tensor =>
  new Tensor("scatter", [x, index], shape, { shape });

/** The indices behind a tensor of one-hot rows: a product with weights is then a lookup. */
export const oneHotIds = new WeakMap<Tensor, Tensor>();

/** Uniform numbers in [0, 1), others at every step and every time index; `like` gives the shape and says where in a loop it belongs. */
export function random(seed: Tensor, key: number, like: Tensor): Tensor {
  return new Tensor("random", [seed, like], like.shape, { key, shape: like.shape });
}

const rowwise = { rowwise: true, cheap: false } as const;

export const rowTable = {
  softmax: {
    ...rowwise,
    shape: first,
    derivative: [({ dy, y }) => y().mul(dy.sub(sumColumns(dy.mul(y()))))],
  },
  logSoftmax: {
    ...rowwise,
    shape: first,
    derivative: [({ dy, y }) => dy.sub(pointwise("exp", y()).mul(sumColumns(dy)))],
  },
  crossEntropy: {
    ...rowwise,
    shape: (inputs) => withColumns(first(inputs), 1),
    derivative: [
      ({ dy, x, node }) => {
        const weights = node.inputs.length > 2 ? [x(2)] : [];
        return new Tensor("crossEntropyGradient", [x(0), x(1), dy, ...weights], node.inputs[0]!.shape, node.attributes);
      },
      undefined,
      undefined,
    ],
  },
  crossEntropyGradient: { ...rowwise, shape: first, derivative: undefined },
  gather: {
    ...rowwise,
    shape: gatherShape,
    derivative: [({ dy, x, node }) => scatter(dy, x(1), node.inputs[0]!.shape), undefined],
  },
  scatter: {
    rowwise: false,
    cheap: false,
    shape: (_: readonly Tensor[], { shape }: Attributes) => shape!,
    derivative: [({ dy, x }) => gather(dy, x(1)), undefined],
  },
  random: {
    rowwise: true,
    cheap: true,
    shape: (_: readonly Tensor[], { shape }: Attributes) => shape!,
    derivative: undefined,
  },
} satisfies Record<string, OpRule>;
