/** The program of a training step (of a validation: `evaluation.ts`). */
import { current, select, sliceRows, stopGradient, sumAll } from "../graph/language.js";
import { kept } from "../graph/maps.js";
import type { Shape } from "../graph/shape.js";
import { gradients } from "../graph/sweep.js";
import type { Tensor } from "../graph/tensor.js";
import { batchVariable, type ElementType, type Variable } from "../graph/variable.js";
import type { Assignment, ProgramOptions } from "../program/lower.js";
import { type CheckBatch, checkOf, type Loss, lossOf, orOne } from "./loss.js";
import type { Network, Trace } from "./network.js";
import { type TrainerVariables, type UpdateOptions, updateWith } from "./update.js";

/** What the host writes before a step and reads after it. */
export interface Feed {
  readonly input: Variable;
  readonly target: Variable;
  readonly mask: Variable | undefined;
  /** [N, 1]: 1 for rows whose carried state is reset. */
  readonly reset: Variable;
  /** Carried states by name. */
  readonly states: ReadonlyMap<string, Variable>;
  readonly check: CheckBatch;
}

export interface Shapes {
  readonly inputShape: Shape;
  readonly inputType: ElementType;
  readonly carries: boolean;
  readonly masked: boolean;
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
  readonly loss: Tensor;
  /** What the loss is the mean over, where that depends on the targets or the mask. */
  readonly weight: Tensor | undefined;
  readonly carried: readonly Assignment[];
  readonly updates: Trace["updates"];
}

export interface ForwardOptions {
  readonly network: Network;
  readonly loss: Loss;
  readonly variables: TrainerVariables;
  readonly shapes: Shapes;
  readonly training: boolean;
  /** Of a stream. */
  readonly window?: Window | undefined;
  /** Carried states by name; programs that are given the same map share them. */
  readonly states: Map<string, Variable>;
}

export const rowsOfBatch = (shape: Shape): number => shape[shape.length - 2]!;

/** How a trace's states start: as they were carried, but afresh in rows that are reset. */
export const carriedIn =
  (states: Map<string, Variable>, reset: Variable, carries: boolean) =>
  (name: string, start: Tensor): Tensor => {
    if (!carries) return start;
    const state = kept(states, name, () => batchVariable(`state ${name}`, start.shape));
    return select(current(reset), start, current(state));
  };

export const carriedOn = (states: ReadonlyMap<string, Variable>, finals: ReadonlyMap<string, Tensor>): Assignment[] =>
  [...finals].map(([name, tensor]) => ({ variable: states.get(name)!, tensor }));

export function forward({ network, loss, variables, shapes, training, window, states }: ForwardOptions): Forward {
  const { inputShape, inputType, carries, masked } = shapes;
  const rows = rowsOfBatch(inputShape);
  const input = batchVariable("input", inputShape, inputType);
  const mask = masked ? batchVariable("mask", [inputShape[0]!, rows, 1]) : undefined;
  const reset = batchVariable("reset", [rows, 1]);
  const carriedState = carriedIn(states, reset, carries);

  const steps = inputShape[0]!;
  const pieces = window ? cuts(steps, window) : [{ start: 0, size: steps, counts: true, carries: true }];
  let from: ReadonlyMap<string, Tensor> | undefined;
  let target: Variable | undefined;
  let prediction: Shape = [];
  let x!: Tensor;
  const means: PartOfMean[] = [];
  let finals: ReadonlyMap<string, Tensor> = new Map();
  let updates: Trace["updates"] = [];
  for (const piece of pieces) {
    const before = from;
    const whole = pieces.length === 1;
    const part = (tensor: Tensor): Tensor => (whole ? tensor : sliceRows(tensor, piece.start, piece.size));
    x = part(current(input));
    const trace = network.trace(x, {
      training,
      seed: current(variables.seed),
      mask: mask && part(current(mask)),
      firstKey: piece.start << 16,
      // Steps before those that the gradient goes back to only carry the state.
      state: before
        ? (name) => (window!.through < window!.every ? stopGradient(before.get(name)!) : before.get(name)!)
        : carriedState,
    });
    from = trace.finals;
    if (piece.carries) finals = trace.finals;
    updates = trace.updates;
    if (!piece.counts) continue;
    const wanted = loss.target(trace.output.shape);
    const timed = wanted.shape.length === 3;
    // One prediction for the window is made at its end.
    if (!timed && piece !== pieces.at(-1)) continue;
    target ??= batchVariable("target", whole || !timed ? wanted.shape : [steps, ...wanted.shape.slice(1)], wanted.type);
    prediction = trace.output.shape;
    const y = timed ? part(current(target)) : current(target);
    const valid = mask && prediction.length > 2 ? part(current(mask)) : undefined;
    means.push({
      mean: lossOf(loss, trace.output, y, valid),
      weight: loss.weight?.(trace.output, y, valid) ?? (timed && valid ? sumAll(valid) : undefined),
      size: piece.size,
    });
  }
  return {
    feed: { input, target: target!, mask, reset, states, check: checkOf(loss, x, prediction) },
    loss: meanOf(means),
    weight: means[0]!.weight,
    carried: carries ? carriedOn(states, finals) : [],
    updates,
  };
}

interface PartOfMean {
  readonly mean: Tensor;
  /** What it is the mean over, where that depends on the targets or the mask. */
  readonly weight: Tensor | undefined;
  /** Steps. */
  readonly size: number;
}

const sum = (parts: readonly Tensor[]): Tensor => parts.reduce((all, part) => all.add(part));

/** The mean over all parts. */
function meanOf(parts: readonly PartOfMean[]): Tensor {
  if (parts.length === 1) return parts[0]!.mean;
  const weights = parts.flatMap(({ weight }) => weight ?? []);
  if (weights.length > 0) return sum(parts.map(({ mean }, i) => mean.mul(weights[i]!))).div(orOne(sum(weights)));
  const steps = parts.reduce((all, { size }) => all + size, 0);
  return sum(parts.map(({ mean, size }) => mean.mul(size / steps)));
}

/**
 * A window of k2 steps, cut where the next one starts (after k1 steps: the state there is carried on) and where losses begin to
 * count (the last k1 steps: the earlier ones have been counted by earlier windows). Where k2 < k1 the gradient would not reach
 * back k1 steps: the first k1 − k2 steps then only carry the state.
 */
export function cuts(
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
  /** Of a validation: what the loss is the mean over, where batches differ in that. */
  readonly weight?: Variable | undefined;
}

/** Forward, loss, gradients, clip, update. */
export function trainingStep(options: ForwardOptions & UpdateOptions): TrainingStep {
  const { network, variables } = options;
  const { feed, loss, carried, updates } = forward(options);
  const { norm, commit, forEach } = updateWith(gradients(loss, [...network.tensors.values()]), options);
  return {
    feed,
    program: {
      name: "training step",
      results: [
        { variable: variables.loss, tensor: loss },
        { variable: variables.gradientNorm, tensor: norm },
      ],
      commit: [...carried, ...updates, ...commit],
      forEach,
      guards: [loss, norm],
      loss,
    },
  };
}
