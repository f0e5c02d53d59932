import { UserError } from "../../errors.js";
import { checkFinite, checkWhole, count } from "../check.js";

/** The last value, `horizon` times. */
export function naive(train: Float64Array, horizon: number): Float64Array {
  return seasonalNaive(train, horizon, 1);
}

/** The last `season` values, over and over. Throws a UserError where there are fewer. */
export function seasonalNaive(train: Float64Array, horizon: number, season: number): Float64Array {
  checkWhole("The season", season);
  checkTrain(train, horizon, season);
  const first = train.length - season;
  return Float64Array.from({ length: horizon }, (_, h) => train[first + (h % season)] as number);
}

/** The line through the first and the last value, continued. Throws a UserError on fewer than 2 values. */
export function drift(train: Float64Array, horizon: number): Float64Array {
  checkTrain(train, horizon, 2);
  const last = train[train.length - 1] as number;
  const slope = (last - (train[0] as number)) / (train.length - 1);
  return Float64Array.from({ length: horizon }, (_, h) => last + (h + 1) * slope);
}

function checkTrain(train: Float64Array, horizon: number, needed: number): void {
  checkWhole("The horizon", horizon);
  if (train.length < needed) {
    throw new UserError(`This baseline needs ${count(needed, "value")} to go on from, but there are ${train.length}.`);
  }
  checkFinite("The series to forecast", train);
}
