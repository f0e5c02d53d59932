import type { Shape } from "../graph/shape.js";
import type { Tensor } from "../graph/tensor.js";
import type { ElementType } from "../graph/variable.js";

/** A loss: from predictions and targets to one number. */
export interface Loss {
  /** "crossEntropy": for messages and run folders. */
  readonly name: string;
  /** The shape and type of targets for predictions of this shape; a UserError where the loss cannot be taken of it. */
  readonly target: (prediction: Shape) => { readonly shape: Shape; readonly type: ElementType };
  /** The loss [1]: the mean over all elements (rows for classes), as PyTorch's reduction="mean"; with a mask [.., 1] over the rows where it is 1. */
  readonly apply: (prediction: Tensor, target: Tensor, mask?: Tensor) => Tensor;
  /**
   * What the mean is taken over, [1], where that depends on the targets: Σ of the weights of the rows that count. It puts the mean of
   * a window together from the means of its parts. Default: the number of rows, or of those where the mask is 1.
   */
  readonly weight?: (prediction: Tensor, target: Tensor, mask?: Tensor) => Tensor | undefined;
}
