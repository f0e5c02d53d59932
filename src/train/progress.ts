/** What a trainer reports, and what it needs to go on. */
import type { NamedTensor } from "./predictor.js";

/** What one update did, or several. */
export interface Report {
  /** Updates made so far. */
  readonly step: number;
  readonly epoch: number;
  /** Before the update; the mean where there were several. */
  readonly loss: number;
  /** Global norm of the (last) update's gradient, before it was clipped by norm. */
  readonly gradientNorm: number;
  readonly learningRate: number;
  /** Where this step validated. */
  readonly validationLoss?: number;
  /** Time steps × rows a second, over this update. */
  readonly elementsPerSecond: number;
}

/** Everything that training needs to go on bit for bit. */
export interface Checkpoint {
  readonly parameters: Readonly<Record<string, NamedTensor>>;
  readonly optimizer: Readonly<Record<string, NamedTensor>>;
  readonly statistics: Readonly<Record<string, NamedTensor>>;
  readonly states: Readonly<Record<string, NamedTensor>>;
  readonly best?: Readonly<Record<string, NamedTensor>>;
  /** JSON, but for validation losses that are not finite; of those that are null in it `restore` makes NaN again. */
  readonly progress: Progress;
}

export interface Progress {
  readonly step: number;
  readonly epoch: number;
  /** Batches of this epoch already used. */
  readonly index: number;
  readonly seed: number;
  /** Validation losses so far. */
  readonly metrics: readonly number[];
  readonly bestLoss: number | null;
  readonly sinceBest: number;
}
