/** What a trainer is given, and what it does. */
import type { BackendName, Threads } from "../backend/choose.js";
import type { Backend, Memory } from "../backend/contract.js";
import type { TrainingData } from "./data.js";
import type { Loss } from "./loss.js";
import type { Network, Weights } from "./network.js";
import type { Optimizer } from "./optimizer.js";
import type { NamedTensor, Predictor, PredictorOptions } from "./predictor.js";
import type { Checkpoint, Progress, Report } from "./progress.js";
import type { Schedule } from "./schedule.js";
import type { Clip } from "./update.js";

/** How far the gradient goes back in a stream whose state is carried, and what is kept for it. */
export type Bptt = (
  | {
      /** Windows of so many steps, one after the other: an update each, the gradient cut between them. Default 50. */
      readonly window?: number;
    }
  /**
   * An update every k1 steps, its gradient going back k2 steps (Williams & Peng 1990, BPTT(k2; k1)). The loss is that of the last k1
   * steps of k2, so that each step counts once; the first k2 − k1 steps of a stream count in none.
   */
  | { readonly every: number; readonly through: number }
) & {
  /**
   * Recompute instead of keep (gradient checkpointing, Chen et al. 2016): a window, or a whole sequence, of T steps is gone through
   * in segments of this many steps, √T with `true`. Only the states between segments are kept; the backward pass runs each
   * segment's forward pass again. The gradient is that of the whole window, the memory that of √T steps, for up to a third more
   * time. Only recurrent states may lead from step to step: bidirectional layers and batch norm are refused. Dropout draws other
   * masks than without. A loss of your own must be a mean over the steps, with `weight` where they do not count alike: one that
   * looks at several steps together is another loss in segments. Default false.
   */
  readonly recompute?: boolean | number;
};

/** How to train; only `loss` and `optimizer` have no default. */
export interface TrainerOptions {
  /** `crossEntropy()`, `mse()`, …: it says which targets the data must have. */
  readonly loss: Loss;
  /** `adam()`, `sgd()`, …; its learning rate is the one that `schedule` changes. */
  readonly optimizer: Optimizer;
  /** The learning rate over updates: `schedules.cosine(…)`, … Default: constant. */
  readonly schedule?: Schedule;
  /** Bounds for the gradient, { norm: 5 }. Default: none. */
  readonly clip?: Clip;
  /**
   * For streams. Sequences of T steps that data gives by themselves (`arrayBatches`) are taken whole, by full BPTT: `fit` refuses a
   * window of fewer steps for them. Default { window: 50 }, which cuts streams alone.
   */
  readonly bptt?: Bptt;
  /** N: sequences side by side. Default 32. */
  readonly batch?: number;
  /** Batches whose gradients are averaged for one update. Default 1. */
  readonly accumulate?: number;
  /** Of initial weights, data order and dropout. Default 1. */
  readonly seed?: number;
  /** A backend, or its name. Default "auto": WebAssembly where it has SIMD. */
  readonly backend?: Backend | BackendName;
  /**
   * Threads that share each batch by its rows, for a backend given by name. Default "auto": as many as there are processors,
   * at most 8. One number of threads gives the same run again; another differs in the last bits.
   */
  readonly threads?: Threads;
  /**
   * Weights to start from, by name, in an object or a Map, and running statistics (batch norm) likewise; those not named start from
   * the seed. NaN and Infinity are refused at once; the first `fit` or predictor throws a UserError on a name or shape that
   * the model has not.
   */
  readonly weights?: Weights;
}

/** When to stop, validate and report; `steps` or `epochs` must be there. */
export interface FitOptions {
  /** Stop when this many updates have been made in all; where they have been already, there is nothing to do. */
  readonly steps?: number;
  /** Stop when the data has been gone through this many times in all. */
  readonly epochs?: number;
  /** Updates between validations. Default: once an epoch. The last step validates too. */
  readonly validateEvery?: number;
  /** Stop early after this many validations without a better loss. Default: never. */
  readonly patience?: number;
  /** Put the weights of the best validation back at the end. Default: true with `patience`. */
  readonly restoreBest?: boolean;
  /**
   * Updates between reports, each then with the mean loss since the one before; reports come too at the end of an epoch and where
   * validation is due. On a graphics processor, and in a page, nothing is waited for in between, so that a greater number is
   * faster. Default 1.
   */
  readonly reportEvery?: number;
}

/** A model in training on a backend. One `fit` goes on at a time. */
export interface Trainer {
  /**
   * The model, and its variables by name; known after the first `fit` or predictor. In a program of one's own its variables begin with
   * what they were initialised to: the weights as they now are come from `parameters()`.
   */
  readonly network: Network;
  /** Where it trains. */
  readonly backend: Backend;
  /** The most threads that share a batch. */
  readonly threads: number;
  /** How far it has come. */
  readonly progress: Progress;
  /**
   * Trains; gives a report for every update, or every `reportEvery` of them. Leaving the loop (by hand: `return()`) stops after the
   * current step, and a later call goes on from there: in the middle of the epoch where the data have the same sizes as before (also when they are
   * made anew), else with an epoch of its own and without the validations so far. Other data of the same sizes are taken for the
   * same: for them make a new trainer, with `weights: await trainer.parameters()`.
   * @throws UserError on options out of range, on data that do not fit the model, the loss or `bptt`, and while another `fit` has not
   * come to its end
   */
  fit(data: TrainingData, options: FitOptions): AsyncGenerator<Report, void, void>;
  /**
   * Mean loss over the data's validation part (or its training part where it has none), without dropout: over all that counts in it
   * by the loss, however it falls into batches.
   */
  evaluate(data: TrainingData): Promise<number>;
  /**
   * Runs the model forward, always with the weights as they then are. Its `dispose` gives its memory to the next of the same options.
   * @throws UserError where the model cannot take the shape
   */
  predictor(options: PredictorOptions): Promise<Predictor>;
  /** The weights by name; before the first `fit` or predictor those that were given. */
  parameters(): Promise<Record<string, NamedTensor>>;
  /** The running statistics (batch norm) by name, "norm.running_mean"; once they are known to be such. */
  statistics(): Promise<Record<string, NamedTensor>>;
  /**
   * Replaces weights, and statistics, by name.
   * @throws UserError on NaN and Infinity, and on a name or shape that the model has not; where it is not known yet, the
   * first `fit` or predictor does, until another `load`
   */
  load(weights: Weights): void;
  /** All that a trainer of the same model and options needs to go on bit for bit: weights, optimiser, carried states, progress. */
  checkpoint(): Promise<Checkpoint>;
  /**
   * Goes back, or on, to where a checkpoint was taken.
   * @throws UserError where it is of another seed, model or optimiser; where the model is not known yet, the first `fit` or predictor
   * does, until another `restore`
   */
  restore(checkpoint: Checkpoint): void;
  /** What the trainer and its predictors hold, in bytes. */
  memory(): Memory;
  /** Frees everything, threads included; what is called afterwards, on its predictors too, throws. */
  dispose(): void;
}
