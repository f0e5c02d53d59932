/** The programs of a training run: one training step, validation of a batch, prediction. */
import { UserError } from "../errors.js";
import { current, select, sliceRows, stopGradient } from "../graph/language.js";
import { type Shape, sameShape, showShape, sizeOf } from "../graph/shape.js";
import { gradients } from "../graph/sweep.js";
import type { Tensor } from "../graph/tensor.js";
import { type ElementType, type Variable, variable } from "../graph/variable.js";
import type { Assignment, ProgramOptions } from "../program/lower.js";
import { clipByNorm, clipByValue, globalNorm } from "./clip.js";
import type { BatchSource } from "./data.js";
import type { Loss } from "./loss.js";
import type { Network, Trace } from "./network.js";
import type { Optimizer } from "./optimizer.js";

/** Gradient clipping. `value` first bounds each element to ±value; `norm` then scales all gradients together down to this global norm. */
export interface Clip {
  readonly norm?: number;
  readonly value?: number;
}

/** What the host writes before a step and reads after it. */
export interface Feed {
  readonly input: Variable;
  readonly target: Variable;
  readonly mask: Variable | undefined;
  /** [N, 1]: 1 for rows whose carried state is reset. */
  readonly reset: Variable;
  /** Carried states by name. */
  readonly states: ReadonlyMap<string, Variable>;
}

export interface Shapes {
  readonly inputShape: Shape;
  readonly inputType: ElementType;
  readonly carries: boolean;
  readonly masked: boolean;
}

const seedOf = variable("seed", [1], "index");
const rateOf = variable("learning rate", [1]);

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
    seed: { ...seedOf },
    learningRate: { ...rateOf },
    scalars: new Map(Object.keys(optimizer.scalars(1)).map((name) => [name, variable(name, [1])])),
    loss: variable("loss", [1]),
    gradientNorm: variable("gradient norm", [1]),
    slots: new Map(),
    gathered: new Map(),
  };
}

/** The steps of a window: how far it reaches back, and how far the next one is. */
export interface Window {
  /** Steps from one update to the next (k1). */
  readonly every: number;
  /** Steps that the gradient goes back (k2). */
  readonly through: number;
}

interface Forward {
  readonly feed: Feed;
  readonly prediction: Tensor;
  readonly loss: Tensor;
  readonly carried: readonly Assignment[];
  readonly updates: Trace["updates"];
}

interface ForwardOptions {
  readonly network: Network;
  readonly loss: Loss;
  readonly variables: TrainerVariables;
  readonly shapes: Shapes;
  readonly training: boolean;
  readonly window?: Window | undefined;
  /** Carried states by name; programs that are given the same map share them. */
  readonly states: Map<string, Variable>;
}

const rowsOfBatch = (shape: Shape): number => shape[shape.length - 2]!;

