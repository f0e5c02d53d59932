/**
 * What a forecaster decides about a series before it trains: all from the training part alone, each by a known statistic.
 * y values as given, n of them; m the season.
 */
import type { Calendar } from "../data/series/calendar.js";
import type { CalendarFeature } from "../data/series/features.js";
import type { SmoothingSettings } from "./forecaster-smoothing.js";

/** JSON. */
export interface Recipe {
  /** Whether the network and the smoothing work on logarithms. */
  readonly log: boolean;
  /** m: rows of the season, where the series shows it; else 1. */
  readonly season: number;
  /** Whether the series keeps to one range, so that its height itself says something. */
  readonly bounded: boolean;
  /** Whether forecasts stay at 0 or above: the series has been at 0, but never below. */
  readonly floored: boolean;
  /** Cycles of the calendar beside the season. */
  readonly calendar: readonly CalendarFeature[];
  /** L: rows that the network looks back on. */
  readonly lookback: number;
  readonly smoothing: SmoothingSettings;
}

const mean = (x: ArrayLike<number>, from = 0, to = x.length): number => {
  let sum = 0;
  for (let t = from; t < to; t++) sum += x[t]!;
  return sum / (to - from);
};

const deviation = (x: ArrayLike<number>): number => {
  const centre = mean(x);
  return Math.sqrt(mean(Array.from(x, (v) => (v - centre) ** 2)));
};

const differences = (x: Float64Array, lag: number): Float64Array => x.subarray(lag).map((v, t) => v - x[t]!);

/** A smaller gain may be chance. */
const CLEARLY_LESS = 0.97;

/**
 * Whether logarithms make the changes more even: the likelihood of Box & Cox (1964), power 0 against power 1, with changes as
 * independent normal numbers. Changes are taken from row to row, from season to season and both, and the three speak together.
 * Never for a series with values of 0 or below.
 */
export function prefersLog(y: Float64Array, season: number): boolean {
  if (!y.every((v) => v > 0)) return false;
  const logs = y.map(Math.log);
  // The Jacobian of the logarithm makes the two comparable.
  const unit = Math.exp(mean(logs));
  const ways: ((x: Float64Array) => Float64Array)[] = [(x) => differences(x, 1)];
  if (season > 1 && y.length > season + 10)
    ways.push(
      (x) => differences(x, season),
      (x) => differences(differences(x, season), 1),
    );
  const ratios = ways.map((way) => (deviation(way(logs)) * unit) / deviation(way(y)));
  return ratios.reduce((product, ratio) => product * ratio) ** (1 / ways.length) < CLEARLY_LESS;
}

/**
 * Whether there is a season of m rows: the autocorrelation of the row-to-row changes at lag m stands out by `errors` standard errors
 * (Bartlett's; as in the M4 competition's test, whose 1.645 means 5 %). False where there are fewer than two seasons and 8 rows.
 */
export function isSeasonal(y: Float64Array, m: number, errors = 1.645): boolean {
  if (m < 2 || y.length < 2 * m + 8) return false;
  const d = differences(y, 1);
  const centre = mean(d);
  const variance = mean(d.map((v) => (v - centre) ** 2));
  if (!(variance > 0)) return false;
  const correlation = (lag: number): number => {
    let sum = 0;
    for (let t = lag; t < d.length; t++) sum += (d[t]! - centre) * (d[t - lag]! - centre);
    return sum / d.length / variance;
  };
  let squares = 0;
  for (let lag = 1; lag < m; lag++) squares += correlation(lag) ** 2;
  return correlation(m) > errors * Math.sqrt((1 + 2 * squares) / d.length);
}

/** Whether the two halves of the series lie at one height: their means differ by less than half a standard deviation. */
export function isBounded(y: Float64Array): boolean {
  const half = Math.floor(y.length / 2);
  return half > 0 && Math.abs(mean(y, 0, half) - mean(y, half)) < 0.5 * deviation(y);
}

/** Whether 0 is the bottom of the series, as of counts and amounts: it has been there, and never below. */
export const isFloored = (y: Float64Array): boolean => y.includes(0) && y.every((v) => v >= 0);

/** A cycle of the calendar, and how many rows it takes; not always whole. */
type Cycle = readonly [feature: CalendarFeature, rows: number];

const DAY_SECONDS = 86_400;

/** The cycles of the calendar that the dates can tell, the shortest first. */
function cyclesOf(calendar: Calendar | undefined): Cycle[] {
  const step = calendar?.step;
  if (step === undefined) return [];
  switch (step.unit) {
    case "month":
      return [["month", 12 / step.count]];
    case "second":
      return [
        ["hour-of-day", DAY_SECONDS / step.count],
        ["day-of-week", (7 * DAY_SECONDS) / step.count],
        ["day-of-year", (365.25 * DAY_SECONDS) / step.count],
      ];
    default:
      return [
        ["day-of-week", (step.unit === "weekday" ? 5 : 7) / step.count],
        ["day-of-year", (step.unit === "weekday" ? 261 : 365.25) / step.count],
      ];
  }
}

/** m: the season asked for where the series shows it, else the shortest of the calendar's that it shows, else 1. */
export function findSeason(y: Float64Array, asked: number, calendar: Calendar | undefined): number {
  if (isSeasonal(y, asked)) return asked;
  const natural = cyclesOf(calendar).map(([, rows]) => Math.round(rows));
  return natural.find((rows) => rows <= LONGEST_FOUND && isSeasonal(y, rows, UNASKED)) ?? 1;
}

/** Standard errors for a season that nobody asked for: 1 in 1000. */
const UNASKED = 3.09;

/** Rows of a year of weeks. Longer seasons are seen too seldom to be kept row by row, unless they are asked for. */
const LONGEST_FOUND = 53;

/** Cycles of the calendar that have been seen twice and that the season is not already. */
export function calendarCycles(calendar: Calendar | undefined, season: number): CalendarFeature[] {
  const seen = calendar?.instants.length ?? 0;
  return cyclesOf(calendar)
    .filter(([, rows]) => rows >= 2 && seen >= 2 * rows && Math.round(rows) !== season)
    .map(([feature]) => feature);
}
