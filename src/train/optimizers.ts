/**
 * Optimisers, as PyTorch's: update equations in the language, run for each parameter by itself.
 *
 * w parameter, g gradient, γ learning rate, λ weight decay, t number of the update, counted from 1. All products are pointwise.
 * Unless the equations say otherwise, weight decay is the gradient of λ/2·‖w‖²: g ← g + λ·w.
 *
 *   sgd      b ← μ·b + (1−τ)·g                 μ momentum, τ dampening; at t = 1 b is g, undampened (Polyak 1964)
 *            w ← w − γ·b                       with nesterov w ← w − γ·(g + μ·b)   (Sutskever et al. 2013)
 *   adagrad  s ← s + g²                                                            (Duchi, Hazan & Singer 2011)
 *            w ← w − γ/(1 + (t−1)·η)·g/(√s + ε)                η learning-rate decay
 *   rmsprop  v ← α·v + (1−α)·g²                                                    (Tieleman & Hinton 2012)
 *            w ← w − γ·g/(√v + ε)              with momentum b ← μ·b + g/(√v + ε), w ← w − γ·b
 *            centered: ḡ ← α·ḡ + (1−α)·g, and v − ḡ² in the place of v             (Graves 2013)
 *   adam     m ← β₁·m + (1−β₁)·g,  v ← β₂·v + (1−β₂)·g²                            (Kingma & Ba 2015)
 *            w ← w − γ·m/(1−β₁ᵗ) / (√v/√(1−β₂ᵗ) + ε)
 *            amsgrad: u ← max(u, v), and u in the place of v                       (Reddi, Kale & Kumar 2018)
 *   adamw    w ← w − γ·λ·w, then adam without weight decay                         (Loshchilov & Hutter 2019)
 */
import { checkOptions, UserError } from "../errors.js";
import { maximum, sqrt, square } from "../graph/language.js";
import type { Tensor } from "../graph/tensor.js";
import { forEachElement, type Optimizer } from "./optimizer.js";

/** Options of `sgd`; all have defaults. */
export interface SgdOptions {
  /** γ; default 0.001. */
  readonly learningRate?: number;
  /** μ; default 0, plain gradient descent. */
  readonly momentum?: number;
  /** τ; default 0. */
  readonly dampening?: number;
  /** Looks ahead by one step of momentum; wants momentum without dampening. Default false. */
  readonly nesterov?: boolean;
  /** λ; default 0. */
  readonly weightDecay?: number;
}

/**
 * Stochastic gradient descent, with momentum or Nesterov's.
 * @throws UserError for an option out of its range
 */
export function sgd(options: SgdOptions = {}): Optimizer {
  const { learningRate = 1e-3, momentum = 0, dampening = 0, nesterov = false, weightDecay = 0 } = options;
  checkOptions("sgd", options, "learningRate momentum dampening nesterov weightDecay");
  checkAtLeastZero("sgd", { learningRate, momentum, weightDecay });
  checkNumber("sgd", "dampening", dampening);
  if (nesterov && !(momentum > 0 && dampening === 0))
    throw new UserError(
      `sgd: nesterov needs a momentum above 0 and no dampening, not momentum ${momentum} and dampening ${dampening}`,
    );
  return forEachElement({
    name: "sgd",
    learningRate,
    slots: momentum ? { momentum: 0 } : {},
    scalars: (t): Record<string, number> => (momentum && dampening ? { share: t === 1 ? 1 : 1 - dampening } : {}),
    update({ w, g: dw, slots, scalars }) {
      const g = decayed(dw, w, weightDecay);
      if (!momentum) return { w: w.sub(scalars.learningRate!.mul(g)), slots: none };
      const b = slots.momentum!.mul(momentum).add(scalars.share ? scalars.share.mul(g) : g);
      const direction = nesterov ? g.add(b.mul(momentum)) : b;
      return { w: w.sub(scalars.learningRate!.mul(direction)), slots: { momentum: b } };
    },
  });
}

/** Options of `adagrad`; all have defaults. */
export interface AdagradOptions {
  /** γ; default 0.01. */
  readonly learningRate?: number;
  /** η; default 0. */
  readonly learningRateDecay?: number;
  /** λ; default 0. */
  readonly weightDecay?: number;
  /** Where s starts; default 0. */
  readonly initialAccumulator?: number;
  /** ε; default 1e-10. */
  readonly epsilon?: number;
}

/**
 * AdaGrad: each weight's rate falls with the squares of its gradients so far.
 * @throws UserError for an option out of its range
 */
export function adagrad(options: AdagradOptions = {}): Optimizer {
  const { learningRate = 0.01, learningRateDecay = 0, weightDecay = 0, initialAccumulator = 0 } = options;
  const { epsilon = 1e-10 } = options;
  checkOptions("adagrad", options, "learningRate learningRateDecay weightDecay initialAccumulator epsilon");
  checkAtLeastZero("adagrad", { learningRate, learningRateDecay, weightDecay, initialAccumulator, epsilon });
  return forEachElement({
    name: "adagrad",
    learningRate,
    slots: { squares: initialAccumulator },
    scalars: (t): Record<string, number> => (learningRateDecay ? { decay: 1 / (1 + (t - 1) * learningRateDecay) } : {}),
    update({ w, g: dw, slots, scalars }) {
      const g = decayed(dw, w, weightDecay);
      const s = slots.squares!.add(square(g));
      const rate = scalars.decay ? scalars.learningRate!.mul(scalars.decay) : scalars.learningRate!;
      return { w: w.sub(rate.mul(g).div(sqrt(s).add(epsilon))), slots: { squares: s } };
    },
  });
}

