/**
 * The trainer: owns weights, optimiser state and carried states on a backend, compiles a step for the shapes of the data, and
 * runs it. State is a value here: passed into each step, taken out, carried to the next window.
 */
import { type BackendName, backendNamed, type Threads } from "../backend/choose.js";
import type { Backend, Memory } from "../backend/contract.js";
import { turn } from "../backend/turn.js";
import { checkAboveZero, checkCount, checkOptions, UserError } from "../errors.js";
import { randomKey } from "../graph/random.js";
import { sameShape, sizeOf } from "../graph/shape.js";
import { initialOf, type Variable } from "../graph/variable.js";
import type { Layer } from "../layers/layer.js";
import { createRng } from "../parameters/rng.js";
import { alone } from "./alone.js";
import { createBatchPrograms } from "./batch-programs.js";
import { readNumber, writeNumber } from "./batches.js";
import type { BatchSource, TrainingData } from "./data.js";
import type { Loss } from "./loss.js";
import { byName, createNetwork, type Network, type Weights } from "./network.js";
import type { Optimizer } from "./optimizer.js";
import type { NamedTensor, Predictor, PredictorOptions } from "./predictor.js";
import type { Window } from "./programs.js";
import { type Checkpoint, checkCheckpoint, type Progress, type Report } from "./progress.js";
import type { Schedule } from "./schedule.js";
import type { CarryOut, Several } from "./several.js";
import { type Clip, createTrainerVariables } from "./update.js";

export type { NamedTensor } from "./predictor.js";
export type { Checkpoint, Progress, Report } from "./progress.js";

const onDemand = {
  diagnose: () => import("./diagnose.js"),
  evaluation: () => import("./evaluation.js"),
  predictor: () => import("./predictor.js"),
  several: () => import("./several.js"),
};

