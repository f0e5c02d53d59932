/**
 * The programs of a window gone through in segments of S steps; none depends on the window's length T.
 *
 *   forward    from the states at the segment's start to those at its end; keeps nothing else
 *   backward   the same again, keeping what its gradients need, then
 *              dw ← dw + ∂(loss of the segment)/∂w + Σ ∂state_end/∂w · dstate_end
 *              dstate_start = ∂(loss of the segment)/∂state_start + Σ ∂state_end/∂state_start · dstate_end
 *   update     clip and optimiser, from the gathered dw
 *
 * Together the gradients are those of full BPTT over the window.
 */

import { UserError } from "../errors.js";
import { constant, current, select, sumAll, type Tensor } from "../graph/language.js";
import { type Shape, showShape } from "../graph/shape.js";
import { sweep } from "../graph/sweep.js";
import { batchVariable, type Variable, variable } from "../graph/variable.js";
import type { Assignment, ProgramOptions } from "../program/lower.js";
import { checkCausal } from "./causal.js";
import { type CheckBatch, checkOf, type Loss, lossOf } from "./loss.js";
import type { Network } from "./network.js";
import type { Shapes } from "./programs.js";
import { keptFor, type TrainerVariables, type UpdateOptions, updateWith } from "./update.js";

/** What the programs of one window share. N rows of the batch. */
export interface SegmentVariables {
  /** [N, 1]: 1 for rows whose state is reset before the segment. */
  readonly reset: Variable;
  /** The segment's own, for dropout. */
  readonly seed: Variable;
  /** The segment's part of the window's loss, and what it counts in the mean; [1]. */
  readonly loss: Variable;
  readonly weight: Variable;
  /** What all segments count in the mean, [1]. */
  readonly totalWeight: Variable;
  /** At the segment's start, and after it ran at its end: by name, [N, ·]. */
  readonly states: Map<string, Variable>;
  /** d loss / d state at the segment's end, and after it ran at its start. */
  readonly dStates: Map<string, Variable>;
  /** Gradients gathered over the segments, by parameter. */
  readonly gradients: Map<string, Variable>;
}

export function createSegmentVariables(rows: number): SegmentVariables {
  return {
    reset: batchVariable("reset", [rows, 1]),
    seed: variable("segment seed", [1], "index"),
    loss: variable("segment loss", [1]),
    weight: variable("segment weight", [1]),
    totalWeight: variable("weight", [1]),
    states: new Map(),
    dStates: new Map(),
    gradients: new Map(),
  };
}

export interface SegmentOptions {
  readonly network: Network;
  readonly loss: Loss;
  readonly variables: TrainerVariables;
  readonly segment: SegmentVariables;
  /** Of the whole window. */
  readonly shapes: Shapes;
  readonly training: boolean;
  /** S, steps of this segment. */
  readonly size: number;
  /** Steps of the window whose losses count. */
  readonly counted: number;
}

export interface SegmentProgram {
  readonly program: ProgramOptions;
  readonly input: Variable;
  readonly mask: Variable | undefined;
  /** Where the segment's loss counts. */
  readonly target: Variable | undefined;
  /** Of the whole window. */
  readonly targetShape: Shape;
  /** Whether there is one prediction for the window, from its end, and not one for each step. */
  readonly atEnd: boolean;
  readonly check: CheckBatch;
  /** Whether what the segment counts in the mean is known only when it has run. */
  readonly weighted: boolean;
}

interface Traced {
  /** What the model was traced on. */
  readonly x: Tensor;
  readonly input: Variable;
  readonly mask: Variable | undefined;
  readonly prediction: Tensor;
  readonly finals: ReadonlyMap<string, Tensor>;
  /** The variables behind the states at the start. */
  readonly starts: ReadonlyMap<string, Tensor>;
  readonly atEnd: boolean;
}

function traced({ network, loss, variables, segment, shapes, training, size }: SegmentOptions): Traced {
  const rows = shapes.inputShape[1]!;
  const input = batchVariable("input", [size, ...shapes.inputShape.slice(1)], shapes.inputType);
  const mask = shapes.masked ? batchVariable("mask", [size, rows, 1]) : undefined;
  const [x, m] = [current(input), mask && current(mask)];
  const [starts, selected] = [new Map<string, Tensor>(), new Map<string, Tensor>()];
  const { output, finals, updates } = network.trace(x, {
    training,
    seed: current(variables.seed),
    partSeed: current(segment.seed),
    mask: m,
    state(name, start) {
      const kept = current(keptFor(segment.states, "state", name, start.shape, batchVariable));
      const state = select(current(segment.reset), start, kept);
      starts.set(name, kept);
      selected.set(name, state);
      return state;
    },
  });
  const kind = checkCausal({ output, sequences: m ? [x, m] : [x], starts: selected, finals });
  if (kind !== "end" && loss.target(output.shape).shape.length !== 3)
    throw new UserError(
      `bptt.recompute: ${loss.name} wants one target for all steps of predictions ${showShape(output.shape)}, and segments see only their own`,
    );
  if (updates.length > 0)
    throw new UserError(
      `bptt.recompute: the model keeps statistics of whole windows (${updates[0]!.variable.name}), which segments do not see`,
    );
  return { x, input, mask, prediction: output, finals, starts, atEnd: kind === "end" };
}

