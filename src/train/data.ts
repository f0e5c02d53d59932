/** What a trainer trains on. T time, N batch, D features. */
import type { HostArray } from "../backend/contract.js";
import type { Shape } from "../graph/shape.js";
import type { ElementType } from "../graph/variable.js";
import type { Rng } from "../parameters/rng.js";

/** Batches of one shape, taken in order. Filling allocates nothing. */
export interface BatchSource {
  /** [T, N, D] (index: [T, N, 1]), or [N, D] for a network without time. */
  readonly inputShape: Shape;
  /** "index" for whole numbers: characters, classes. */
  readonly inputType: ElementType;
  /** [T, N, O], or [N, O] for one target a sequence; O is 1 for classes. */
  readonly targetShape: Shape;
  /** "index" for classes. */
  readonly targetType: ElementType;
  /** Batches in an epoch. */
  readonly length: number;
  /** Whether a batch goes on where the one before it ended, so that the recurrent state is carried from one to the next. */
  readonly carries: boolean;
  /** Whether sequences have lengths of their own: then `fill` is given a mask [T, N, 1] to set to 1 at each valid step, 0 past the end. */
  readonly masked: boolean;
  /**
   * What batch `index` counts in a validation, where not each of its sequences is there once: what fills a batch up can be taken
   * out again by a batch of less than 0. Default 1.
   */
  share?(index: number): number;
  /** What row `row` of batch `index` is to who made the data, for errors: "training example 7". Default "row … of the batch". */
  nameOf?(index: number, row: number): string;
  /** Readies an epoch: a source that shuffles does so with `rng`. */
  start?(rng: Rng): void;
  /**
   * Writes batch number `index` (0 … length−1). Says which rows start a new sequence, so that their carried state is reset: all
   * (true), none (false), or those with a flag of 1.
   */
  fill(index: number, inputs: HostArray, targets: HostArray, mask: HostArray | undefined): boolean | ArrayLike<number>;
}

/** What the trainer asks of its data. */
export interface BatchOptions {
  /** N, sequences side by side. */
  readonly batch: number;
  /** Steps in a batch (streams only). */
  readonly window: number;
  /** Steps from the start of one window to the next (streams only). */
  readonly stride: number;
  /** Whether each sequence is to count once, for a validation; else those that fill no batch may be left out. Default false. */
  readonly all?: boolean;
}

/** A data set: it makes the batches that the trainer asks for. */
export interface TrainingData {
  /** For messages. */
  readonly name?: string;
  /** The part to train on. @throws UserError where it does not fill one batch */
  train(options: BatchOptions): BatchSource;
  /** Held out of training; undefined where there is none. */
  validation?(options: BatchOptions): BatchSource | undefined;
}
