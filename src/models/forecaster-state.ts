/** A series as a forecaster works on it: transformed, smoothed, with the covariates of rows past and to come. */
import { count } from "../data/check.js";
import { type Calendar, readCalendar } from "../data/series/calendar.js";
import {
  type Covariates,
  columnOf,
  covariatesOf,
  joinCovariates,
  type NamedColumn,
} from "../data/series/covariates.js";
import { calendarFeatures, seasonFeatures } from "../data/series/features.js";
import { pipeline, transformFromJSON } from "../data/series/pipeline.js";
import { standardScaler } from "../data/series/scale.js";
import { log, type TransformJSON } from "../data/series/transform.js";
import { UserError } from "../errors.js";
import type { Blend } from "./forecaster-blend.js";
import { createEncoder, type Encoder, type Units } from "./forecaster-encoder.js";
import type { NetworkOptions } from "./forecaster-network.js";
import { calendarCycles, findSeason, isBounded, isFloored, prefersLog, type Recipe } from "./forecaster-recipe.js";
import { fittingLookback } from "./forecaster-rows.js";
import { fitSmoothing, NO_SMOOTHING, type Smoothed, smooth } from "./forecaster-smoothing.js";

/** What is decided before training. JSON. */
export interface Decided {
  readonly recipe: Recipe;
  readonly transform: TransformJSON;
  readonly covariateTransforms: readonly TransformJSON[];
  readonly series: {
    readonly values: readonly number[];
    readonly dates: readonly string[] | null;
    readonly covariateNames: readonly string[];
    /** Row by row. */
    readonly covariates: readonly number[];
  };
}

/** All that a forecaster is, but its weights. JSON. */
export interface ForecasterConfig extends Decided {
  readonly format: "throughtime-forecaster";
  readonly version: 1;
  readonly network: NetworkOptions;
  readonly units: Units;
  readonly blend: Blend;
  /** Whether there is a network. */
  readonly trained: boolean;
}

export interface SeriesState {
  readonly z: Float64Array;
  readonly smoothed: Smoothed;
  readonly calendar: Calendar | undefined;
  encoder(units: Units): Encoder;
  /** The same, ready to forecast so many rows. @throws UserError where covariates to come are missing or others than those learned */
  ahead(rows: number, covariates: Covariates | undefined): SeriesState;
  /** The same, as if these had been seen after z. */
  extended(further: Float64Array): SeriesState;
  /** Original values of z that come right after the series. */
  inverse(z: Float64Array): Float64Array;
}

interface Wanted {
  readonly season: number;
  readonly horizon: number;
  readonly lookback: number;
  readonly transform: "auto" | "log" | "none";
  readonly smoothing: "auto" | "none";
}

interface Given {
  readonly values: Float64Array;
  readonly dates?: readonly string[] | undefined;
  readonly covariates?: Covariates | undefined;
}

/** Decides on a series from its values alone. */
export function decide(
  { values, dates, covariates }: Given,
  { season, horizon, lookback, transform, smoothing }: Wanted,
): Decided {
  const n = values.length;
  const usesLog = transform === "auto" ? prefersLog(values, season) : transform === "log";
  const fitted = pipeline(usesLog ? [log(), standardScaler()] : [standardScaler()]).fit(values);
  const z = fitted.transform(values);
  const calendar = calendarOf(dates);
  const m = findSeason(z, season, calendar);
  const fits = fittingLookback({ rows: n, horizon, lookback });
  return {
    recipe: {
      log: usesLog,
      season: m,
      bounded: isBounded(z),
      floored: isFloored(values),
      calendar: calendarCycles(calendar, m),
      lookback: fits,
      smoothing:
        smoothing === "none"
          ? NO_SMOOTHING
          : fitSmoothing(z, m, horizon, Math.min(Math.max(fits, 2 * m), Math.floor(n / 2))),
    },
    transform: fitted.toJSON(),
    covariateTransforms: (covariates?.names ?? []).map((_, c) =>
      standardScaler().fit(columnOf(covariates!, c)).toJSON(),
    ),
    series: {
      values: Array.from(values),
      dates: dates ? Array.from(dates) : null,
      covariateNames: covariates?.names ?? [],
      covariates: Array.from(covariates?.values ?? []),
    },
  };
}

