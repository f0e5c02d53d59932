/** Rolling-origin evaluation of a forecaster: trained afresh at each origin, on what came before it alone. */
import { type BacktestResult, backtest, type FoldResult } from "../data/series/backtest.js";
import { sliceCovariates } from "../data/series/covariates.js";
import { coverage } from "../data/series/metrics.js";
import { checkOptions } from "../errors.js";
import { trainForecaster } from "./forecaster.js";
import {
  type ForecasterData,
  type ForecasterOptions,
  type ForecasterReport,
  optionNames,
} from "./forecaster-contract.js";
import type { ForecasterConfig } from "./forecaster-state.js";

/** A forecaster's data and options, and where to evaluate it. */
export interface ForecasterBacktestOptions extends ForecasterData, Omit<ForecasterOptions, "onReport"> {
  /** How many origins; the last leaves exactly `horizon` values after it. Default 5. */
  readonly folds?: number;
  /** Rows from origin to origin. Default `horizon`. */
  readonly step?: number;
  /** Called after each update; `fold` 0 is the earliest. */
  readonly onReport?: (report: ForecasterReport & { readonly fold: number }) => void;
  /** Called after each fold, with what the forecaster decided in it. */
  readonly onFold?: (fold: FoldResult, config: ForecasterConfig) => void;
}

/** How many of the actual values lay between two quantiles forecast. */
export interface Coverage {
  readonly lower: number;
  readonly upper: number;
  /** The share that ought to: upper − lower. */
  readonly nominal: number;
  readonly actual: number;
}

/** Accuracy by fold and over all, and how well the quantiles hold. */
export interface ForecasterBacktest extends BacktestResult {
  /** Of each pair of quantile levels around the median, the widest first. */
  readonly coverage: readonly Coverage[];
}

/**
 * Backtests a forecaster beside the naive and the seasonal-naive forecast. Covariates of the rows to forecast are taken as known.
 * @throws UserError as `backtest` and `trainForecaster` do, and where `signal` ends it
 */
export async function backtestForecaster(options: ForecasterBacktestOptions): Promise<ForecasterBacktest> {
  const { values, dates, covariates, season = 12, horizon = 12, folds = 5, step, onReport, onFold, ...rest } = options;
  checkOptions("backtestForecaster", options, `${optionNames} folds step onFold`);
  const made: { level: number; values: Float64Array }[][] = [];
  let config: ForecasterConfig | undefined;
  const result = await backtest({
    values,
    horizon,
    folds,
    season,
    ...(step === undefined ? {} : { step }),
    async forecaster(train, _, { index, origin }) {
      rest.signal?.throwIfAborted();
      const forecaster = await trainForecaster({
        ...rest,
        season,
        horizon,
        values: train,
        dates: dates?.slice(0, origin),
        covariates: covariates && sliceCovariates(covariates, 0, origin),
        onReport: onReport && ((report) => onReport({ ...report, fold: index })),
      });
      try {
        rest.signal?.throwIfAborted();
        const coming = covariates && sliceCovariates(covariates, origin, origin + horizon);
        const forecast = await forecaster.forecast({ horizon, covariates: coming });
        config = forecaster.toJSON();
        made.push([...forecast.quantiles]);
        return forecast.values;
      } finally {
        forecaster.dispose();
      }
    },
    ...(onFold ? { onFold: (fold: FoldResult) => onFold(fold, config!) } : {}),
  });
  const actual = joined(result.folds.map((fold) => fold.actual));
  const quantiles = (made[0] ?? []).map(({ level }, q) => ({
    level,
    values: joined(made.map((fold) => fold[q]!.values)),
  }));
  return { ...result, coverage: coverages(actual, quantiles) };
}

const joined = (parts: readonly Float64Array[]): Float64Array => Float64Array.from(parts.flatMap((part) => [...part]));

function coverages(actual: Float64Array, quantiles: readonly { level: number; values: Float64Array }[]): Coverage[] {
  const below = quantiles.filter(({ level }) => level < 0.5);
  return below.flatMap(({ level: lower, values }) => {
    // 0.1 and 0.9 belong together, though 1 − 0.1 need not be 0.9 to the last bit.
    const partner = quantiles.find(({ level }) => Math.abs(level + lower - 1) < 1e-9);
    if (!partner) return [];
    const upper = partner.level;
    return [{ lower, upper, nominal: upper - lower, actual: coverage(actual, values, partner.values) }];
  });
}
