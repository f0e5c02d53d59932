import { UserError } from "../errors.js";
import { select } from "../graph/language.js";
import { type Shape, sameShape, showShape } from "../graph/shape.js";
import type { Tensor } from "../graph/tensor.js";
import type { ElementType } from "../graph/variable.js";
import { checkInput } from "../layers/check.js";

interface Kind {
  readonly shape: Shape;
  readonly type: ElementType;
}

/** @throws UserError where targets are not what `predictions` want */
export function checkTargets(predictions: string, wanted: Kind, got: Kind): void {
  if (got.type !== wanted.type || !sameShape(got.shape, wanted.shape))
    throw new UserError(
      `${predictions} want ${wanted.type} targets ${showShape(wanted.shape)}, not ${got.type} ${showShape(got.shape)}`,
    );
}

/** x, or 1 where it is 0: nothing counts then, and the sum above it is 0 too. */
export const orOne = (x: Tensor): Tensor => select(x, x, 1);

/** A loss: from predictions and targets to one number. */
export interface Loss {
  /** "crossEntropy": for messages and run folders. */
  readonly name: string;
  /** The shape and type of targets for predictions of this shape; a UserError where the loss cannot be taken of it. */
  readonly target: (prediction: Shape) => Kind;
  /** The loss [1]: the mean over all elements (rows for classes), as PyTorch's reduction="mean"; with a mask [.., 1] over the rows where it is 1. */
  readonly apply: (prediction: Tensor, target: Tensor, mask?: Tensor) => Tensor;
  /**
   * Refuses numbers that are no targets for predictions of this shape, but where the mask is 0. Default: any numbers will do.
   * `nameOf` says what a row of the batch is to who made the data.
   * @throws UserError that names the first that is none
   */
  readonly check?: (
    prediction: Shape,
    targets: ArrayLike<number>,
    mask?: ArrayLike<number>,
    nameOf?: (row: number) => string,
  ) => void;
  /**
   * What the mean is taken over, [1], where that depends on the targets: Σ of the weights of the rows that count. It puts the mean of
   * a window together from the means of its parts, and that of a validation from its batches. Default: the number of rows, or of those where the mask is 1.
   */
  readonly weight?: (prediction: Tensor, target: Tensor, mask?: Tensor) => Tensor | undefined;
}

/** The loss, [1]. @throws UserError where it is no one number */
export function lossOf(loss: Loss, ...of: Parameters<Loss["apply"]>): Tensor {
  const value = loss.apply(...of);
  if (!sameShape(value.shape, [1]))
    throw new UserError(`${loss.name}: a loss has shape [1], a mean for instance, not ${showShape(value.shape)}`);
  return value;
}

/** Refuses numbers of a batch that the model's layers or the loss do not take. */
export type CheckBatch = (
  inputs: ArrayLike<number>,
  targets: ArrayLike<number>,
  mask: ArrayLike<number> | undefined,
  nameOf?: (row: number) => string,
) => void;

/** Where there is one prediction for a window, its mask says nothing of the targets. */
export const checkOf =
  ({ check }: Loss, input: Tensor, prediction: Shape): CheckBatch =>
  (inputs, targets, mask, nameOf) => {
    checkInput(input, inputs, mask, nameOf);
    check?.(prediction, targets, prediction.length > 2 ? mask : undefined, nameOf);
  };
