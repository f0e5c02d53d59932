/**
 * The trainer: owns weights, optimiser state and carried states on a backend, compiles a step for the shapes of the data, and
 * runs it. State is a value here: passed into each step, taken out, carried to the next window.
 */
import { backendNamed } from "../backend/choose.js";
import { turn } from "../backend/turn.js";
import { checkAboveZero, checkCount, checkOptions } from "../errors.js";
import { randomKey } from "../graph/random.js";
import { sameShape, sizeOf } from "../graph/shape.js";
import { initialOf, type Variable } from "../graph/variable.js";
import type { Layer } from "../layers/layer.js";
import { createRng } from "../parameters/rng.js";
import { alone } from "./alone.js";
import { createBatchPrograms } from "./batch-programs.js";
import { readNumber, writeNumber } from "./batches.js";
import type { FitOptions, Trainer, TrainerOptions } from "./contract.js";
import type { BatchSource, TrainingData } from "./data.js";
import { byName, createNetwork } from "./network.js";
import type { NamedTensor } from "./predictor.js";
import type { Window } from "./programs.js";
import { checkCheckpoint, type Progress, type Report } from "./progress.js";
import type { CarryOut, Several } from "./several.js";
import { createTrainerVariables } from "./update.js";
import { why } from "./why.js";

export type { Bptt, FitOptions, Trainer, TrainerOptions } from "./contract.js";
export type { NamedTensor } from "./predictor.js";
export type { Checkpoint, Progress, Report } from "./progress.js";

const onDemand = {
  evaluation: () => import("./evaluation.js"),
  predictor: () => import("./predictor.js"),
  several: () => import("./several.js"),
};

/**
 * Readies training of `model`. Nothing is compiled before the shapes of the data are known, at the first `fit`.
 * @throws UserError on options that there are not, or out of range
 */
