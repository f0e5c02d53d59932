import { checkName, checkOptions, UserError } from "../../errors.js";
import { checkWhole, count, show } from "../check.js";
import { type DateFormat, formatsLike } from "./dates.js";

/** The even step from row to row. */
export interface CalendarStep {
  /** "weekday" counts Monday to Friday only. */
  readonly unit: "month" | "day" | "weekday" | "second";
  readonly count: number;
  /** The day that a 365-day calendar leaves out of leap years. */
  readonly omitted?: "02-29" | "12-31";
}

/** The dates of a series, understood. */
export interface Calendar {
  /** Milliseconds since 1970-01-01 at each row, as if all were UTC. */
  readonly instants: Float64Array;
  /** Undefined for fewer than two dates. */
  readonly step: CalendarStep | undefined;
  /** The next `length` dates after the last, written like it. */
  next(length: number): string[];
}

/** Options of `readCalendar`; all have defaults. */
export interface CalendarOptions {
  /** "refuse" (default) throws at the first missing or repeated date; "ignore" takes the rows as evenly spaced. */
  readonly gaps?: "refuse" | "ignore";
  /** How to name a row in errors, 0 the first. Default `Row 1`, … */
  readonly place?: (row: number) => string;
}

const DAY = 86_400_000;
const REMEDY =
  'fill in or drop rows until the dates are even, or ignore gaps (gaps: "ignore") to take the rows as they come';

/**
 * Reads a column of dates and finds the step they keep: so many months, days, weekdays or seconds. One missing day a
 * leap year, 29 February or 31 December and always the same, is a 365-day calendar and no gap.
 * Returns undefined where the texts are no dates. Throws a UserError that names the first that is no date among dates,
 * stands out of order or, unless gaps are ignored, comes after a gap.
 */
export function readCalendar(dates: readonly string[], options: CalendarOptions = {}): Calendar | undefined {
  const { gaps = "refuse", place = (row: number) => `Row ${row + 1}` } = options;
  checkOptions("readCalendar", options, "gaps place");
  checkName("readCalendar", "gaps", gaps, "refuse ignore");
  const sample = [...dates].reverse().find((text) => formatsLike(text).length > 0);
  if (sample === undefined) {
    return undefined;
  }
  const readings = formatsLike(sample, dates).map((format) => ({ format, instants: readAll(format, dates) }));
  const whole = readings.filter(({ instants }) => instants.every((instant) => !Number.isNaN(instant)));
  if (whole.length === 0) {
    const fewest = readings
      .map(({ instants }) => rowsWhere(instants, (instant) => Number.isNaN(instant)))
      .sort((a, b) => a.length - b.length)[0];
    const bad = fewest?.[0] ?? 0;
    if ((fewest?.length ?? 0) * 2 > dates.length) {
      return undefined;
    }
    throw new UserError(`${place(bad)}: ${show(dates[bad])} is no date like ${show(sample)}.`);
  }
  // 1/2/1949 may be January or February: the reading with the fewest gaps is the right one.
  const badness = ({ problem }: { problem?: Problem }): number =>
    problem ? (problem.gaps ?? Number.MAX_SAFE_INTEGER) : 0;
  const [{ format, instants, step, problem }] = whole
    .map((reading) => ({ ...reading, ...findStep(reading.instants, reading.format.resolution) }))
    .sort((a, b) => badness(a) - badness(b)) as [Understood, ...Understood[]];
  if (problem && !(gaps === "ignore" && problem.kind === "gap"))
    throw new UserError(describe(problem, step, dates, place));
  return { instants, step, next: (length) => nextDates(instants, step, format, length) };
}

/** A way to read the dates, and what comes of it. */
interface Understood {
  readonly format: DateFormat;
  readonly instants: Float64Array;
  readonly step?: CalendarStep;
  readonly problem?: Problem;
}

function readAll(format: DateFormat, dates: readonly string[]): Float64Array {
  return Float64Array.from(dates, (text) => format.read(text));
}

function rowsWhere(values: Float64Array, test: (value: number, row: number) => boolean): number[] {
  return Array.from(values.keys()).filter((row) => test(values[row] as number, row));
}

