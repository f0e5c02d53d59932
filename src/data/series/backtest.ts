import { checkOptions, UserError } from "../../errors.js";
import { checkFinite, checkWhole, count } from "../check.js";
import { naive, seasonalNaive } from "./baselines.js";
import { mae, naiveScale, rmse, smape } from "./metrics.js";

/** Where a fold of a backtest stands. */
export interface Fold {
  /** 0 the earliest. */
  readonly index: number;
  /** The row of the first value to forecast: all rows before it are for training. */
  readonly origin: number;
}

/** Forecasts the `horizon` values after `train`, which is a copy to do with as one likes. */
export type Forecaster = (train: Float64Array, horizon: number, fold: Fold) => Promise<Float64Array> | Float64Array;

/** What `backtest` evaluates, and where. */
export interface BacktestOptions {
  readonly values: Float64Array;
  /** Values to forecast from each origin. */
  readonly horizon: number;
  /** How many origins; the last leaves exactly `horizon` values after it. Default 5. */
  readonly folds?: number;
  /** Rows from origin to origin. Default `horizon`, so that the forecasts lie end to end. */
  readonly step?: number;
  /** Rows a season, for the seasonal-naive baseline and MASE. Default 1. */
  readonly season?: number;
  /** The fewest values to train on that will do. Default season + 1, the fewest for which MASE is defined. */
  readonly minimumTrain?: number;
  readonly forecaster: Forecaster;
  /** Called after each fold. */
  readonly onFold?: (fold: FoldResult) => void;
}

/** Errors of forecasts; `rmse` too is in the unit of the series. */
export interface Accuracy {
  /** In the unit of the series. */
  readonly mae: number;
  readonly rmse: number;
  /** In percent, 0 to 200. */
  readonly smape: number;
  /** Null where the training part repeats itself exactly, so that there is nothing to scale by. */
  readonly mase: number | null;
}

/** One fold: what came, what was forecast, and the baselines. */
export interface FoldResult extends Fold, Accuracy {
  readonly actual: Float64Array;
  readonly forecast: Float64Array;
  readonly naive: Accuracy;
  readonly seasonalNaive: Accuracy;
}

/**
 * Accuracy over all folds together: `mae`, `rmse` and `smape` over every forecast value, `mase` the mean of the folds',
 * each scaled by its own training part; null where one of them is.
 */
export interface BacktestResult extends Accuracy {
  readonly naive: Accuracy;
  readonly seasonalNaive: Accuracy;
  readonly folds: readonly FoldResult[];
}

/**
 * Rolling-origin evaluation (Tashman 2000): from each of the last `folds` origins the forecaster, given everything
 * before it, forecasts `horizon` values, measured beside the naive and the seasonal-naive forecast from the same origin.
 * Throws a UserError on a series too short, with the figure it needs, and on a forecast of the wrong length or with a
 * value that is not finite.
 */
export async function backtest(options: BacktestOptions): Promise<BacktestResult> {
  const { values, horizon, folds = 5, season = 1, forecaster, onFold } = options;
  // A `Series` may stand among them whole.
  const ofSeries = "values name column calendar dates covariates";
  checkOptions("backtest", options, `${ofSeries} horizon folds step season minimumTrain forecaster onFold`);
  const origins = originsOf(options);
  const results: FoldResult[] = [];
  for (const [index, origin] of origins.entries()) {
    const train = values.subarray(0, origin);
    const actual = values.slice(origin, origin + horizon);
    const forecast = await forecaster(train.slice(), horizon, { index, origin });
    checkForecast(forecast, horizon, `fold ${index + 1} of ${folds}`);
    const scale = naiveScale(train, season);
    const measure = (made: Float64Array) => accuracy(actual, made, scale);
    const result: FoldResult = {
      index,
      origin,
      actual,
      forecast: Float64Array.from(forecast),
      ...measure(forecast),
      naive: measure(naive(train, horizon)),
      seasonalNaive: measure(seasonalNaive(train, horizon, season)),
    };
    results.push(result);
    onFold?.(result);
  }
  return {
    ...overall(results),
    naive: overall(results.map((result) => result.naive)),
    seasonalNaive: overall(results.map((result) => result.seasonalNaive)),
    folds: results,
  };
}

function originsOf(options: BacktestOptions): number[] {
  const { values, horizon, folds = 5, step = horizon, season = 1 } = options;
  checkWhole("The horizon", horizon);
  checkWhole("The number of folds", folds);
  checkWhole("The step from origin to origin", step);
  checkWhole("The season", season);
  checkWhole("The fewest values to train on", options.minimumTrain ?? 1);
  const minimumTrain = Math.max(options.minimumTrain ?? 0, season + 1);
  const forecast = horizon + (folds - 1) * step;
  if (values.length < minimumTrain + forecast) {
    throw new UserError(
      `A backtest of ${count(folds, "fold")} with horizon ${horizon}, step ${step} and season ${season} needs at least ` +
        `${minimumTrain + forecast} values, ${minimumTrain} to train on before the first origin and ${forecast} after it, ` +
        `but the series has ${values.length}.`,
    );
  }
  checkFinite("The series to backtest", values);
  return Array.from({ length: folds }, (_, index) => values.length - forecast + index * step);
}

function checkForecast(forecast: Float64Array, horizon: number, place: string): void {
  if (forecast.length !== horizon) {
    throw new UserError(
      `The forecaster gave ${count(forecast.length, "value")} for a horizon of ${horizon} in ${place}.`,
    );
  }
  checkFinite(`The forecast of ${place}`, forecast);
}

function accuracy(actual: Float64Array, forecast: Float64Array, scale: number): Accuracy {
  const error = mae(actual, forecast);
  return {
    mae: error,
    rmse: rmse(actual, forecast),
    smape: smape(actual, forecast),
    mase: scale === 0 ? null : error / scale,
  };
}

/** Folds are of one length: means over the folds are means over all values. */
function overall(folds: readonly Accuracy[]): Accuracy {
  const mean = (of: (fold: Accuracy) => number) => folds.reduce((sum, fold) => sum + of(fold), 0) / folds.length;
  return {
    mae: mean((fold) => fold.mae),
    rmse: Math.sqrt(mean((fold) => fold.rmse ** 2)),
    smape: mean((fold) => fold.smape),
    mase: folds.some((fold) => fold.mase === null) ? null : mean((fold) => fold.mase ?? 0),
  };
}