export async function createTrainer(model: Layer, options: TrainerOptions): Promise<Trainer> {
  checkOptions(
    "createTrainer",
    options,
    "loss optimizer schedule clip bptt batch accumulate seed backend threads weights",
  );
  const { loss, optimizer, schedule, clip = {}, bptt = {}, batch = 32, accumulate = 1, seed = 1 } = options;
  const { backend: given, threads, weights } = options;
  const { recompute = false } = bptt;
  if (!model?.kind || !loss?.target || !optimizer?.update || (schedule && !schedule.rate))
    throw (await why()).notMade(model, options);
  checkOptions("clip", clip, "norm value");
  const { every: k1, window: size = k1 } = bptt as Partial<Window & { readonly window: number }>;
  checkOptions("bptt", bptt, `${k1 === undefined ? "window" : "every through"} recompute`);
  const window = k1 === undefined ? { every: size ?? 50, through: size ?? 50 } : (bptt as Window);
  for (const [name, value] of Object.entries({
    batch,
    accumulate,
    "bptt steps": window.every,
    "bptt steps back": window.through,
    ...(typeof recompute === "number" ? { "bptt.recompute": recompute } : {}),
  }))
    checkCount(name, value);
  for (const [name, value] of Object.entries(clip)) checkAboveZero(`clip.${name}`, value);

  const own = typeof given === "object";
  if (own && threads !== undefined) throw (await why()).threadsOfBackend();
  const backend = own ? given : backendNamed(given, { threads });
  const network = createNetwork(model, seed, weights);
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
    const { meanLoss, validationStep } = await onDemand.evaluation();
    return meanLoss(source, await programs.validation(source, validationStep), session);
  };
  const { every, through } = window;
  const forTraining = { batch, window: Math.max(every, through), stride: every };
  const forValidation = { ...forTraining, window: every, all: true };

  let several: Promise<Several> | undefined;

  async function* train(data: TrainingData, fitOptions: FitOptions): AsyncGenerator<Report, void, void> {
    checkOptions("fit", fitOptions, "steps epochs validateEvery patience restoreBest reportEvery");
    if (!data?.train?.call) throw (await why()).noData(data, "fit");
    const {
      steps = Infinity,
      epochs = Infinity,
      validateEvery,
      patience = Infinity,
      restoreBest = patience < Infinity,
      reportEvery = 1,
    } = fitOptions;
    // None of the first three is allowed, every 0 steps is nothing.
    const from0 = { steps, epochs, patience };
    for (const [name, value = Infinity] of Object.entries({ ...from0, reportEvery, validateEvery }))
      if (value !== Infinity) checkCount(name, value, name in from0 ? 0 : 1);
    if (steps === Infinity && epochs === Infinity) throw (await why()).endless();
    const source = data.train(forTraining);
    const validation = data.validation?.(forValidation);
    if (source.length < accumulate) throw (await why()).tooFew(accumulate, source.length);
    if (size && !source.carries) (await why()).checkWhole(source, window);
    const sizes = JSON.stringify([source.inputShape, source.targetShape, source.length, validation?.length]);
    const another = fitted !== undefined && fitted !== sizes;
    fitted = sizes;
    if (another) {
      // What is best on one data set is nothing to another.
      progress = { ...progress, index: 0, metrics: [], bestLoss: null, sinceBest: 0 };
      best = undefined;
    }
    if (progress.index + accumulate > source.length) progress = { ...progress, index: 0 };
    // Who goes on after patience ran out waits anew.
    if (progress.sinceBest >= patience) progress = { ...progress, sinceBest: 0 };
    const startEpoch = (): void => source.start?.(createRng(`${seed}: epoch ${progress.epoch}`));
    startEpoch();
    const elements = sizeOf(source.inputShape.slice(0, -1)) * accumulate;

    let learningRate = 0;
    /** Carries out micro-batch `part` of the next update; gives its loss. */
    const carryOut: CarryOut = async (part, ahead) => {
      const step = progress.step + 1;
      learningRate = optimizer.learningRate;
      if (schedule) learningRate = schedule.rate(progress.step, learningRate, progress.metrics);
      if (!(learningRate >= 0 && learningRate < Infinity))
        throw (await why()).noRate((schedule ?? optimizer).name, step, learningRate);
      const seedOfStep = randomKey(seed, step) | 0;
      writeNumber(session, variables.learningRate, learningRate);
      writeNumber(session, variables.seed, seedOfStep);
      for (const [name, value] of Object.entries(optimizer.scalars(step)))
        writeNumber(session, variables.scalars.get(name)!, value);
      const program = await programs.training(source, part, ahead);
      restorePending();
      revision++;
      const outcome = await (ahead ?? program).run(source, progress.index + part, seedOfStep, program);
      // Who asked meanwhile has perhaps seen the old weights.
      revision++;
      if ("loss" in outcome) return outcome.loss;
      throw await (await why()).nonFinite(session, outcome, step, learningRate);
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
      const after = (await onDemand.evaluation()).validated(progress, validationLoss);
      const better = after.sinceBest === 0;
      if (better && restoreBest) best = await readAll([...network.parameters, ...network.statistics]);
      else if (better && regular) best = undefined;
      // A validation only because the run ends leaves no trace: going on later is as if it had never stopped.
      if (regular) progress = after;
      yield { ...report, validationLoss };
      if (progress.sinceBest >= Math.max(1, patience)) break;
    }
    if (restoreBest && best) putBack(best);
  }

  const restorePending = (): void => {
    for (const [name, variable] of programs.states) {
      const tensor = pending.get(name);
      if (tensor && sameShape(tensor.shape, variable.shape)) session.write(variable, tensor.data);
      pending.delete(name);
    }
  };

  /** `over`: what is yet to take its place. */
  const readAll = async (
    all: Iterable<readonly [string, Variable]>,
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

  const putBack = (tensors: Readonly<Record<string, NamedTensor>>): void => {
    revision++;
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
    evaluate: async (data) => evaluateOn((await onDemand.evaluation()).toEvaluate(data, forValidation)),
    async predictor(predictorOptions) {
      const { createPredictorOn } = await onDemand.predictor();
      return createPredictorOn(session, network, variables, predictorOptions, () => revision);
    },
    parameters,
    statistics,
    load(weights) {
      network.give(weights);
      putBack(byName(weights) as Record<string, NamedTensor>);
    },
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