function forward({ network, loss, variables, shapes, training, window, states }: ForwardOptions): Forward {
  const { inputShape, inputType, carries, masked } = shapes;
  const rows = rowsOfBatch(inputShape);
  const input = variable("input", inputShape, inputType);
  const mask = masked ? variable("mask", [inputShape[0]!, rows, 1]) : undefined;
  const reset = variable("reset", [rows, 1]);
  const carriedState = (name: string, start: Tensor): Tensor => {
    if (!carries) return start;
    const state = states.get(name) ?? variable(`state ${name}`, start.shape);
    states.set(name, state);
    return select(current(reset), start, current(state));
  };

  const steps = inputShape[0]!;
  const pieces = carries && window ? cuts(steps, window) : [{ start: 0, size: steps, counts: true, carries: true }];
  let from: ReadonlyMap<string, Tensor> | undefined;
  let target: Variable | undefined;
  let total: Tensor | undefined;
  let prediction: Tensor | undefined;
  let finals: ReadonlyMap<string, Tensor> = new Map();
  let updates: Trace["updates"] = [];
  const cutsGradient = carries && window !== undefined && window.through < window.every;
  const counted = pieces.reduce((sum, piece) => sum + (piece.counts ? piece.size : 0), 0);
  for (const piece of pieces) {
    const before = from;
    const whole = pieces.length === 1;
    const part = (tensor: Tensor): Tensor => (whole ? tensor : sliceRows(tensor, piece.start, piece.size));
    const trace = network.trace(part(current(input)), {
      training,
      seed: current(variables.seed),
      mask: mask && part(current(mask)),
      firstKey: piece.start << 16,
      // Steps before those that the gradient goes back to only carry the state.
      state: before ? (name) => (cutsGradient ? stopGradient(before.get(name)!) : before.get(name)!) : carriedState,
    });
    from = trace.finals;
    if (piece.carries) finals = trace.finals;
    updates = trace.updates;
    prediction = trace.output;
    if (!piece.counts) continue;
    const wanted = loss.target(trace.output.shape);
    const over = whole || wanted.shape.length < 3 ? wanted.shape : [steps, ...wanted.shape.slice(1)];
    target ??= variable("target", over, wanted.type);
    const timed = mask && trace.output.shape.length === 3 ? part(current(mask)) : undefined;
    const mean = loss.apply(
      trace.output,
      whole || wanted.shape.length < 3 ? current(target) : part(current(target)),
      timed,
    );
    const weighted = whole ? mean : mean.mul(piece.size / counted);
    total = total ? total.add(weighted) : weighted;
  }
  const carried = carries ? [...finals].map(([name, tensor]) => ({ variable: states.get(name)!, tensor })) : [];
  return {
    feed: { input, target: target!, mask, reset, states },
    prediction: prediction!,
    loss: total!,
    carried,
    updates,
  };
}

/**
 * A window of k2 steps, cut where the next one starts (after k1 steps: the state there is carried on) and where losses begin to
 * count (the last k1 steps: the earlier ones have been counted by earlier windows). Where k2 < k1 the gradient would not reach
 * back k1 steps: the first k1 − k2 steps then only carry the state.
 */
function cuts(
  steps: number,
  { every, through }: Window,
): { readonly start: number; readonly size: number; readonly counts: boolean; readonly carries: boolean }[] {
  const counted = steps - Math.min(every, through);
  const borders = [...new Set([0, every, counted, steps])]
    .filter((border) => border >= 0 && border <= steps)
    .sort((a, b) => a - b);
  return borders.slice(0, -1).map((start, i) => {
    const end = borders[i + 1]!;
    return { start, size: end - start, counts: start >= counted, carries: end === every };
  });
}

export interface TrainingStep {
  readonly feed: Feed;
  readonly program: ProgramOptions;
}

/**
 * Forward, loss, gradients, clip, update. `gather`: this step's gradients are added to those gathered before, scaled by 1/parts;
 * `update`: the weights change.
 */
export function trainingStep(
  options: ForwardOptions & {
    readonly optimizer: Optimizer;
    readonly clip: Clip;
    readonly parts: number;
    readonly first: boolean;
    readonly last: boolean;
  },
): TrainingStep {
  const { network, variables, optimizer, clip, parts, first, last } = options;
  const { feed, loss, carried, updates } = forward(options);
  const names = [...network.parameters.keys()];
  const weights = [...network.parameters.values()];
  const tensors = [...network.tensors.values()];
  let g = gradients(loss, tensors);
  const commit: Assignment[] = [...carried, ...updates];
  const guards: Tensor[] = [loss];
  let norm: Tensor;
  if (parts > 1) g = g.map((gradient) => gradient.div(parts));
  if (!first) g = g.map((gradient, i) => gradient.add(current(gatheredOf(variables, names[i]!, weights[i]!))));
  if (!last) {
    names.forEach((name, i) => {
      commit.push({ variable: gatheredOf(variables, name, weights[i]!), tensor: g[i]! });
    });
    norm = globalNorm(g);
  } else {
    if (clip.value !== undefined) g = clipByValue(g, clip.value);
    if (clip.norm === undefined) norm = globalNorm(g);
    else ({ gradients: g, norm } = clipByNorm(g, clip.norm));
    const scalars = Object.fromEntries([
      ["learningRate", current(variables.learningRate)],
      ...[...variables.scalars].map(([name, scalar]) => [name, current(scalar)]),
    ]) as Record<string, Tensor>;
    names.forEach((name, i) => {
      const slots = Object.fromEntries(
        Object.keys(optimizer.slots).map((slot) => [
          slot,
          current(slotOf(variables, optimizer, name, slot, weights[i]!)),
        ]),
      );
      const next = optimizer.update({ w: tensors[i]!, g: g[i]!, slots, scalars });
      commit.push({ variable: weights[i]!, tensor: next.w });
      for (const [slot, tensor] of Object.entries(next.slots))
        commit.push({ variable: slotOf(variables, optimizer, name, slot, weights[i]!), tensor });
    });
  }
  guards.push(norm);
  return {
    feed,
    program: {
      name: "training step",
      results: [
        { variable: variables.loss, tensor: loss },
        { variable: variables.gradientNorm, tensor: norm },
      ],
      commit,
      guards,
    },
  };
}

