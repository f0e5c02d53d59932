// Shapes: T lookback, N batch, H horizon, D = 1 + C inputs a row, C covariates. Inputs are time-major.
import { checkOptions, UserError } from "../../errors.js";
import { checkFinite, checkWhole, count } from "../check.js";
import type { Covariates } from "./covariates.js";

/** The shape of the windows. */
export interface WindowOptions {
  /** T: rows that the model sees. */
  readonly lookback: number;
  /** H: rows that it is to forecast. */
  readonly horizon: number;
  /** Rows from one window to the next. Default 1. */
  readonly stride?: number;
  /**
   * Only windows whose targets all lie in rows [from, to), such as a part of `splitInTime`. What a window sees may lie
   * before `from`. Default: all rows.
   */
  readonly within?: Range;
}

/** Rows `from` to `to`, `to` not included. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** Supervised windows over a series: of each, T rows are given and the H after them to be forecast. */
export interface Windows {
  readonly count: number;
  readonly lookback: number;
  readonly horizon: number;
  /** D: the value and its covariates. */
  readonly inputs: number;
  /** The row of window `i`'s first target. */
  originOf(i: number): number;
  /**
   * Writes the windows chosen; allocates nothing. N = chosen.length.
   * @param inputs [T, N, D]: at each row the value, then its covariates.
   * @param targets [N, H].
   * @param future [N, H, C], the covariates of the rows to forecast; left out where the model takes none.
   */
  fill(chosen: ArrayLike<number>, inputs: Floats, targets: Floats, future?: Floats): void;
}

/** What `fill` writes into. */
export type Floats = Float32Array | Float64Array;

/** The windows of a series, in time order. Throws a UserError where not one fits, saying how many rows it needs. */
export function createWindows(values: Float64Array, options: WindowOptions, covariates?: Covariates): Windows {
  const { lookback, horizon, stride = 1, within = { from: 0, to: values.length } } = options;
  checkOptions("createWindows", options, "lookback horizon stride within");
  checkWhole("The lookback", lookback);
  checkWhole("The horizon", horizon);
  checkWhole("The stride", stride);
  checkRange(within, values.length);
  checkFinite("The series", values);
  const width = covariates?.names.length ?? 0;
  if (covariates !== undefined && covariates.rows !== values.length) {
    throw new UserError(
      `The covariates have ${count(covariates.rows, "row")}, but the series has ${count(values.length, "value")}.`,
    );
  }
  const first = Math.max(lookback, within.from);
  const number = Math.floor((within.to - horizon - first) / stride) + 1;
  if (number < 1) {
    const needs = `a lookback of ${lookback} and a horizon of ${horizon} need ${lookback + horizon}`;
    const part = `rows ${within.from} to ${within.to} hold the targets of none: they need a horizon of ${horizon} there`;
    throw new UserError(
      values.length < lookback + horizon
        ? `The series of ${count(values.length, "value")} is too short for a window: ${needs}.`
        : `Of the windows with a lookback of ${lookback}, ${part}.`,
    );
  }
  const known = covariates?.values ?? new Float64Array(0);
  const depth = 1 + width;
  return {
    count: number,
    lookback,
    horizon,
    inputs: depth,
    originOf: (i) => first + i * stride,
    fill(chosen, inputs, targets, future) {
      const batch = chosen.length;
      checkLength("inputs", inputs, lookback * batch * depth);
      checkLength("targets", targets, batch * horizon);
      if (future !== undefined) {
        checkLength("future", future, batch * horizon * width);
      }
      for (let n = 0; n < batch; n++) {
        const i = chosen[n] as number;
        if (!(Number.isInteger(i) && i >= 0 && i < number)) {
          throw new UserError(`There is no window ${i}: they run from 0 to ${number - 1}.`);
        }
        const origin = first + i * stride;
        for (let t = 0; t < lookback; t++) {
          const row = origin - lookback + t;
          const at = (t * batch + n) * depth;
          inputs[at] = values[row] as number;
          for (let c = 0; c < width; c++) {
            inputs[at + 1 + c] = known[row * width + c] as number;
          }
        }
        for (let h = 0; h < horizon; h++) {
          targets[n * horizon + h] = values[origin + h] as number;
        }
        if (future !== undefined) {
          for (let k = 0; k < horizon * width; k++) {
            future[n * horizon * width + k] = known[origin * width + k] as number;
          }
        }
      }
    },
  };
}

/** Ranges of rows, in time order. */
export interface Split {
  readonly train: Range;
  readonly validation: Range;
  readonly test: Range;
}

/**
 * Cuts `rows` rows in time order into training, validation and test: the last `test` for testing, the `validation`
 * before them for validation. Each is a share below 1, rounded down, or a number of rows; default 0.1 and 0.
 */
export function splitInTime(
  rows: number,
  options: { readonly validation?: number; readonly test?: number } = {},
): Split {
  checkOptions("splitInTime", options, "validation test");
  checkWhole("The number of rows", rows);
  const validation = rowsOf("validation", options.validation ?? 0.1, rows);
  const test = rowsOf("test", options.test ?? 0, rows);
  const train = rows - validation - test;
  if (train < 1) {
    throw new UserError(
      `Of ${count(rows, "row")} ${validation} for validation and ${test} for testing leave none to train on.`,
    );
  }
  return {
    train: { from: 0, to: train },
    validation: { from: train, to: train + validation },
    test: { from: train + validation, to: rows },
  };
}

function rowsOf(name: string, amount: number, rows: number): number {
  if (!(amount >= 0 && (amount < 1 || Number.isSafeInteger(amount)))) {
    throw new UserError(`The ${name} part must be a share below 1 or a whole number of rows, but is ${amount}.`);
  }
  return amount < 1 ? Math.floor(amount * rows) : amount;
}

function checkRange({ from, to }: Range, rows: number): void {
  if (!(Number.isInteger(from) && Number.isInteger(to) && from >= 0 && from <= to && to <= rows)) {
    throw new UserError(`Rows ${from} to ${to} do not lie in a series of ${count(rows, "row")}.`);
  }
}

function checkLength(name: string, array: Floats, length: number): void {
  if (array.length !== length) {
    throw new UserError(`These windows fill ${name} of ${length} numbers, but it has ${array.length}.`);
  }
}
