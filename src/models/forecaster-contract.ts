/** What a forecaster takes and gives. */
import type { BackendName, Threads } from "../backend/choose.js";
import type { Backend } from "../backend/contract.js";
import type { Covariates } from "../data/series/covariates.js";
import type { NamedTensor } from "../train/trainer.js";
import type { ForecasterConfig } from "./forecaster-state.js";
import type { CellName } from "./text-model.js";

/** The series to forecast. */
export interface ForecasterData {
  /** The series in time order, at least 2 values. */
  readonly values: Float64Array;
  /** A date for each value, for cycles of the calendar and for the dates of a forecast. */
  readonly dates?: readonly string[] | undefined;
  /** Further columns [n, C] that are known beforehand: a forecast asks for their rows to come. */
  readonly covariates?: Covariates | undefined;
}

/** How to train a forecaster; all have defaults. */
export interface ForecasterOptions {
  /**
   * Rows a season; 1 for none. Only used where the series shows it; where it does not, the calendar's own seasons are tried (7 for days,
   * 24 for hours). Default 12.
   */
  readonly season?: number;
  /** H: rows that the network forecasts at once. Default 12. */
  readonly horizon?: number;
  /** L: rows that it looks back on; fewer where the series is short. Default 3 seasons, 24 to 100. */
  readonly lookback?: number;
  /** Default "gru". */
  readonly cell?: CellName;
  /** Features of each recurrent layer. Default 32. */
  readonly hidden?: number;
  /** Default 1. */
  readonly layers?: number;
  /** Dropout between recurrent layers and before the head. Default 0.2. */
  readonly dropout?: number;
  /** Networks that are averaged. Default 3. */
  readonly members?: number;
  /** Updates in each of the two trainings, the one that is validated and the one on all values. Default 20·√windows, 400 to 2000. */
  readonly steps?: number;
  /** In place of `steps`: how often to go through all windows. */
  readonly epochs?: number;
  /** Windows in an update. Default 16. */
  readonly batch?: number;
  /** Adam's, falling to 2 % of it along a cosine. Default 0.005. */
  readonly learningRate?: number;
  /** AdamW's; 0 for plain Adam. Default 0. */
  readonly weightDecay?: number;
  /** Default 1. */
  readonly clipNorm?: number;
  /** Default 1. */
  readonly seed?: number;
  /** Quantile levels to forecast beside the median. Default 0.1 and 0.9. */
  readonly quantiles?: readonly number[];
  /** Whether to work on logarithms: "auto" where changes grow with the level. Default "auto". */
  readonly transform?: "auto" | "log" | "none";
  /** What the network starts from: exponential smoothing fitted to the series, or just its last value ("none"). Default "auto". */
  readonly smoothing?: "auto" | "none";
  /** 0 … 1: the network's share in the forecast, or "auto" to find it on held-out rows. Default "auto". */
  readonly trust?: number | "auto";
  /** Default "auto". */
  readonly backend?: Backend | BackendName;
  /** Threads that share each batch, for a backend given by name. Default "auto": one for each processor, at most 8. */
  readonly threads?: Threads;
  /** Updates between two reports, as `fit` takes it. Default 1. */
  readonly reportEvery?: number;
  /** Called after each update, or every `reportEvery` of them. */
  readonly onReport?: (report: ForecasterReport) => void;
  /** Ends training at the next report; the forecaster then has the weights of that moment. */
  readonly signal?: AbortSignal;
}

/** The names of `ForecasterData` and `ForecasterOptions`; a `Series` may stand among them whole. */
export const optionNames =
  "values name column calendar dates covariates season horizon lookback cell hidden layers dropout members steps epochs batch learningRate weightDecay " +
  "clipNorm seed quantiles transform smoothing trust backend threads reportEvery onReport signal";

/** One update of the weights, or the latest of several. */
export interface ForecasterReport {
  /** "validation" learns from the earlier rows to see how far the network can be trusted, "training" from all. */
  readonly phase: "validation" | "training";
  /** Updates so far, over both phases. */
  readonly step: number;
  /** Updates in all. */
  readonly steps: number;
  /** Pinball loss of the batch, the mean where there were several, in spreads of the smoothing's errors. */
  readonly loss: number;
  readonly gradientNorm: number;
  readonly learningRate: number;
}

/** Options of `forecast`. */
export interface ForecastOptions {
  /** Rows to forecast; beyond the trained horizon the forecaster goes on from its own forecast. Default the trained horizon. */
  readonly horizon?: number;
  /** The covariates of the rows to come, [horizon, C]; needed where the forecaster was trained with covariates. */
  readonly covariates?: Covariates | undefined;
}

/** The rows after the series, [horizon] each. */
export interface Forecast {
  /** The medians, in the unit of the series. */
  readonly values: Float64Array;
  /** By rising level; the median (0.5) is among them. */
  readonly quantiles: readonly { readonly level: number; readonly values: Float64Array }[];
  /** The dates to come, where the series had dates. */
  readonly dates: readonly string[] | undefined;
}

/** A trained forecaster of one series. */
export interface Forecaster {
  /** The rows after the series. @throws UserError where covariates are wanted, or are those of other rows */
  forecast(options?: ForecastOptions): Promise<Forecast>;
  /** What was decided, the transform and the series so far: JSON, enough with `weights` to restore the forecaster. */
  toJSON(): ForecasterConfig;
  /** Why `trainForecaster` trained no network, in words; undefined where it did. */
  readonly untrained?: string;
  /** By name, such as member1.rnn.weight_ih_l0; none where the series was too short to train on. */
  weights(): Promise<Readonly<Record<string, NamedTensor>>>;
  /** Frees the networks; it forecasts no more. */
  dispose(): void;
}