const calendarOf = (dates: readonly string[] | null | undefined): Calendar | undefined =>
  dates ? readCalendar(dates, { gaps: "ignore" }) : undefined;

export function createSeriesState(
  { recipe, transform, covariateTransforms, series }: Decided,
  horizon: number,
): SeriesState {
  const fitted = transformFromJSON(transform);
  const values = Float64Array.from(series.values);
  const calendar = calendarOf(series.dates);
  const names = series.covariateNames;
  const past: Covariates = { names, rows: values.length, values: Float64Array.from(series.covariates) };

  const tableOf = (further: number, coming: Covariates | undefined): Covariates => {
    const rows = values.length + further;
    const parts: Covariates[] = [covariatesOf([], rows)];
    if (recipe.season > 1) {
      const m = recipe.season;
      parts.push(seasonFeatures(rows, { season: m, harmonics: Math.min(2, Math.floor(m / 2)) }));
    }
    if (recipe.calendar.length > 0 && calendar && series.dates)
      parts.push(withOvertones(calendarFeatures([...series.dates, ...calendar.next(further)], recipe.calendar)));
    const columns = names.map((name, c) => {
      const column = new Float64Array(rows);
      column.set(columnOf(past, c));
      if (coming) column.set(columnOf(coming, c).subarray(0, further), values.length);
      return [name, transformFromJSON(covariateTransforms[c]).transform(column)] as const;
    });
    // A column of the user's may have the name of a feature of ours.
    return joinCovariates(
      ...parts,
      covariatesOf(
        columns.map(([name, column]) => [`given ${name}`, column]),
        rows,
      ),
    );
  };

  const stateOf = (z: Float64Array, table: Covariates): SeriesState => {
    const smoothed = smooth(z, recipe.smoothing);
    return {
      z,
      smoothed,
      calendar,
      encoder: (units) => createEncoder({ recipe, horizon, z, smoothed, covariates: table, units }),
      ahead: (rows, coming) =>
        stateOf(z, tableOf(Math.ceil(rows / horizon) * horizon, checkComing(names, rows, coming))),
      extended(further) {
        const longer = new Float64Array(z.length + further.length);
        longer.set(z);
        longer.set(further, z.length);
        return stateOf(longer, table);
      },
      inverse(made) {
        const y = fitted.inverse(made, values);
        return recipe.floored ? y.map((v) => Math.max(0, v)) : y;
      },
    };
  };
  return stateOf(fitted.transform(values), tableOf(horizon, undefined));
}

/**
 * The sines and cosines of each cycle's second and third waves beside its first: a week or a day is no sine. Columns of `cycles` stand
 * in pairs, sine and cosine.
 */
function withOvertones(cycles: Covariates): Covariates {
  const columns = cycles.names.flatMap((name, c) => {
    const pair = c - (c % 2);
    const [sines, cosines] = [columnOf(cycles, pair), columnOf(cycles, pair + 1)];
    return [1, 2, 3].map((wave): NamedColumn => {
      const angle = (t: number): number => wave * Math.atan2(sines[t]!, cosines[t]!);
      return [`${name}-${wave}`, sines.map((_, t) => (c % 2 === 0 ? Math.sin(angle(t)) : Math.cos(angle(t))))];
    });
  });
  return covariatesOf(columns, cycles.rows);
}

function checkComing(names: readonly string[], rows: number, coming: Covariates | undefined): Covariates | undefined {
  if (names.length === 0) return undefined;
  const listed = names.map((name) => JSON.stringify(name)).join(", ");
  if (!coming)
    throw new UserError(
      `This forecaster learned with the covariates ${listed}: give their values for the rows to come (forecast({ covariates })).`,
    );
  if (coming.names.length !== names.length || names.some((name, c) => coming.names[c] !== name))
    throw new UserError(
      `This forecaster learned with the covariates ${listed}, not ${coming.names.map((name) => JSON.stringify(name)).join(", ")}.`,
    );
  if (coming.rows < rows)
    throw new UserError(`A forecast of ${count(rows, "row")} wants as many rows of covariates, not ${coming.rows}.`);
  return coming;
}
