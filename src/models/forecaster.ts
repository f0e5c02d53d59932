/**
 * Forecasting one series: exponential smoothing for level, season and growth, and recurrent networks that learn what it leaves.
 *
 * The hybrid is Smyl's (2020, the M4 competition's winner). Every decision (logarithms, season, calendar cycles, smoothing rates, how
 * far the network is trusted) is taken from the values given here, so that in a backtest each fold takes its own.
 */
import type { BackendName, Threads } from "../backend/choose.js";
import type { Backend } from "../backend/contract.js";
import { checkFinite, checkWhole, count, show } from "../data/check.js";
import { checkName, checkOptions, UserError } from "../errors.js";
import { current, zeros } from "../graph/language.js";
import { sameShape, showShape } from "../graph/shape.js";
import { variable } from "../graph/variable.js";
import { createNetwork } from "../train/network.js";
import { adam, adamw } from "../train/optimizers.js";
import { cosine } from "../train/schedules.js";
import { createTrainer, type NamedTensor, type Trainer } from "../train/trainer.js";
import { blended, chooseStretch, chooseTrust, plainSpread } from "./forecaster-blend.js";
import { forecasterConfig } from "./forecaster-config.js";
import {
  type Forecaster,
  type ForecasterData,
  type ForecasterOptions,
  type ForecasterReport,
  optionNames,
} from "./forecaster-contract.js";
import { type Encoder, measureUnits } from "./forecaster-encoder.js";
import {
  createWindowPredictor,
  forecastNetwork,
  knownQuantile,
  type NetworkOptions,
  type WindowPredictor,
  windowData,
} from "./forecaster-network.js";
import { areEnough, division, tooFew, usualLookback } from "./forecaster-rows.js";
import { createSeriesState, decide, type ForecasterConfig, type SeriesState } from "./forecaster-state.js";

export type {
  Forecast,
  Forecaster,
  ForecasterData,
  ForecasterOptions,
  ForecasterReport,
  ForecastOptions,
} from "./forecaster-contract.js";

interface Run {
  readonly network: NetworkOptions;
  readonly steps: number | undefined;
  readonly epochs: number | undefined;
  readonly batch: number;
  readonly learningRate: number;
  readonly weightDecay: number;
  readonly clipNorm: number;
  readonly seed: number;
  readonly backend: Backend | BackendName | undefined;
  readonly threads: Threads | undefined;
  readonly reportEvery: number;
  readonly onReport: ((report: ForecasterReport) => void) | undefined;
  readonly signal: AbortSignal | undefined;
}

/**
 * Trains a forecaster.
 * @throws UserError on options out of range, and on a series of fewer than 2 values or with one that is not finite
 */
export async function trainForecaster(options: ForecasterData & ForecasterOptions): Promise<Forecaster> {
  const { season = 12, horizon = 12, trust = "auto" } = options;
  check(options);
  const levels = [...new Set([...(options.quantiles ?? [0.1, 0.9]), 0.5])].sort((a, b) => a - b);
  const { cell = "gru", hidden = 32, layers = 1, dropout = 0.2, members = 3 } = options;
  const network: NetworkOptions = { cell, hidden, layers, dropout, members, horizon, levels };
  const run: Run = {
    network,
    steps: options.steps,
    epochs: options.epochs,
    batch: options.batch ?? 16,
    learningRate: options.learningRate ?? 0.005,
    weightDecay: options.weightDecay ?? 0,
    clipNorm: options.clipNorm ?? 1,
    seed: options.seed ?? 1,
    backend: options.backend,
    threads: options.threads,
    reportEvery: options.reportEvery ?? 1,
    onReport: options.onReport,
    signal: options.signal,
  };

  const lookback = options.lookback ?? usualLookback(season);
  const decided = decide(options, {
    season,
    horizon,
    lookback,
    transform: options.transform ?? "auto",
    smoothing: options.smoothing ?? "auto",
  });
  const { recipe } = decided;
  const state = createSeriesState(decided, horizon);
  const n = state.z.length;
  const wanted = { rows: n, horizon, lookback, season: recipe.season };
  const { first, held } = division(wanted);
  const origins = rowsFrom(first, n);
  const units = measureUnits({ recipe, horizon, z: state.z, smoothed: state.smoothed }, origins);
  const encoder = state.encoder(units);
  const config = (blend: ForecasterConfig["blend"], trained: boolean): ForecasterConfig => ({
    ...decided,
    format: "throughtime-forecaster",
    version: 1,
    network,
    units,
    blend,
    trained,
  });
  const plain = { trust: 0, ...plainSpread(encoder, state.z, origins, n, levels), stretch: levels.map(() => 1) };

  const early = rowsFrom(first, n - held);
  const late = rowsFrom(Math.max(first, n - held), n - horizon + 1);
  const flat = plain.spread.every((spread) => spread === 0);
  const untrained = !areEnough(wanted)
    ? tooFew(wanted)
    : flat
      ? "what the smoothing forecasts is always right, which leaves a network nothing to learn"
      : trust === 0
        ? "the trust in a network is 0"
        : undefined;
  if (untrained !== undefined) return { ...createForecaster(config(plain, false), state, undefined), untrained };

  const phases = [early, origins].map((rows) => stepsFor(run, rows.length));
  const total = phases[0]! + phases[1]!;
  const trial = await train(run, encoder, early, n - held, {
    phase: "validation",
    before: 0,
    steps: phases[0]!,
    total,
  });
  const said = {
    encoder,
    z: state.z,
    origins: late,
    levels,
    network: await createWindowPredictor(trial.predictor, network).predict(encoder, late),
  };
  const blend = { ...plain, trust: trust === "auto" ? chooseTrust(said) : trust };
  const finished = { ...blend, stretch: chooseStretch(said, blend) };
  if (run.signal?.aborted || finished.trust === 0) {
    return createForecaster(config(finished, true), state, trial);
  }
  trial.dispose();
  const trainer = await train(run, encoder, origins, n, {
    phase: "training",
    before: phases[0]!,
    steps: phases[1]!,
    total,
  });
  return createForecaster(config(finished, true), state, trainer);
}

