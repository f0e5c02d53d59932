/** From gradients to new weights: gathering over micro-batches, clipping, the optimiser. */

import { UserError } from "../errors.js";
import { current } from "../graph/language.js";
import { kept } from "../graph/maps.js";
import { type Shape, sizeOf } from "../graph/shape.js";
import type { Tensor } from "../graph/tensor.js";
import { type Variable, variable } from "../graph/variable.js";
import type { Assignment } from "../program/lower.js";
import { clipByNorm, clipByValue, globalNorm } from "./clip.js";
import type { Network } from "./network.js";
import type { Optimizer } from "./optimizer.js";

/** Gradient clipping. `value` first bounds each element to ±value; `norm` then scales all gradients together down to this global norm. */
export interface Clip {
  /** The largest global norm. Default: any. */
  readonly norm?: number;
  /** The largest |element|. Default: any. */
  readonly value?: number;
}

/** Variables of the trainer itself: the step's seed and scalars, its results, the optimiser's slots. */
export interface TrainerVariables {
  readonly seed: Variable;
  readonly learningRate: Variable;
  readonly scalars: ReadonlyMap<string, Variable>;
  readonly loss: Variable;
  readonly gradientNorm: Variable;
  /** By parameter and slot: "weight_ih_l0.m". */
  readonly slots: Map<string, Variable>;
  /** Gradients gathered so far, by parameter. */
  readonly gathered: Map<string, Variable>;
}

export function createTrainerVariables(optimizer: Optimizer): TrainerVariables {
  return {
    seed: variable("seed", [1], "index"),
    learningRate: variable("learning rate", [1]),
    scalars: new Map(Object.keys(optimizer.scalars(1)).map((name) => [name, variable(name, [1])])),
    loss: variable("loss", [1]),
    gradientNorm: variable("gradient norm", [1]),
    slots: new Map(),
    gathered: new Map(),
  };
}

export interface UpdateOptions {
  readonly network: Network;
  readonly variables: TrainerVariables;
  readonly optimizer: Optimizer;
  readonly clip: Clip;
  /** Micro-batches whose gradients are averaged. */
  readonly parts: number;
  /** Whether this is the first, whether the last of them. */
  readonly first: boolean;
  readonly last: boolean;
}

export interface Update {
  /** The global norm [1] of the gradients, before they are clipped by it. */
  readonly norm: Tensor;
  readonly commit: readonly Assignment[];
}

/**
 * What follows from the gradients `g` of a micro-batch, one for each parameter: those before the last are gathered, scaled by
 * 1/parts; with the last the weights change.
 */
export function updateWith(g: readonly Tensor[], options: UpdateOptions): Update {
  const { network, variables, optimizer, clip, parts, first, last } = options;
  const names = [...network.parameters.keys()];
  const weights = [...network.parameters.values()];
  const tensors = [...network.tensors.values()];
  if (parts > 1) g = g.map((gradient) => gradient.div(parts));
  if (!first)
    g = g.map((gradient, i) =>
      gradient.add(current(keptFor(variables.gathered, "gathered", names[i]!, weights[i]!.shape))),
    );
  if (!last) {
    const commit = names.map((name, i) => ({
      variable: keptFor(variables.gathered, "gathered", name, weights[i]!.shape),
      tensor: g[i]!,
    }));
    return { norm: globalNorm(g), commit };
  }
  if (clip.value !== undefined) g = clipByValue(g, clip.value);
  const clipped = clip.norm === undefined ? { gradients: g, norm: globalNorm(g) } : clipByNorm(g, clip.norm);
  const scalars = Object.fromEntries([
    ["learningRate", current(variables.learningRate)],
    ...[...variables.scalars].map(([name, scalar]) => [name, current(scalar)]),
  ]) as Record<string, Tensor>;
  const commit = names.flatMap((name, i) => {
    const slots = Object.keys(optimizer.slots).map((slot): [string, Variable] => [
      slot,
      slotOf(variables, optimizer, name, slot, weights[i]!),
    ]);
    const values = Object.fromEntries(slots.map(([slot, kept]) => [slot, current(kept)]));
    const next = optimizer.update({ name, w: tensors[i]!, g: clipped.gradients[i]!, slots: values, scalars });
    const given = slots.map(([slot, kept]) => [kept, next.slots[slot]] as const);
    return [[weights[i]!, next.w] as const, ...given].map(([variable, tensor]) => {
      if (!tensor) throw new UserError(`${optimizer.name}: update gives no ${variable.name}`);
      return { variable, tensor };
    });
  });
  return { norm: clipped.norm, commit };
}

/** The variable of `known` for a parameter, made when first asked for. */
export function keptFor(
  known: Map<string, Variable>,
  what: string,
  name: string,
  shape: Shape,
  make: typeof variable = variable,
): Variable {
  return kept(known, name, () => make(`${what} ${name}`, shape));
}

function slotOf(
  variables: TrainerVariables,
  optimizer: Optimizer,
  name: string,
  slot: string,
  weight: Variable,
): Variable {
  const key = `${name}.${slot}`;
  const start = optimizer.slots[slot]!;
  return kept(variables.slots, key, () => ({
    ...variable(key, weight.shape),
    ...(start === 0 ? {} : { initial: new Float64Array(sizeOf(weight.shape)).fill(start) }),
  }));
}