const slotOf = (
  variables: TrainerVariables,
  optimizer: Optimizer,
  name: string,
  slot: string,
  weight: Variable,
): Variable => {
  const key = `${name}.${slot}`;
  const start = optimizer.slots[slot]!;
  const found = variables.slots.get(key) ?? {
    ...variable(key, weight.shape),
    ...(start === 0 ? {} : { initial: new Float64Array(sizeOf(weight.shape)).fill(start) }),
  };
  variables.slots.set(key, found);
  return found;
};

const gatheredOf = (variables: TrainerVariables, name: string, weight: Variable): Variable => {
  const found = variables.gathered.get(name) ?? variable(`gathered ${name}`, weight.shape);
  variables.gathered.set(name, found);
  return found;
};

/** Validation: the loss of a batch, without dropout; the state is carried on. */
export function validationStep(options: Omit<ForwardOptions, "training" | "window">): TrainingStep {
  const { feed, loss, carried } = forward({ ...options, training: false });
  return {
    feed,
    program: { name: "validation", results: [{ variable: options.variables.loss, tensor: loss }], commit: carried },
  };
}

export interface PredictionStep {
  readonly input: Variable;
  readonly mask: Variable | undefined;
  readonly reset: Variable;
  readonly states: ReadonlyMap<string, Variable>;
  readonly output: Variable;
  readonly program: ProgramOptions;
}

/** Prediction: the model's output; the state is carried on where asked for. */
export function predictionStep(network: Network, variables: TrainerVariables, shapes: Shapes): PredictionStep {
  const rows = rowsOfBatch(shapes.inputShape);
  const input = variable("input", shapes.inputShape, shapes.inputType);
  const mask = shapes.masked ? variable("mask", [shapes.inputShape[0]!, rows, 1]) : undefined;
  const reset = variable("reset", [rows, 1]);
  const states = new Map<string, Variable>();
  const trace = network.trace(current(input), {
    training: false,
    seed: current(variables.seed),
    mask: mask && current(mask),
    state: (name, start) => {
      if (!shapes.carries) return start;
      const state = variable(`state ${name}`, start.shape);
      states.set(name, state);
      return select(current(reset), start, current(state));
    },
  });
  const output = variable("output", trace.output.shape);
  const commit = shapes.carries
    ? [...trace.finals].map(([name, tensor]) => ({ variable: states.get(name)!, tensor }))
    : [];
  return {
    input,
    mask,
    reset,
    states,
    output,
    program: { name: "prediction", results: [{ variable: output, tensor: trace.output }], commit },
  };
}

/** Refuses targets that are not what the loss takes. */
export function checkTargets(source: BatchSource, feed: Feed, loss: Loss): void {
  if (source.targetType !== feed.target.type || !sameShape(source.targetShape, feed.target.shape))
    throw new UserError(
      `${loss.name}: the model's predictions want targets ${feed.target.type} ${showShape(feed.target.shape)}, but the data has ${source.targetType} ${showShape(source.targetShape)}`,
    );
}