/**
 * The forecaster that `toJSON` and `weights` describe.
 * @throws UserError where they do not fit together or are not what a forecaster writes
 */
export async function restoreForecaster(
  json: unknown,
  weights: Readonly<Record<string, NamedTensor>>,
  options: { readonly backend?: Backend | BackendName } = {},
): Promise<Forecaster> {
  const config = forecasterConfig(json);
  const state = createSeriesState(config, config.network.horizon);
  if (!config.trained) return createForecaster(config, state, undefined);
  checkWeights(config.network, state.encoder(config.units), weights);
  const trainer = await createTrainer(forecastNetwork(config.network), {
    loss: knownQuantile(config.network.levels, config.network.members),
    optimizer: adam(),
    weights,
    ...(options.backend ? { backend: options.backend } : {}),
  });
  return { ...createForecaster(config, state, trainer), weights: async () => weights };
}

/** Refuses weights that are not all of the network's, of its shapes and finite. */
function checkWeights(
  network: NetworkOptions,
  { steps, features }: Encoder,
  weights: Readonly<Record<string, NamedTensor>>,
): void {
  const wanted = createNetwork(forecastNetwork(network), 1);
  wanted.trace(zeros([steps, 1, features]), { training: false, seed: current(variable("seed", [1], "index")) });
  for (const [name, { shape }] of wanted.parameters) {
    const found = Object.hasOwn(weights, name) ? weights[name] : undefined;
    if (!found) throw new UserError(`The weights of the forecaster lack ${name}.`);
    if (!sameShape(found.shape, shape))
      throw new UserError(
        `The weight ${name} of the forecaster has shape ${showShape(found.shape)}, not ${showShape(shape)}.`,
      );
    checkFinite(`The weight ${name} of the forecaster`, found.data);
  }
  const unknown = Object.keys(weights).find((name) => !wanted.parameters.has(name));
  if (unknown !== undefined) throw new UserError(`The forecaster has no weight ${show(unknown)}.`);
}

async function train(
  run: Run,
  encoder: Encoder,
  origins: readonly number[],
  end: number,
  { phase, before, steps, total }: { phase: ForecasterReport["phase"]; before: number; steps: number; total: number },
): Promise<Trainer> {
  const { network, learningRate, weightDecay, clipNorm, seed, batch, backend, threads, reportEvery, onReport, signal } =
    run;
  const trainer = await createTrainer(forecastNetwork(network), {
    loss: knownQuantile(network.levels, network.members),
    optimizer: weightDecay > 0 ? adamw({ learningRate, weightDecay }) : adam({ learningRate }),
    schedule: cosine({ steps, minimum: learningRate / 50 }),
    clip: { norm: clipNorm },
    batch,
    seed,
    ...(backend ? { backend } : {}),
    ...(threads ? { threads } : {}),
  });
  for await (const report of trainer.fit(windowData({ encoder, origins, end }), { steps, reportEvery })) {
    const { loss, gradientNorm } = report;
    onReport?.({
      phase,
      step: before + report.step,
      steps: total,
      loss,
      gradientNorm,
      learningRate: report.learningRate,
    });
    if (signal?.aborted) break;
  }
  return trainer;
}

