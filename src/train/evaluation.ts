/** Validation: its program, and the loss over a whole source. */
import type { Session } from "../backend/contract.js";
import { turn } from "../backend/turn.js";
import { variable } from "../graph/variable.js";
import type { BatchProgram, Outcome } from "./batches.js";
import type { BatchOptions, BatchSource, TrainingData } from "./data.js";
import { type ForwardOptions, forward, type TrainingStep } from "./programs.js";
import type { Progress } from "./progress.js";
import { noData } from "./refusals.js";

/** The loss of a batch, without dropout; the state is carried on. */
export function validationStep(options: Omit<ForwardOptions, "training" | "window">): TrainingStep {
  // A batch is not cut: its weight is that of its only part.
  const { feed, loss, weight, carried } = forward({ ...options, training: false });
  const counted = weight && { variable: variable("weight", [1]), tensor: weight };
  const results = [{ variable: options.variables.loss, tensor: loss }, ...(counted ? [counted] : [])];
  return { feed, program: { name: "validation", results, commit: carried }, weight: counted?.variable };
}

/**
 * What there is to validate on: where nothing is set aside for it, what there is to train on.
 * @throws UserError where it is no data
 */
export function toEvaluate(data: TrainingData, options: BatchOptions): BatchSource {
  if (!data?.train?.call) throw noData(data, "evaluate");
  return data.validation?.(options) ?? data.train(options);
}

/** How far a run has come once this validation counts; `sinceBest` is 0 where no loss before it was as low. */
export function validated(progress: Progress, loss: number): Progress {
  const better = loss < (progress.bestLoss ?? Infinity);
  return {
    ...progress,
    metrics: [...progress.metrics, loss],
    bestLoss: better ? loss : progress.bestLoss,
    sinceBest: better ? 0 : progress.sinceBest + 1,
  };
}

/** Batches of a validation: each holds memory of the device's queue. */
const MOST_UNDER_WAY = 16;

/** The mean of `program` over all of `source`: batches count by what their losses are means over. NaN where a number is not finite. */
export async function meanLoss(source: BatchSource, program: BatchProgram, session: Session): Promise<number> {
  // Where a batch is one run, and reading its loss takes time, the next ones do not wait for it.
  const most = program.begin && !session.readNow ? MOST_UNDER_WAY : 1;
  const underWay: Promise<Outcome>[] = [];
  let [sum, weights] = [0, 0];
  for (let index = 0; index < source.length + most - 1; index++) {
    if (index < source.length) {
      const outcome = program.run(source, index, 0);
      outcome.catch(() => undefined);
      underWay.push(outcome);
    }
    if (index < most - 1) continue;
    const outcome = await underWay.shift()!;
    const [loss, weight = 1] = "loss" in outcome ? [outcome.loss, outcome.weight] : [Number.NaN];
    const share = (source.share?.(index - most + 1) ?? 1) * weight;
    sum += loss * share;
    weights += share;
    await turn();
  }
  return sum / (weights || source.length);
}