/** What is wrong between row - 1 and row. */
interface Problem {
  readonly kind: "gap" | "order" | "backwards";
  readonly row: number;
  /** How many steps are missing, or undefined where the distance is no whole number of steps. */
  readonly missing?: number;
  /** In how many places the rows do not keep the step. */
  readonly gaps?: number;
}

function findStep(
  instants: Float64Array,
  resolution: DateFormat["resolution"],
): { step?: CalendarStep; problem?: Problem } {
  const order = findDisorder(instants);
  if (order !== undefined) {
    return { problem: order };
  }
  if (instants.length < 2) {
    return {};
  }
  const unit = unitOf(instants, resolution);
  const found = stepIn(unit, indexIn(unit, instants));
  if (found.problem === undefined || unit !== "day" || found.step.count !== 1) {
    return found;
  }
  const omitted = omittedDay(instants);
  if (omitted !== undefined) {
    return { step: { unit: "day", count: 1, omitted } };
  }
  if (instants.every((instant) => !isWeekend(instant))) {
    return stepIn("weekday", indexIn("weekday", instants));
  }
  return found;
}

function findDisorder(instants: Float64Array): Problem | undefined {
  const row = instants.findIndex((instant, i) => i > 0 && instant < (instants[i - 1] as number));
  if (row < 0) {
    return undefined;
  }
  const backwards =
    instants.length > 2 && instants.every((instant, i) => i === 0 || instant < (instants[i - 1] as number));
  return { kind: backwards ? "backwards" : "order", row };
}

/** Months where no two rows share one and their days agree, or the rows are many; else days, or seconds. */
function unitOf(instants: Float64Array, resolution: DateFormat["resolution"]): "month" | "day" | "second" {
  if (resolution === "month") {
    return "month";
  }
  if (instants.some((instant) => modulo(instant, DAY) !== modulo(instants[0] as number, DAY))) {
    return "second";
  }
  const months = indexIn("month", instants);
  const apart = months.every((month, i) => i === 0 || month > (months[i - 1] as number));
  const sameDay = instants.every((instant) => dayOf(instant) === dayOf(instants[0] as number));
  return apart && (sameDay || instants.every(isMonthEnd) || instants.length > 6) ? "month" : "day";
}

function indexIn(unit: CalendarStep["unit"], instants: Float64Array): Float64Array {
  return instants.map((instant) => {
    if (unit === "month") {
      const date = new Date(instant);
      return date.getUTCFullYear() * 12 + date.getUTCMonth();
    }
    if (unit === "second") {
      return instant / 1000;
    }
    const day = Math.floor(instant / DAY);
    // Day 4, 1970-01-05, was a Monday.
    return unit === "day" ? day : Math.floor((day - 4) / 7) * 5 + modulo(day - 4, 7);
  });
}

/** The commonest step of an ascending index, and the first place that does not keep it. */
function stepIn(unit: CalendarStep["unit"], index: Float64Array): { step: CalendarStep; problem?: Problem } {
  const tally = new Map<number, number>();
  for (let row = 1; row < index.length; row++) {
    const distance = (index[row] as number) - (index[row - 1] as number);
    tally.set(distance, (tally.get(distance) ?? 0) + 1);
  }
  const ranked = [...tally].filter(([distance]) => distance > 0).sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  const common = ranked[0]?.[0] ?? 1;
  const step: CalendarStep = { unit, count: common };
  const wrong = rowsWhere(index, (value, i) => i > 0 && value - (index[i - 1] as number) !== common);
  const [row] = wrong;
  if (row === undefined) {
    return { step };
  }
  const steps = ((index[row] as number) - (index[row - 1] as number)) / common;
  return {
    step,
    problem: { kind: "gap", row, missing: Number.isInteger(steps) ? steps - 1 : undefined, gaps: wrong.length },
  };
}