/** How far the gradient goes back in a stream whose state is carried, and what is kept for it. */
export type Bptt = (
  | {
      /** Windows of so many steps, one after the other: an update each, the gradient cut between them. Default 50. */
      readonly window?: number;
    }
  /** An update every k1 steps, its gradient going back k2 steps (Williams & Peng 1990, BPTT(k2; k1)). */
  | { readonly every: number; readonly through: number }
) & {
  /**
   * Recompute instead of keep (gradient checkpointing, Chen et al. 2016): a window, or a whole sequence, of T steps is gone through
   * in segments of this many steps, √T with `true`. Only the states between segments are kept; the backward pass runs each
   * segment's forward pass again. The gradient is that of the whole window, the memory that of √T steps, for up to a third more
   * time. Only recurrent states may lead from step to step: bidirectional layers and batch norm are refused. Dropout draws other
   * masks than without. Default false.
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
  /** For streams; sequences of a fixed length are always taken whole (full BPTT). Default { window: 50 }. */
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
   * the seed. The first `fit` or predictor throws a UserError on a name or shape that the model has not.
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
  /** The model's weights by name; known after the first `fit` or predictor. */
  readonly network: Network;
  /** Where it trains. */
  readonly backend: Backend;
  /** The most threads that share a batch. */
  readonly threads: number;
  /** How far it has come. */
  readonly progress: Progress;
  /**
   * Trains; gives a report for every update, or every `reportEvery` of them. Leaving the loop stops after the current step, and a
   * later call goes on from there: in the middle of the epoch where the data have the same sizes as before (also when they are
   * made anew), else with an epoch of its own and without the validations so far. Other data of the same sizes are taken for the
   * same: for them make a new trainer, with `weights: await trainer.parameters()`.
   * @throws UserError on options out of range, and on data that do not fit the model or the loss
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
   * @throws UserError on a name or shape that the model has not; where it is not known yet, the first `fit` or predictor does, until
   * another `load`
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

/**
 * Readies training of `model`. Nothing is compiled before the shapes of the data are known, at the first `fit`.
 * @throws UserError on options out of range
 */
export async function createTrainer(model: Layer, options: TrainerOptions): Promise<Trainer> {
  const { loss, optimizer, schedule, clip = {}, bptt = {}, batch = 32, accumulate = 1, seed = 1 } = options;
  const { recompute = false } = bptt;
  checkOptions(
    "createTrainer",
    options,
    "loss optimizer schedule clip bptt batch accumulate seed backend threads weights",
  );
  checkOptions("clip", clip, "norm value");
  checkOptions("bptt", bptt, `${"every" in bptt ? "every through" : "window"} recompute`);
  const window: Window = "every" in bptt ? bptt : { every: bptt.window ?? 50, through: bptt.window ?? 50 };
  for (const [name, value] of Object.entries({
    batch,
    accumulate,
    "bptt steps": window.every,
    "bptt steps back": window.through,
    ...(typeof recompute === "number" ? { "bptt.recompute": recompute } : {}),
  }))
    checkCount(name, value);
  for (const [name, value] of Object.entries(clip)) checkAboveZero(`clip.${name}`, value);

  if (typeof options.backend === "object" && options.threads !== undefined)
    throw new UserError("threads are an option of the backend that you made: wasm({ threads })");
  const backend =
    typeof options.backend === "object" ? options.backend : backendNamed(options.backend, { threads: options.threads });
  const network = createNetwork(model, seed, options.weights);
  const session = await backend.createSession();
  const variables = createTrainerVariables(optimizer);
  let pending = new Map<string, NamedTensor>();
  let progress: Progress = { step: 0, epoch: 0, index: 0, seed, metrics: [], bestLoss: null, sinceBest: 0 };
  let best: Record<string, NamedTensor> | undefined;
  /** The sizes of the data that `progress` was made on; undefined where they are not known: at first, and for a checkpoint. */
  let fitted: string | undefined;
  /** Counts changes of parameters and statistics. */
  let revision = 0;

  const programs = createBatchPrograms(session, {
    network,
    variables,
    loss,
    optimizer,
    clip,
    window,
    recompute,
    parts: accumulate,
  });

  const evaluateOn = async (source: BatchSource): Promise<number> => {
    const { meanLoss } = await onDemand.evaluation();
    return meanLoss(source, await programs.validation(source), session);
  };
  const { every, through } = window;
  const forTraining = { batch, window: Math.max(every, through), stride: every };
  const forValidation = { ...forTraining, window: every, all: true };

  /** What the update that makes step `step` is to know. */
  const writeScalars = (step: number) => {
    const learningRate = schedule
      ? schedule.rate(step - 1, optimizer.learningRate, progress.metrics)
      : optimizer.learningRate;
    if (!(learningRate >= 0 && learningRate < Infinity))
      throw new UserError(
        `${(schedule ?? optimizer).name}: the learning rate of step ${step} must be a finite number of at least 0, not ${learningRate}`,
      );
    writeNumber(session, variables.learningRate, learningRate);
    const seedOfStep = randomKey(seed, step) | 0;
    writeNumber(session, variables.seed, seedOfStep);
    for (const [name, value] of Object.entries(optimizer.scalars(step)))
      writeNumber(session, variables.scalars.get(name)!, value);
    return { learningRate, seed: seedOfStep };
  };

  let several: Promise<Several> | undefined;

  async function* train(data: TrainingData, fitOptions: FitOptions): AsyncGenerator<Report, void, void> {
    const {
      steps = Infinity,
      epochs = Infinity,
      validateEvery,
      patience = Infinity,
      restoreBest = patience < Infinity,
      reportEvery = 1,
    } = fitOptions;
    checkOptions("fit", fitOptions, "steps epochs validateEvery patience restoreBest reportEvery");
    for (const [name, value] of Object.entries({ steps, epochs, patience }))
      if (value !== Infinity) checkCount(name, value, 0);
    for (const [name, value] of Object.entries({ reportEvery, validateEvery }))
      if (value !== undefined) checkCount(name, value);
    if (steps === Infinity && epochs === Infinity)
      throw new UserError("fit wants to know when to stop: give `steps` or `epochs`");
    const source = data.train(forTraining);
    const validation = data.validation?.(forValidation);
    if (source.length < accumulate)
      throw new UserError(`an update takes ${accumulate} batches, but the data gives only ${source.length}`);
    const sizes = JSON.stringify([source.inputShape, source.targetShape, source.length, validation?.length]);
    const another = fitted !== undefined && fitted !== sizes;
    fitted = sizes;
    if (another) {
      // What is best on one data set is nothing to another.
      progress = { ...progress, metrics: [], bestLoss: null };
      best = undefined;
    }
    if (another || progress.index + accumulate > source.length) progress = { ...progress, index: 0 };
    // Who goes on after patience ran out waits anew.
    if (another || progress.sinceBest >= patience) progress = { ...progress, sinceBest: 0 };
    const startEpoch = (): void => source.start?.(createRng(`${seed}: epoch ${progress.epoch}`));
    startEpoch();
    const elements = sizeOf(source.inputShape.slice(0, -1)) * accumulate;

    let learningRate = 0;
    /** Carries out micro-batch `part` of the next update; gives its loss. */
    const carryOut: CarryOut = async (part, ahead) => {
      const scalars = writeScalars(progress.step + 1);
      ({ learningRate } = scalars);
      const program = await programs.training(source, part, ahead);
      restorePending();
      revision++;
      const outcome = await (ahead ?? program).run(source, progress.index + part, scalars.seed, program);
      // Who asked meanwhile has perhaps seen the old weights.
      revision++;
      if ("loss" in outcome) return outcome.loss;
      throw await (await onDemand.diagnose()).nonFinite(session, outcome, progress.step + 1, learningRate);
    };
    const move = (updates: number): void => {
      progress = { ...progress, step: progress.step + updates, index: progress.index + updates * accumulate };
    };

    while (progress.step < steps && progress.epoch < epochs) {
      const began = performance.now();
      let [updates, total] = [1, 0];
      if (reportEvery === 1) {
        for (let part = 0; part < accumulate; part++) total += await carryOut(part);
        move(1);
      } else {
        several ??= onDemand.several().then(({ createSeveral }) => createSeveral(session, recompute === false));
        const run = { ...fitOptions, reportEvery, accumulate, batches: source.length, progress, carryOut, move };
        ({ updates, total } = await (await several)(run));
      }
      const gradientNorm = await readNumber(session, variables.gradientNorm);
      const seconds = (performance.now() - began) / 1000;

      const { step } = progress;
      const ended = progress.index + accumulate > source.length;
      if (ended) {
        progress = { ...progress, index: 0, epoch: progress.epoch + 1 };
        startEpoch();
      }
      const finished = step >= steps || progress.epoch >= epochs;
      const regular = validateEvery ? step % validateEvery === 0 : ended;
      const report = {
        step,
        epoch: progress.epoch,
        loss: total / (updates * accumulate),
        gradientNorm,
        learningRate,
        elementsPerSecond: (elements * updates) / seconds,
      };
      if (!validation || !(regular || finished)) {
        await turn();
        yield report;
        continue;
      }
      const validationLoss = await evaluateOn(validation);
      const better = validationLoss < (progress.bestLoss ?? Infinity);
      if (better && restoreBest)
        best = { ...(await readAll(network.parameters)), ...(await readAll(network.statistics)) };
      else if (better && regular) best = undefined;
      // A validation only because the run ends leaves no trace: going on later is as if it had never stopped.
      if (regular)
        progress = {
          ...progress,
          metrics: [...progress.metrics, validationLoss],
          bestLoss: better ? validationLoss : progress.bestLoss,
          sinceBest: better ? 0 : progress.sinceBest + 1,
        };
      yield { ...report, validationLoss };
      if (progress.sinceBest >= Math.max(1, patience)) break;
    }
    if (restoreBest && best) load(best);
  }

  const restorePending = (): void => {
    for (const [name, variable] of programs.states) {
      const tensor = pending.get(name);
      if (!tensor) continue;
      if (sameShape(tensor.shape, variable.shape)) session.write(variable, tensor.data);
      pending.delete(name);
    }
  };

  /** `over`: what is yet to take its place. */
  const readAll = async (
    all: ReadonlyMap<string, Variable>,
    over: Iterable<readonly [string, NamedTensor]> = [],
  ): Promise<Record<string, NamedTensor>> => {
    const later = [...over];
    const now = await Promise.all(
      [...all].map(
        async ([name, variable]) => [name, { shape: variable.shape, data: await session.read(variable) }] as const,
      ),
    );
    return Object.fromEntries([...now, ...later]);
  };

  /**
   * Writes into the variables that there are already. `otherwise` takes the others; with it, variables that are not named get what
   * they began with, since the checkpoint was made before they were.
   */
  const writeAll = (
    tensors: Readonly<Record<string, NamedTensor>>,
    known: ReadonlyMap<string, Variable>,
    otherwise?: (name: string, tensor: NamedTensor) => void,
  ): void => {
    for (const [name, variable] of known) {
      const data =
        tensors[name]?.data ?? (otherwise && (initialOf(variable) ?? new Float64Array(sizeOf(variable.shape))));
      if (data) session.write(variable, data);
    }
    for (const [name, tensor] of Object.entries(tensors)) if (!known.has(name)) otherwise?.(name, tensor);
  };

  const load = (weights: Weights): void => {
    network.give(weights);
    revision++;
    const tensors = byName(weights) as Record<string, NamedTensor>;
    writeAll(tensors, network.parameters);
    writeAll(tensors, network.statistics);
  };

  const parameters = () => readAll(network.parameters, network.given.parameter);
  const statistics = () => readAll(network.statistics, network.given.statistic);

  return {
    network,
    backend,
    threads: session.threads ?? 1,
    get progress() {
      return progress;
    },
    fit: (data, options) => alone(network, "fit", train(data, options)),
    evaluate: (data) => evaluateOn(data.validation?.(forValidation) ?? data.train(forValidation)),
    async predictor(predictorOptions) {
      const { createPredictorOn } = await onDemand.predictor();
      return createPredictorOn(session, network, variables, predictorOptions, () => revision);
    },
    parameters,
    statistics,
    load,
    async checkpoint() {
      return {
        parameters: await parameters(),
        optimizer: await readAll(variables.slots),
        statistics: await statistics(),
        states: await readAll(programs.states, pending),
        ...(best ? { best } : {}),
        progress,
      };
    },
    restore(checkpoint) {
      checkCheckpoint(checkpoint, seed, optimizer);
      // Of a model that was not known yet it may be empty.
      network.restore(checkpoint.parameters, checkpoint.statistics, checkpoint.progress.step > 0);
      revision++;
      writeAll(checkpoint.parameters, network.parameters, () => {});
      writeAll(checkpoint.statistics, network.statistics, () => {});
      writeAll(checkpoint.optimizer, variables.slots, (name, { shape, data }) =>
        variables.slots.set(name, { name, shape, type: "float", initial: data }),
      );
      writeAll({}, programs.states, () => {});
      pending = new Map(Object.entries(checkpoint.states));
      restorePending();
      best = checkpoint.best;
      fitted = undefined;
      // JSON knows no number that is not finite.
      progress = { ...checkpoint.progress, metrics: checkpoint.progress.metrics.map((loss) => loss ?? Number.NaN) };
    },
    memory: () => session.memory(),
    dispose: () => session.dispose(),
  };
}
