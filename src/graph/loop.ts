/** The data of a time loop in the graph; `unroll.ts` makes and differentiates it. */
import type { Tensor } from "./tensor.js";

/** A loop's result: the value of a body tensor at every t, [T, …], or a state after the last step. */
export type LoopOutput =
  | { readonly kind: "sequence"; readonly index: number }
  | { readonly kind: "final"; readonly index: number };

/**
 * The body of a time loop. The loop tensor's inputs are its sequences (one for each step input), the initial states, and
 * the captured tensors, which do not change with time, in this order.
 */
export interface LoopBody {
  readonly name: string;
  readonly steps: number;
  /** t counts down from steps−1 to 0. */
  readonly reverse: boolean;
  /** Placeholders: the t-th part of each sequence. */
  readonly stepInputs: readonly Tensor[];
  /** Placeholders: the state before the step. */
  readonly states: readonly Tensor[];
  /** The state after the step, as many as `states`. */
  readonly next: readonly Tensor[];
  /** Body tensors whose values at every t are used outside; grows while the graph is built (what the derivative reads). */
  readonly sequences: Tensor[];
  readonly captured: readonly Tensor[];
  /** The gradients of the loop tensor's inputs, given those of its outputs; undefined where not needed. */
  derivative(gradients: LoopGradients): (Tensor | undefined)[];
}

export interface LoopGradients {
  /** By index into `sequences`. */
  readonly sequences: ReadonlyMap<number, Tensor>;
  /** By index into `states`. */
  readonly finals: ReadonlyMap<number, Tensor>;
  /** Whether the gradient of the loop tensor's k-th input is wanted. */
  needed(input: number): boolean;
}