/** Options of `rmsprop`; all have defaults. */
export interface RmspropOptions {
  /** γ; default 0.01. */
  readonly learningRate?: number;
  /** α; default 0.99. */
  readonly alpha?: number;
  /** ε; default 1e-8. */
  readonly epsilon?: number;
  /** λ; default 0. */
  readonly weightDecay?: number;
  /** μ; default 0. */
  readonly momentum?: number;
  /** Divides by an estimate of the gradient's deviation instead of its root mean square. Default false. */
  readonly centered?: boolean;
}

/**
 * RMSProp: gradients divided by a running root mean square.
 * @throws UserError for an option out of its range
 */
export function rmsprop(options: RmspropOptions = {}): Optimizer {
  const { learningRate = 0.01, alpha = 0.99, epsilon = 1e-8, weightDecay = 0, momentum = 0 } = options;
  const { centered = false } = options;
  checkOptions("rmsprop", options, "learningRate alpha epsilon weightDecay momentum centered");
  checkAtLeastZero("rmsprop", { learningRate, alpha, epsilon, weightDecay, momentum });
  return forEachElement({
    name: "rmsprop",
    learningRate,
    slots: { squares: 0, ...(centered ? { mean: 0 } : {}), ...(momentum ? { momentum: 0 } : {}) },
    scalars: () => ({}),
    update({ w, g: dw, slots, scalars }) {
      const g = decayed(dw, w, weightDecay);
      const v = slots.squares!.mul(alpha).add(square(g).mul(1 - alpha));
      const mean = centered ? slots.mean!.mul(alpha).add(g.mul(1 - alpha)) : undefined;
      // v − ḡ² is never negative but for rounding.
      const spread = mean ? maximum(v.sub(square(mean)), 0) : v;
      const step = g.div(sqrt(spread).add(epsilon));
      const b = momentum ? slots.momentum!.mul(momentum).add(step) : undefined;
      return {
        w: w.sub(scalars.learningRate!.mul(b ?? step)),
        slots: { squares: v, ...(mean ? { mean } : {}), ...(b ? { momentum: b } : {}) },
      };
    },
  });
}

/** Options of `adam` and `adamw`; all have defaults. */
export interface AdamOptions {
  /** γ; default 0.001. */
  readonly learningRate?: number;
  /** β₁, β₂; default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** ε; default 1e-8. */
  readonly epsilon?: number;
  /** λ; default 0 for adam, 0.01 for adamw. */
  readonly weightDecay?: number;
  /** Divides by the largest v so far. Default false. */
  readonly amsgrad?: boolean;
}

/**
 * Adam: gradients and their squares averaged, both corrected for their start at zero.
 * @throws UserError for an option out of its range
 */
export const adam = (options: AdamOptions = {}): Optimizer =>
  adamFamily("adam", options, { weightDecay: 0, decoupled: false });

/**
 * Adam with weight decay decoupled from the gradient.
 * @throws UserError for an option out of its range
 */
export const adamw = (options: AdamOptions = {}): Optimizer =>
  adamFamily("adamw", options, { weightDecay: 0.01, decoupled: true });

function adamFamily(
  name: string,
  options: AdamOptions,
  defaults: { readonly weightDecay: number; readonly decoupled: boolean },
): Optimizer {
  const { learningRate = 1e-3, betas = [0.9, 0.999], epsilon = 1e-8, amsgrad = false } = options;
  const { weightDecay = defaults.weightDecay } = options;
  checkOptions(name, options, "learningRate betas epsilon weightDecay amsgrad");
  checkAtLeastZero(name, { learningRate, epsilon, weightDecay });
  if (!Array.isArray(betas) || betas.length !== 2 || !betas.every((beta) => beta >= 0 && beta < 1))
    throw new UserError(`${name}: betas must be two numbers of at least 0 and below 1, not ${JSON.stringify(betas)}`);
  const [β1, β2] = betas;
  return forEachElement({
    name,
    learningRate,
    slots: { mean: 0, squares: 0, ...(amsgrad ? { largest: 0 } : {}) },
    scalars: (t) => ({ meanCorrection: 1 / (1 - β1 ** t), rootCorrection: 1 / Math.sqrt(1 - β2 ** t) }),
    update({ w, g: dw, slots, scalars }) {
      const γ = scalars.learningRate!;
      const g = defaults.decoupled ? dw : decayed(dw, w, weightDecay);
      const kept = defaults.decoupled && weightDecay ? w.sub(γ.mul(weightDecay).mul(w)) : w;
      const m = slots.mean!.mul(β1).add(g.mul(1 - β1));
      const v = slots.squares!.mul(β2).add(square(g).mul(1 - β2));
      const u = amsgrad ? maximum(slots.largest!, v) : v;
      const step = γ.mul(scalars.meanCorrection!).mul(m).div(sqrt(u).mul(scalars.rootCorrection!).add(epsilon));
      return { w: kept.sub(step), slots: { mean: m, squares: v, ...(amsgrad ? { largest: u } : {}) } };
    },
  });
}

const none: Readonly<Record<string, Tensor>> = {};

/** g + λ·w. */
const decayed = (g: Tensor, w: Tensor, weightDecay: number): Tensor => (weightDecay ? g.add(w.mul(weightDecay)) : g);

function checkNumber(optimizer: string, name: string, value: number): void {
  if (!Number.isFinite(value)) throw new UserError(`${optimizer}: ${name} must be a finite number, not ${value}`);
}

function checkAtLeastZero(optimizer: string, values: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(values)) {
    checkNumber(optimizer, name, value);
    if (value < 0) throw new UserError(`${optimizer}: ${name} must be at least 0, not ${value}`);
  }
}
