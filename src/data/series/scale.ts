import { checkOptions, UserError } from "../../errors.js";
import { checkFinite } from "../check.js";
import { pointwise, type Transform, type TransformSpec } from "./transform.js";

/**
 * z = (v - mean) / deviation, with the mean and the standard deviation (that of the population, divided by n) of the
 * training part. A constant training part has deviation 1, so that z = v - mean.
 */
export function standardScaler(): TransformSpec {
  return {
    fit(train) {
      checkTrain(train);
      if (train.every((v) => v === train[0])) {
        return standardTransform(train[0] as number, 1);
      }
      const mean = meanOf(train);
      // Squares of shares of the farthest value neither overflow nor vanish.
      const farthest = train.reduce((most, v) => Math.max(most, Math.abs(v - mean)), 0);
      const deviation = farthest * Math.sqrt(meanOf(train.map((v) => ((v - mean) / farthest) ** 2)));
      return standardTransform(mean, deviation);
    },
  };
}

/**
 * z = low + (v - minimum) · scale, so that the training part spans [low, high], by default [0, 1]; later values may
 * lie outside. A constant training part becomes `low`, and its neighbours keep their distances (scale 1).
 */
export function minMaxScaler(options: { readonly range?: readonly [low: number, high: number] } = {}): TransformSpec {
  checkOptions("minMaxScaler", options, "range");
  const [low, high] = options.range ?? [0, 1];
  if (!(Number.isFinite(low) && Number.isFinite(high) && low < high)) {
    throw new UserError(`The range of a min-max scaler must rise from low to high, but is ${low} to ${high}.`);
  }
  return {
    fit(train) {
      checkTrain(train);
      const minimum = train.reduce((a, b) => Math.min(a, b));
      const maximum = train.reduce((a, b) => Math.max(a, b));
      const scale = (high - low) / (maximum - minimum);
      return minMaxTransform(minimum, Number.isFinite(scale) && scale > 0 ? scale : 1, low);
    },
  };
}

/** The standard scaler of a known mean and deviation. */
export function standardTransform(mean: number, deviation: number): Transform {
  return pointwise(
    { kind: "standard", mean, deviation },
    (values) => checked(values).map((v) => (v - mean) / deviation),
    (z) => z * deviation + mean,
  );
}

/** The min-max scaler of a known minimum, scale and low end. */
export function minMaxTransform(minimum: number, scale: number, low: number): Transform {
  return pointwise(
    { kind: "min-max", minimum, scale, low },
    (values) => checked(values).map((v) => low + (v - minimum) * scale),
    (z) => (z - low) / scale + minimum,
  );
}

function checkTrain(train: Float64Array): void {
  if (train.length === 0) {
    throw new UserError("A scaler cannot be fitted to an empty training part.");
  }
  checkFinite("A training part to fit a scaler to", train);
}

function checked(values: Float64Array): Float64Array {
  checkFinite("A series to transform", values);
  return values;
}

function meanOf(values: Float64Array): number {
  return values.reduce((sum, v) => sum + v / values.length, 0);
}
