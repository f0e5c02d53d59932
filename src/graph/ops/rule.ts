import type { PointwiseName } from "../pointwise.js";
import type { Shape } from "../shape.js";
import type { Attributes, OpName, Tensor } from "../tensor.js";

/** What a derivative may look at. Values are fetched when asked for, so that only these are kept for the backward pass. */
export interface Context {
  /** The gradient of the loss with respect to the output. */
  readonly dy: Tensor;
  /** The i-th input. */
  x(i: number): Tensor;
  /** The output. */
  y(): Tensor;
  /** Of the forward tensor: shapes and attributes are known without its value. */
  readonly node: Tensor;
}

/** The gradient of the loss with respect to input i. Undefined: the op does not depend smoothly on it. */
export type Derivative = ((context: Context, i: number) => Tensor) | undefined;

/** One line of the table of ops. */
export interface OpRule {
  readonly shape: (inputs: readonly Tensor[], attributes: Attributes) => Shape;
  /** One for each input, or one for all of them. */
  readonly derivative: readonly Derivative[] | Derivative;
  /** Whether the output has the type of the first input; otherwise it is a float. */
  readonly keepsType?: boolean;
  /**
   * Row r of the output depends on row r of the inputs that have as many rows, and on those that do not change with
   * time as a whole: such an op can leave a time loop and run once over all T·N rows.
   */
  readonly rowwise: boolean;
  /** Costs little beside a matrix product and fuses with its neighbours. */
  readonly cheap: boolean;
}

/** By each operand. */
export type PointwiseTable = { readonly [Name in PointwiseName]: readonly Derivative[] };
export type OpTable = { readonly [Name in OpName]: OpRule };
