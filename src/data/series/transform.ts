// v stands for the original values, z for the transformed ones.
import { checkOptions, UserError } from "../../errors.js";
import { checkFinite, checkWhole, count } from "../check.js";

/** A transform before it has seen a series: `fit` takes its settings from the training part alone. */
export interface TransformSpec {
  /** The transform with the settings that `train` gives. @throws UserError on values it cannot take */
  fit(train: Float64Array): Transform;
}

/** A fitted transform. */
export interface Transform {
  /** How many leading values the transformed series lacks, and how many of history the inverse needs. */
  readonly lost: number;
  /** z of the whole of `values`: `values.length - lost` numbers. */
  transform(values: Float64Array): Float64Array;
  /**
   * The original values of `transformed`, a stretch that comes right after `history`: a forecast after the series
   * known so far, or the whole transformed series after the `lost` values it lacks.
   * `history` holds original values; its last `lost` are used.
   */
  inverse(transformed: Float64Array, history: Float64Array): Float64Array;
  /** For `transformFromJSON`. */
  toJSON(): TransformJSON;
}

/** A fitted transform in a file. */
export type TransformJSON =
  | { readonly kind: "log" }
  | { readonly kind: "log1p" }
  | { readonly kind: "difference"; readonly lag: number }
  | { readonly kind: "standard"; readonly mean: number; readonly deviation: number }
  | { readonly kind: "min-max"; readonly minimum: number; readonly scale: number; readonly low: number }
  | { readonly kind: "pipeline"; readonly steps: readonly TransformJSON[] };

/** z = ln v, for values above 0. Throws a UserError that names the first value that is not. */
export function log(): TransformSpec {
  return fixed({ kind: "log" });
}

/** z = ln(1 + v), for values above -1, so for counts with zeros. Throws a UserError that names the first below. */
export function log1p(): TransformSpec {
  return fixed({ kind: "log1p" });
}

/**
 * z_t = v_t - v_{t-lag}: lag 1 (default) takes the trend out, the length of the season the season. Loses `lag` values.
 * The inverse adds up from the last `lag` values of history on.
 */
export function difference(options: { readonly lag?: number } = {}): TransformSpec {
  const { lag = 1 } = options;
  checkOptions("difference", options, "lag");
  checkWhole("The lag of a difference", lag);
  return fixed({ kind: "difference", lag });
}

type Fixed = Extract<TransformJSON, { kind: "log" | "log1p" | "difference" }>;

function fixed(settings: Fixed): TransformSpec {
  return {
    fit(train) {
      const fitted = fixedTransform(settings);
      fitted.transform(train);
      return fitted;
    },
  };
}

/** A transform that has nothing to fit, from its settings. */
export function fixedTransform(settings: Fixed): Transform {
  switch (settings.kind) {
    case "log":
      return pointwise(settings, (values) => logarithm(values, 0, "log", Math.log), Math.exp);
    case "log1p":
      return pointwise(settings, (values) => logarithm(values, -1, "log1p", Math.log1p), Math.expm1);
    case "difference":
      return differenceBy(settings.lag);
  }
}

/** A transform that takes each value by itself, with the inverse of one value. */
export function pointwise(
  settings: TransformJSON,
  transform: (values: Float64Array) => Float64Array,
  inverseOf: (z: number) => number,
): Transform {
  return {
    lost: 0,
    transform,
    inverse: (transformed) => transformed.map((z) => inverseOf(z)),
    toJSON: () => settings,
  };
}

function logarithm(values: Float64Array, above: number, name: string, of: (v: number) => number): Float64Array {
  checkFinite("A series to transform", values);
  const low = values.findIndex((v) => v <= above);
  if (low >= 0) {
    throw new UserError(
      `The ${name} transform needs values above ${above}, but value ${low + 1} of ${values.length} is ${values[low]}.`,
    );
  }
  return values.map((v) => of(v));
}

function differenceBy(lag: number): Transform {
  return {
    lost: lag,
    transform(values) {
      if (values.length <= lag) {
        throw new UserError(
          `A difference of lag ${lag} needs more than ${count(lag, "value")}, but the series has ${values.length}.`,
        );
      }
      checkFinite("A series to transform", values);
      return Float64Array.from({ length: values.length - lag }, (_, t) => {
        return (values[t + lag] as number) - (values[t] as number);
      });
    },
    inverse(transformed, history) {
      if (history.length < lag) {
        throw new UserError(
          `Undoing a difference of lag ${lag} needs the last ${count(lag, "value")} of history, but there are ${history.length}.`,
        );
      }
      const joined = new Float64Array(lag + transformed.length);
      joined.set(history.subarray(history.length - lag));
      transformed.forEach((z, t) => {
        joined[t + lag] = (joined[t] as number) + z;
      });
      return joined.slice(lag);
    },
    toJSON: () => ({ kind: "difference", lag }),
  };
}
