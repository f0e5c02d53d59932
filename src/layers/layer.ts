/**
 * A layer is a function from a tensor to a tensor that asks its context for what outlives a step: parameters by name, carried
 * state, running statistics. The same layer is traced for training, validation and sampling; names bring the same weights.
 */
import type { Shape } from "../graph/shape.js";
import type { Tensor } from "../graph/tensor.js";
import type { Initializer } from "../parameters/parameter.js";

/** A part of a model: `sequential`, `dense`, or one of your own. */
export interface Layer {
  /** "dense", "recurrent": for messages. */
  readonly kind: string;
  /** The output for `input`, [N, D] or [T, N, D]. Called anew for each trace; throws a UserError on an input it cannot take. */
  readonly apply: (input: Tensor, context: Context) => Tensor;
}

/** What outlives a step, for a layer to ask for. Names are those within the layer: the context puts its place in the model before them. */
export interface Context {
  /** Whether dropout drops and batch norm uses the batch's own statistics. */
  readonly training: boolean;
  /** [T, N, 1], 1 where a sequence has a step and 0 past its end; undefined where all are full. */
  readonly mask: Tensor | undefined;
  /** A trainable tensor. The first request makes it; later ones, of this or another trace, get the same. */
  parameter(name: string, shape: Shape, initializer: Initializer): Tensor;
  /** A recurrent state to start from [N, ·]: what the trainer carries or was given, else `start` (a vector), else zeros. */
  state(name: string, shape: Shape, start?: Tensor): Tensor;
  /** Hands on the state after the last step. */
  carry(name: string, final: Tensor): void;
  /** A tensor that training updates by `update` without gradient (running statistics), and its present value. */
  statistic(
    name: string,
    shape: Shape,
    initializer: Initializer,
  ): { readonly value: Tensor; update(next: Tensor): void };
  /**
   * The step's seed, for dropout masks. "sequence": for a mask that all time steps share; without it each part of a window that is
   * gone through in parts draws its own.
   */
  seed(of?: "sequence"): Tensor;
  /** A number that no other place in the model has. */
  key(): number;
  /** For gradient flow: zeros [T, N, H] added to a hidden state at every step; the gradient of the loss with respect to them is ∂loss/∂h_t. */
  probe?(name: string, shape: Shape): Tensor | undefined;
  /** The same context with `name.` before all names. */
  within(name: string): Context;
}
