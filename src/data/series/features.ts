import { checkOptions, UserError } from "../../errors.js";
import { checkWhole, listNames, show } from "../check.js";
import { readCalendar } from "./calendar.js";
import { type Covariates, covariatesOf, type NamedColumn } from "./covariates.js";

/** A cycle of the calendar. */
export type CalendarFeature = "month" | "day-of-week" | "day-of-year" | "hour-of-day";

const DAY = 86_400_000;

// The place of an instant in its cycle, 0 ≤ place < 1.
const PHASES: Readonly<Record<CalendarFeature, (date: Date) => number>> = {
  month: (date) => date.getUTCMonth() / 12,
  "day-of-week": (date) => ((date.getUTCDay() + 6) % 7) / 7,
  "day-of-year": (date) => {
    const start = Date.UTC(date.getUTCFullYear(), 0, 1);
    return Math.floor((date.getTime() - start) / DAY) / ((Date.UTC(date.getUTCFullYear() + 1, 0, 1) - start) / DAY);
  },
  "hour-of-day": (date) => (date.getTime() - Math.floor(date.getTime() / DAY) * DAY) / DAY,
};

/**
 * The sine and cosine of each date's place in the cycles asked for, [T, 2 · cycles]: January, Monday, 1 January and
 * midnight are at angle 0. For a forecast pass the dates to come, as `calendar.next` gives them.
 * Throws a UserError where the texts are no dates.
 */
export function calendarFeatures(dates: readonly string[], features: readonly CalendarFeature[]): Covariates {
  const calendar = readCalendar(dates, { gaps: "ignore" });
  if (calendar === undefined) {
    throw new UserError(`Calendar features need dates, but ${show(dates[0])} is none.`);
  }
  const unknown = features.find((feature) => !Object.hasOwn(PHASES, feature));
  if (unknown !== undefined) {
    throw new UserError(`There is no calendar feature ${show(unknown)}: there are ${listNames(Object.keys(PHASES))}.`);
  }
  const columns = features.flatMap((feature) => {
    const angles = calendar.instants.map((instant) => 2 * Math.PI * PHASES[feature](new Date(instant)));
    return circle(feature, angles);
  });
  return covariatesOf(columns, dates.length);
}

/** Options of `seasonFeatures`. */
export interface SeasonOptions {
  /** The season's length in rows, such as 12 for months; above 1, and need not be whole. */
  readonly season: number;
  /** Waves of once, twice, … `harmonics` times a season. Default 1. */
  readonly harmonics?: number;
  /** The index of the first row: for a forecast the length of the series so far. Default 0. */
  readonly start?: number;
}

/** sin and cos of 2π · k · index / season for k = 1 … harmonics, for `rows` rows from `start`: [T, 2 · harmonics]. */
export function seasonFeatures(rows: number, options: SeasonOptions): Covariates {
  const { season, harmonics = 1, start = 0 } = options;
  checkOptions("seasonFeatures", options, "season harmonics start");
  checkWhole("The number of rows", rows, 0);
  checkWhole("The number of harmonics", harmonics);
  checkWhole("The first index", start, 0);
  if (!(season > 1 && season < Infinity)) {
    throw new UserError(`A season must be longer than 1 row, but is ${show(season)}.`);
  }
  if (harmonics > season / 2) {
    throw new UserError(
      `A season of ${season} rows has at most ${Math.floor(season / 2)} harmonics, but ${harmonics} are asked for.`,
    );
  }
  const columns = Array.from({ length: harmonics }, (_, k) => {
    // The remainder first: the angle of a late row is as exact as that of an early one.
    const angles = Float64Array.from(
      { length: rows },
      (_, t) => (2 * Math.PI * (k + 1) * ((start + t) % season)) / season,
    );
    return circle(harmonics === 1 ? "season" : `season-${k + 1}`, angles);
  });
  return covariatesOf(columns.flat(), rows);
}

function circle(name: string, angles: Float64Array): NamedColumn[] {
  return [
    [`${name}-sin`, angles.map(Math.sin)],
    [`${name}-cos`, angles.map(Math.cos)],
  ];
}
