/** From gradients to new weights: gathering over micro-batches, clipping, the optimiser. */

import { UserError } from "../errors.js";
import { current } from "../graph/language.js";
import { kept } from "../graph/maps.js";
import { type Shape, sizeOf } from "../graph/shape.js";
import { Tensor } from "../graph/tensor.js";
import { type Variable, variable } from "../graph/variable.js";
import type { Assignment, ForEach } from "../program/lower.js";
import { clipByValue, clipCoefficient, globalNorm } from "./clip.js";
import type { Network } from "./network.js";
import { isElementwise, type Optimizer } from "./optimizer.js";

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
  readonly forEach?: ForEach;
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
  const gathered = (i: number): Variable => keptFor(variables.gathered, "gathered", names[i]!, weights[i]!.shape);
  if (!first) g = g.map((gradient, i) => gradient.add(current(gathered(i))));
  if (!last) return { norm: globalNorm(g), commit: g.map((tensor, i) => ({ variable: gathered(i), tensor })) };
  if (clip.value !== undefined) g = clipByValue(g, clip.value);
  const norm = globalNorm(g);
  const coefficient = clip.norm === undefined ? undefined : clipCoefficient(norm, clip.norm);
  const slotNames = Object.keys(optimizer.slots);
  const scalars = new Map([["learningRate", variables.learningRate], ...variables.scalars]);
  const members = names.map((name, i) => {
    const slots = slotNames.map((slot) => slotOf(variables, optimizer, name, slot, weights[i]!));
    const others = [...slots, ...scalars.values()].map(current);
    return {
      inputs: [tensors[i]!, g[i]!, ...others, ...(coefficient ? [coefficient] : [])],
      variables: [weights[i]!, ...slots],
    };
  });
  const updated = (name: string, { inputs: [w, g, ...others], variables }: (typeof members)[number]): Tensor[] => {
    const next = () => others.shift()!;
    const slots = Object.fromEntries(slotNames.map((slot) => [slot, next()]));
    const values = Object.fromEntries([...scalars.keys()].map((scalar) => [scalar, next()]));
    const clipped = coefficient ? g!.mul(next()) : g!;
    const after = optimizer.update({ name, w: w!, g: clipped, slots, scalars: values });
    return [after.w, ...slotNames.map((slot) => after.slots[slot])].map((tensor, i) => {
      if (!tensor) throw new UserError(`${optimizer.name}: update gives no ${variables[i]!.name}`);
      return tensor;
    });
  };
  const [one] = members;
  if (one && isElementwise(optimizer)) {
    const inputs = one.inputs.map(() => new Tensor("stepInput", [], [1]));
    return { norm, commit: [], forEach: { inputs, outputs: updated("", { ...one, inputs }), members } };
  }
  const commit = members.flatMap((member, i) =>
    updated(names[i]!, member).map((tensor, k) => ({ variable: member.variables[k]!, tensor })),
  );
  return { norm, commit };
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