const program = (traced: Traced, options: SegmentOptions, what: ProgramOptions, part?: Part): SegmentProgram => {
  const { shape } = options.loss.target(traced.prediction.shape);
  const steps = options.shapes.inputShape[0]!;
  return {
    program: what,
    input: traced.input,
    mask: traced.mask,
    target: part?.target,
    targetShape: traced.atEnd ? shape : [(shape[0]! / options.size) * steps, ...shape.slice(1)],
    atEnd: traced.atEnd,
    check: checkOf(options.loss, traced.x, traced.prediction.shape),
    weighted: part?.weight !== undefined,
  };
};

const carried = ({ segment }: SegmentOptions, { finals }: Traced): Assignment[] =>
  [...finals].map(([name, tensor]) => ({ variable: segment.states.get(name)!, tensor }));

/** Not finite where any element is not. */
const alarm = (tensors: readonly Tensor[]): Tensor[] =>
  tensors.length > 0 ? [tensors.map((tensor) => sumAll(tensor.mul(0))).reduce((sum, next) => sum.add(next))] : [];

/** From the states at the segment's start to those at its end. */
export function forwardSegment(options: SegmentOptions): SegmentProgram {
  const trace = traced(options);
  return program(trace, options, {
    name: "forward segment",
    results: [],
    commit: carried(options, trace),
    guards: alarm([...trace.finals.values()]),
  });
}

interface Part {
  readonly target: Variable;
  /** The segment's part of the window's loss, times `weight` of the window where there is one. */
  readonly loss: Tensor;
  readonly weight: Tensor | undefined;
}

/** The segment's part of the mean over the window. */
function lossPart({ loss, shapes, size, counted }: SegmentOptions, { prediction, mask, atEnd }: Traced): Part {
  const wanted = loss.target(prediction.shape);
  const target = batchVariable("target", wanted.shape, wanted.type);
  const y = current(target);
  const m = mask && !atEnd && prediction.shape.length === 3 ? current(mask) : undefined;
  const mean = lossOf(loss, prediction, y, m);
  const [own, all] = atEnd ? [1, 1] : [size, counted];
  const weight = (loss.weight?.(prediction, y, m) ?? (m && sumAll(m)))?.div(all * shapes.inputShape[1]!);
  return { target, loss: mean.mul(weight ?? own / all), weight };
}

const results = ({ segment }: SegmentOptions, { loss, weight }: Part): Assignment[] => [
  { variable: segment.loss, tensor: loss },
  ...(weight ? [{ variable: segment.weight, tensor: weight }] : []),
];

export interface BackwardOptions extends SegmentOptions {
  /** Whether the losses of the segment count. */
  readonly counts: boolean;
  /** Whether it is the window's last segment, the first to go back through: no gradient comes from behind it. */
  readonly last: boolean;
}

/** The segment forward once more, and back. */
export function backwardSegment(options: BackwardOptions): SegmentProgram {
  const { network, segment, counts, last } = options;
  const trace = traced(options);
  const part = counts && (last || !trace.atEnd) ? lossPart(options, trace) : undefined;
  const dStateOf = (name: string): Variable =>
    keptFor(segment.dStates, "dstate", name, segment.states.get(name)!.shape, batchVariable);
  const names = [...network.parameters.keys()];
  const weights = [...network.tensors.values()];
  const starts = [...trace.starts];
  const behind = last ? [] : [...trace.finals].map(([name, final]) => [final, current(dStateOf(name))] as const);
  const wrt = [...weights, ...starts.map(([, tensor]) => tensor)];
  const gradients = sweep({ seeds: [...(part ? [[part.loss, constant(1)] as const] : []), ...behind], wrt }).map(
    (gradient, i) => gradient ?? constant(0, wrt[i]!.shape),
  );
  const gathered = names.map((name, i): Assignment => {
    const kept = keptFor(segment.gradients, "d", name, weights[i]!.shape);
    return { variable: kept, tensor: last ? gradients[i]! : gradients[i]!.add(current(kept)) };
  });
  const dStates = gradients.slice(weights.length);
  return program(
    trace,
    options,
    {
      name: "backward segment",
      results: part ? results(options, part) : [],
      commit: [
        ...gathered,
        ...starts.map(([name], i) => ({ variable: dStateOf(name), tensor: dStates[i]! })),
        ...(last ? carried(options, trace) : []),
      ],
      guards: [...(part ? [part.loss] : []), ...alarm(dStates)],
    },
    part,
  );
}

/** The segment's part of the loss, without dropout; the states go on. */
export function validationSegment(options: BackwardOptions): SegmentProgram {
  const trace = traced(options);
  const part = options.last || !trace.atEnd ? lossPart(options, trace) : undefined;
  return program(
    trace,
    options,
    { name: "validation segment", results: part ? results(options, part) : [], commit: carried(options, trace) },
    part,
  );
}

/** The weights change, by the gradients gathered over the segments of one window and of earlier micro-batches. */
export function segmentsUpdate(options: UpdateOptions, segment: SegmentVariables, weighted: boolean): ProgramOptions {
  const gathered = [...options.network.parameters.keys()].map((name) => current(segment.gradients.get(name)!));
  const { norm, ...update } = updateWith(
    weighted ? gathered.map((gradient) => gradient.div(current(segment.totalWeight))) : gathered,
    options,
  );
  return {
    name: "update after segments",
    results: [{ variable: options.variables.gradientNorm, tensor: norm }],
    ...update,
    guards: [norm],
  };
}
