/** What an optimiser is: update equations in the language, for one parameter. Every backend runs the same equations. */
import type { Tensor } from "../graph/tensor.js";

/** An optimiser: `adam()`, `sgd()`, or one of your own. A new one keeps nothing of its own: `slots` are the trainer's. */
export interface Optimizer {
  /** "adam": for messages and run folders. */
  readonly name: string;
  /** γ, before any schedule. */
  readonly learningRate: number;
  /** Running values kept for each parameter, in its shape (Adam: m, v), and where they start. */
  readonly slots: Readonly<Record<string, number>>;
  /**
   * Numbers that change from update to update beside the learning rate (Adam's bias corrections), for the `update`-th update,
   * counted from 1. The names must not depend on it.
   */
  readonly scalars: (update: number) => Readonly<Record<string, number>>;
  /**
   * One update: from parameter w, gradient g, slots and scalars ([1] each, `learningRate` among them) to the new w and slots.
   * `name` is the parameter's ("rnn.weight_hh_l0"), for those that are to be treated otherwise, such as a tenth of the rate:
   *
   *     const all = adam();
   *     const optimizer = { ...all, update: ({ scalars: { learningRate, ...rest }, ...state }) =>
   *       all.update({ ...state, scalars: { ...rest, learningRate: learningRate.mul(state.name === "head.weight" ? 0.1 : 1) } }) };
   */
  readonly update: (state: {
    readonly name: string;
    readonly w: Tensor;
    readonly g: Tensor;
    readonly slots: Readonly<Record<string, Tensor>>;
    readonly scalars: Readonly<Record<string, Tensor>>;
  }) => { readonly w: Tensor; readonly slots: Readonly<Record<string, Tensor>> };
}

const elementwise = new WeakSet<Optimizer["update"]>();

/** Says that the update treats all elements of all parameters alike: it is then traced once, for one element. */
export function forEachElement(optimizer: Optimizer): Optimizer {
  elementwise.add(optimizer.update);
  return optimizer;
}

export const isElementwise = ({ update }: Optimizer): boolean => elementwise.has(update);