/** The day that every leap year between the first and last row lacks, where nothing else is missing. */
function omittedDay(instants: Float64Array): CalendarStep["omitted"] {
  return (["02-29", "12-31"] as const).find((omitted) => {
    let day = instants[0] as number;
    for (let row = 1; row < instants.length; row++) {
      day = nextDay(day, omitted);
      if (day !== instants[row]) {
        return false;
      }
    }
    return true;
  });
}

/** The day after, in a calendar that leaves `omitted` out of leap years. */
function nextDay(instant: number, omitted: CalendarStep["omitted"]): number {
  const next = new Date(instant + DAY);
  const leap = new Date(Date.UTC(next.getUTCFullYear(), 1, 29)).getUTCMonth() === 1;
  return leap && omitted !== undefined && next.toISOString().slice(-19, -14) === omitted
    ? instant + 2 * DAY
    : instant + DAY;
}

function nextDates(
  instants: Float64Array,
  step: CalendarStep | undefined,
  format: DateFormat,
  length: number,
): string[] {
  checkWhole("The number of dates to come", length, 0);
  if (step === undefined) {
    throw new UserError("The dates to come cannot be told from one date: at least 2 are needed.");
  }
  const last = instants[instants.length - 1] as number;
  // A series of month ends goes on with month ends; of days 30 with 28 February only where it must.
  const anchor = instants.every(isMonthEnd) ? 31 : Math.max(...instants.subarray(-12).map(dayOf));
  const dates: string[] = [];
  let instant = last;
  for (let k = 1; k <= length; k++) {
    if (step.unit === "month") {
      instant = addMonths(last, k * step.count, anchor);
    } else if (step.unit === "second") {
      instant = last + k * step.count * 1000;
    } else {
      for (let moved = 0; moved < step.count; moved++) {
        do {
          instant = nextDay(instant, step.omitted);
        } while (step.unit === "weekday" && isWeekend(instant));
      }
    }
    dates.push(format.write(instant));
  }
  return dates;
}

function addMonths(instant: number, months: number, anchor: number): number {
  const date = new Date(instant);
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth() + months];
  const length = new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
  return Date.UTC(year, month, Math.min(anchor, length)) + modulo(instant, DAY);
}

function describe(
  problem: Problem,
  step: CalendarStep | undefined,
  dates: readonly string[],
  place: (row: number) => string,
): string {
  const { row, missing } = problem;
  const [before, date] = [show(dates[row - 1]), show(dates[row])];
  if (problem.kind === "backwards") {
    return `${place(0)}: the dates run backwards, from ${show(dates[0])} to ${show(dates[dates.length - 1])}: sort the rows, oldest first.`;
  }
  if (problem.kind === "order") {
    return `${place(row)}: the date ${date} comes after ${before}: sort the rows, oldest first.`;
  }
  if (missing === -1) {
    return `${place(row)}: the date ${date} stands twice.`;
  }
  const steps = `the other dates step by ${stepName(step as CalendarStep)}`;
  return missing === undefined
    ? `${place(row)}: the dates are not evenly spaced between ${before} and ${date}: ${steps}; ${REMEDY}.`
    : `${place(row)}: a gap of ${count(missing, "missing date")} between ${before} and ${date}: ${steps}; ${REMEDY}.`;
}

/** `1 month`, `15 minutes`. */
function stepName({ unit, count: number }: CalendarStep): string {
  if (unit === "month" && number % 12 === 0) {
    return count(number / 12, "year");
  }
  if (unit === "second") {
    const larger = (
      [
        ["day", 86_400],
        ["hour", 3600],
        ["minute", 60],
      ] as const
    ).find(([, seconds]) => number % seconds === 0);
    return larger === undefined ? count(number, "second") : count(number / larger[1], larger[0]);
  }
  return count(number, unit);
}

function isWeekend(instant: number): boolean {
  return modulo(new Date(instant).getUTCDay() + 1, 7) < 2;
}

function isMonthEnd(instant: number): boolean {
  return dayOf(instant + DAY) === 1;
}

function dayOf(instant: number): number {
  return new Date(instant).getUTCDate();
}

function modulo(value: number, divisor: number): number {
  return ((value % divisor) + divisor) % divisor;
}
