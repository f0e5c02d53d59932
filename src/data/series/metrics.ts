// y actual, f forecast, n values; every metric is a mean over the n pairs.
import { UserError } from "../../errors.js";
import { checkFinite, checkWhole, count, show } from "../check.js";

/** Mean absolute error: mean |y - f|, in the unit of the series. */
export function mae(actual: Float64Array, forecast: Float64Array): number {
  return meanOver(actual, forecast, (y, f) => Math.abs(y - f));
}

/** Root of the mean squared error: √ mean (y - f)², in the unit of the series. */
export function rmse(actual: Float64Array, forecast: Float64Array): number {
  return Math.sqrt(meanOver(actual, forecast, (y, f) => (y - f) ** 2));
}

/** Mean absolute percentage error: 100 · mean |y - f| / |y|. Throws a UserError where an actual value is 0. */
export function mape(actual: Float64Array, forecast: Float64Array): number {
  checkPair(actual, forecast);
  const zero = actual.indexOf(0);
  if (zero >= 0) {
    throw new UserError(`MAPE is undefined: actual value ${zero + 1} of ${actual.length} is 0; use sMAPE or MASE.`);
  }
  return 100 * meanOver(actual, forecast, (y, f) => Math.abs((y - f) / y));
}

/**
 * Symmetric mean absolute percentage error: 100 · mean 2 |y - f| / (|y| + |f|), from 0 to 200, as in the M4
 * competition (Makridakis et al. 2020). Where y and f are both 0 the forecast is exact and counts as 0.
 */
export function smape(actual: Float64Array, forecast: Float64Array): number {
  return (
    100 * meanOver(actual, forecast, (y, f) => (y === f ? 0 : (2 * Math.abs(y - f)) / (Math.abs(y) + Math.abs(f))))
  );
}

/**
 * Mean absolute scaled error: the MAE over `naiveScale(train, season)`; below 1 beats the seasonal-naive forecast's
 * one-step error in the training part (Hyndman and Koehler 2006).
 * Throws a UserError where the training part is too short or that error is 0.
 */
export function mase(actual: Float64Array, forecast: Float64Array, train: Float64Array, season = 1): number {
  const scale = naiveScale(train, season);
  if (scale === 0) {
    throw new UserError(`MASE is undefined: the training part repeats itself exactly with season ${season}.`);
  }
  return mae(actual, forecast) / scale;
}

/** The seasonal-naive forecast's error within the training part: mean |v_t - v_{t-season}|. */
export function naiveScale(train: Float64Array, season = 1): number {
  checkWhole("The season", season);
  if (train.length <= season) {
    throw new UserError(
      `MASE with season ${season} needs a training part of more than ${count(season, "value")}, but it has ${train.length}.`,
    );
  }
  return mae(train.subarray(season), train.subarray(0, train.length - season));
}

/** Pinball (quantile) loss of a forecast of one quantile 0 < q < 1: mean max(q (y - f), (q - 1) (y - f)). */
export function pinballLoss(actual: Float64Array, forecast: Float64Array, quantile: number): number {
  if (!(quantile > 0 && quantile < 1)) {
    throw new UserError(`A quantile must lie between 0 and 1, but is ${show(quantile)}.`);
  }
  return meanOver(actual, forecast, (y, f) => Math.max(quantile * (y - f), (quantile - 1) * (y - f)));
}

/** The share of actual values within [lower, upper], ends included. Throws a UserError where lower is above upper. */
export function coverage(actual: Float64Array, lower: Float64Array, upper: Float64Array): number {
  checkPair(actual, lower);
  checkPair(actual, upper);
  const crossed = lower.findIndex((low, i) => low > (upper[i] as number));
  if (crossed >= 0) {
    throw new UserError(`The lower bound ${crossed + 1}, ${lower[crossed]}, is above the upper, ${upper[crossed]}.`);
  }
  return actual.filter((y, i) => y >= (lower[i] as number) && y <= (upper[i] as number)).length / actual.length;
}

function meanOver(actual: Float64Array, forecast: Float64Array, of: (y: number, f: number) => number): number {
  checkPair(actual, forecast);
  return actual.reduce((sum, y, i) => sum + of(y, forecast[i] as number), 0) / actual.length;
}

function checkPair(actual: Float64Array, forecast: Float64Array): void {
  if (actual.length !== forecast.length) {
    throw new UserError(
      `A forecast of ${count(forecast.length, "value")} cannot be measured on ${actual.length} actual ones.`,
    );
  }
  if (actual.length === 0) {
    throw new UserError("A forecast of no values cannot be measured.");
  }
  checkFinite("The actual values", actual);
  checkFinite("The forecast", forecast);
}
