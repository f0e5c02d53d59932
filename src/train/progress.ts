/** What a trainer reports, and what it needs to go on. */
import { described, UserError } from "../errors.js";
import { checkTensor } from "../graph/shape.js";
import type { Optimizer } from "./optimizer.js";
import type { NamedTensor } from "./predictor.js";

/** What one update did, or several. */
export interface Report {
  /** Updates made so far. */
  readonly step: number;
  /** Times the data has been gone through so far. */
  readonly epoch: number;
  /** Before the update; the mean where there were several. */
  readonly loss: number;
  /** Global norm of the (last) update's gradient, before it was clipped by norm. */
  readonly gradientNorm: number;
  /** Of the (last) update, after the schedule. */
  readonly learningRate: number;
  /** Where this step validated. */
  readonly validationLoss?: number;
  /** Time steps × rows a second, over this update. */
  readonly elementsPerSecond: number;
}

/** Everything that training needs to go on bit for bit. */
export interface Checkpoint {
  /** Weights by name. */
  readonly parameters: Readonly<Record<string, NamedTensor>>;
  /** The optimiser's slots, by parameter and slot: "head.weight.mean". */
  readonly optimizer: Readonly<Record<string, NamedTensor>>;
  /** Running statistics (batch norm) by name. */
  readonly statistics: Readonly<Record<string, NamedTensor>>;
  /** States carried from window to window, by name, [N, ·]. */
  readonly states: Readonly<Record<string, NamedTensor>>;
  /** The weights of the best validation so far, where they are kept. */
  readonly best?: Readonly<Record<string, NamedTensor>>;
  /** JSON, but for validation losses that are not finite; of those that are null in it `restore` makes NaN again. */
  readonly progress: Progress;
}

/** How far training has come. */
export interface Progress {
  /** Updates made so far. */
  readonly step: number;
  /** Times the data has been gone through. */
  readonly epoch: number;
  /** Batches of this epoch already used. */
  readonly index: number;
  /** The trainer's; a checkpoint goes on under the same one only. */
  readonly seed: number;
  /** Validation losses so far. */
  readonly metrics: readonly number[];
  /** The least of `metrics`; null before the first. */
  readonly bestLoss: number | null;
  /** Validations since then. */
  readonly sinceBest: number;
}

/** @throws UserError where a checkpoint is none, or of another seed or optimiser, or a tensor in it is not what it should be */
export function checkCheckpoint(checkpoint: Checkpoint, seed: number, { name, slots }: Optimizer): void {
  if (!checkpoint?.progress) throw new UserError(`restore: wants a checkpoint, not ${described(checkpoint)}`);
  const { parameters, optimizer, states, best = {}, progress } = checkpoint;
  if (progress.seed !== seed) throw new UserError(`the checkpoint was made with seed ${progress.seed}, not ${seed}`);
  const fits = (key: string, tensor: NamedTensor, like = tensor): void =>
    checkTensor(`"${key}" of the checkpoint`, like.shape, tensor);
  const kept = new Set<string>();
  for (const [key, parameter] of Object.entries(parameters))
    for (const slot of Object.keys(slots).map((slot) => `${key}.${slot}`)) {
      kept.add(slot);
      if (Object.hasOwn(optimizer, slot)) fits(slot, optimizer[slot]!, parameter);
      // Before the first step there may be none.
      else if (progress.step > 0) throw new UserError(`the checkpoint lacks "${slot}", which ${name} keeps`);
    }
  for (const key of Object.keys(optimizer))
    if (!kept.has(key)) throw new UserError(`the checkpoint holds "${key}", which ${name} does not keep`);
  for (const [key, tensor] of Object.entries({ ...best, ...states })) fits(key, tensor);
}