function createForecaster(config: ForecasterConfig, state: SeriesState, trainer: Trainer | undefined): Forecaster {
  const { network, blend, units } = config;
  const { levels, horizon: block } = network;
  const width = levels.length;
  const predictor: WindowPredictor | undefined = trainer && createWindowPredictor(trainer.predictor, network);
  return {
    async forecast({ horizon = block, covariates } = {}) {
      checkWhole("The horizon", horizon);
      const said = levels.map(() => new Float64Array(horizon));
      let going = state.ahead(horizon, covariates);
      const carried = new Float64Array(width);
      for (let done = 0; done < horizon; done += block) {
        const encoder = going.encoder(units);
        const origin = going.z.length;
        const heard = blend.trust > 0 ? await predictor?.predict(encoder, [origin]) : undefined;
        const made = blended(blend, levels, (h) => encoder.plain(origin, h), heard);
        const middle = levels.indexOf(0.5);
        const medians = Float64Array.from({ length: block }, (_, h) => made[h * width + middle]!);
        const distance = (h: number, q: number): number => {
          // Errors of one block and of those before it add up as independent ones do.
          const own = made[h * width + q]! - medians[h]!;
          return Math.sign(q - middle) * Math.hypot(own, carried[q]!);
        };
        for (let h = 0; h < Math.min(block, horizon - done); h++)
          for (let q = 0; q < width; q++) said[q]![done + h] = medians[h]! + distance(h, q);
        for (let q = 0; q < width; q++) carried[q] = distance(block - 1, q);
        if (done + block < horizon) going = going.extended(medians);
      }
      const quantiles = levels.map((level, q) => ({ level, values: state.inverse(said[q]!) }));
      return {
        values: quantiles[levels.indexOf(0.5)]!.values.slice(),
        quantiles,
        dates: state.calendar?.next(horizon),
      };
    },
    toJSON: () => config,
    weights: async () => (await trainer?.parameters()) ?? {},
    dispose: () => trainer?.dispose(),
  };
}

function stepsFor({ steps, epochs, batch }: Run, windows: number): number {
  if (epochs === undefined) return steps ?? Math.min(2000, Math.max(400, Math.round(20 * Math.sqrt(windows))));
  return epochs * Math.max(1, Math.floor(windows / Math.min(batch, windows)));
}

const rowsFrom = (from: number, to: number): number[] =>
  Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);

function check(options: ForecasterData & ForecasterOptions): void {
  const { values, dates, covariates, transform = "auto", smoothing = "auto" } = options;
  checkOptions("trainForecaster", options, optionNames);
  checkName("trainForecaster", "transform", transform, "auto log none");
  checkName("trainForecaster", "smoothing", smoothing, "auto none");
  if (values.length < 2)
    throw new UserError(`A forecast needs at least 2 values, but the series has ${values.length}.`);
  checkFinite("The series to forecast", values);
  if (dates && dates.length !== values.length)
    throw new UserError(`${count(values.length, "value")} want as many dates, not ${dates.length}.`);
  if (covariates && covariates.rows !== values.length)
    throw new UserError(`${count(values.length, "value")} want as many rows of covariates, not ${covariates.rows}.`);
  for (const name of [
    "season",
    "horizon",
    "lookback",
    "hidden",
    "layers",
    "members",
    "steps",
    "epochs",
    "batch",
  ] as const)
    checkWhole(`The option ${name}`, options[name] ?? 1);
  if (options.steps !== undefined && options.epochs !== undefined)
    throw new UserError("Give steps or epochs, not both: each says how long to train.");
  const wrong = options.quantiles?.find((level) => !(level > 0 && level < 1));
  if (wrong !== undefined) throw new UserError(`A quantile must lie between 0 and 1, but is ${wrong}.`);
  const { trust = "auto" } = options;
  if (trust !== "auto" && !(trust >= 0 && trust <= 1))
    throw new UserError(`The trust in the network must be "auto" or lie between 0 and 1, but is ${String(trust)}.`);
}
