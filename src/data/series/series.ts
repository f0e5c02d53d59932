import { checkName, checkOptions, UserError } from "../../errors.js";
import { checkWhole, count, listNames, sentence, show } from "../check.js";
import { type Calendar, readCalendar } from "./calendar.js";
import { type Covariates, covariatesOf, type NamedColumn } from "./covariates.js";
import { formatsLike } from "./dates.js";

/** One column of numbers in time order. */
export interface Series {
  /** What errors call it, such as its file. */
  readonly name: string;
  /** The header of the column of values. */
  readonly column: string;
  /** T values, all finite. */
  readonly values: Float64Array;
  /** The T dates as they are written; undefined without a date column. */
  readonly dates: readonly string[] | undefined;
  /** The dates understood; undefined without dates, or where they are only labels. */
  readonly calendar: Calendar | undefined;
  /** The other columns asked for, [T, C]. */
  readonly covariates: Covariates;
}

/** Which columns make the series. */
export interface SeriesOptions {
  /** The header of the column of values. */
  readonly column: string;
  /**
   * The header of the column of dates, or null for none. Left out, it is found: a column called date, month, year,
   * time or the like, or else the first one, where what stands there reads as dates.
   */
  readonly dateColumn?: string | null;
  /** The headers of further columns of numbers. */
  readonly covariates?: readonly string[];
  /** What to call the table in errors, such as its file. Default "the table". */
  readonly name?: string;
  /** "refuse" (default) throws at the first missing or repeated date; "ignore" takes the rows as evenly spaced. */
  readonly gaps?: "refuse" | "ignore";
  /** The fewest rows that will do. Default 2. */
  readonly minimum?: number;
}

/** The names of `SeriesOptions`. */
export const seriesOptions = "column dateColumn covariates name gaps minimum";

/** Cells as text, the header first; `lines[row]` is the line of the file on which a row begins. */
export interface Table {
  readonly rows: readonly (readonly string[])[];
  readonly lines: readonly number[];
}

const DATE_NAMES =
  /^(dates?|days?|weeks?|months?|quarters?|years?|times?|timestamps?|date_?time|periods?|ds|observation_date)$/i;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const MISSING = /^([-–—.?]|#?n\/?a|nan|null|nil|none|missing|\(blank\))?$/i;
const GROUPED = /^[+-]?\d{1,3}([,'’_ \u00a0\u202f]\d{3})+(\.\d+)?$/;
const DECIMAL_COMMA = /^[+-]?\d[\d.]*,\d+$/;

/**
 * Takes a series out of a table of text cells with a header. Rows whose cells are all blank are passed over, but not
 * in a table of one column, where a blank line is a missing value.
 * Throws a UserError, naming line, column and text, on a missing or duplicate header, a row of another width, a cell
 * that is no number, a missing value, a date out of order, a gap in the dates, or fewer rows than `minimum`.
 */
export function seriesFromTable(table: Table, options: SeriesOptions): Series {
  const { column, covariates = [], name = "the table", minimum = 2, gaps } = options;
  checkOptions("seriesFromTable", options, seriesOptions);
  checkName("seriesFromTable", "gaps", gaps ?? "refuse", "refuse ignore");
  checkWhole("The fewest rows", minimum);
  const title = sentence(name);
  const [first, ...below] = numberRows(table);
  const header = (first?.cells ?? []).map((cell) => cell.trim());
  checkHeader(header, title);
  const find = (wanted: string) => findColumn(header, wanted, title);
  const valuesAt = find(column);
  const covariatesAt = covariates.map(find);
  const namedDates = typeof options.dateColumn === "string" ? find(options.dateColumn) : undefined;
  if (namedDates === valuesAt) {
    throw new UserError(`The column ${show(header[valuesAt])} holds the values, so it cannot hold the dates too.`);
  }

  const body = header.length === 1 ? below : below.filter((row) => !isBlank(row));
  const place = (row: number) => `${title}, line ${body[row]?.line}`;
  checkBody(body, header.length, minimum, title);
  const numbers = (at: number) =>
    Float64Array.from(body, ({ cells }, row) =>
      readNumber(cells[at] as string, `${place(row)}, column "${header[at]}"`),
    );
  const columns = covariatesAt.map((at): NamedColumn => [header[at] as string, numbers(at)]);
  const values = numbers(valuesAt);
  const datesAt = options.dateColumn === undefined ? findDates(header, body, [valuesAt, ...covariatesAt]) : namedDates;
  const dates = datesAt === undefined ? undefined : readDates(body, datesAt, header, place);
  const calendar = dates && readCalendar(dates, { gaps, place });
  return { name, column, values, dates, calendar, covariates: covariatesOf(columns, values.length) };
}

interface BodyRow {
  readonly cells: readonly string[];
  readonly line: number;
}

function checkHeader(header: readonly string[], name: string): void {
  if (header.every((cell) => cell === "")) {
    throw new UserError(`${name} is empty: the first line must name the columns.`);
  }
  const second = header.findIndex((cell, at) => cell !== "" && header.indexOf(cell) !== at);
  if (second >= 0) {
    const cell = header[second] as string;
    throw new UserError(
      `${name} has two columns called ${show(cell)}, the ${ordinal(header.indexOf(cell))} and the ${ordinal(second)}.`,
    );
  }
}

function findColumn(header: readonly string[], wanted: string, name: string): number {
  const at = header.indexOf(wanted.trim());
  if (at < 0 || wanted.trim() === "") {
    const named = header.filter((cell) => cell !== "");
    const headless = named.every((cell) => NUMBER.test(cell) || formatsLike(cell).length > 0);
    const hint = headless ? "; the first line looks like figures and must name the columns" : "";
    throw new UserError(`${name} has no column ${show(wanted)}: it has ${listNames(named.slice(0, 20))}${hint}.`);
  }
  return at;
}

function checkBody(body: readonly BodyRow[], width: number, minimum: number, title: string): void {
  const ragged = body.find(({ cells }) => cells.length !== width);
  if (ragged !== undefined) {
    const hint = ragged.cells.length > width ? "; a number may hold a comma" : "";
    throw new UserError(
      `${title}, line ${ragged.line}: ${count(ragged.cells.length, "cell")}, but the header has ${width}${hint}.`,
    );
  }
  if (body.length < minimum) {
    throw new UserError(`${title} has ${count(body.length, "row")} of figures, but at least ${minimum} are needed.`);
  }
}

/** The rows with their lines, without the blank ones at either end. */
function numberRows(table: Table): BodyRow[] {
  const rows = table.rows.map((cells, row) => ({ cells, line: table.lines[row] ?? row + 1 }));
  const filled = rows.flatMap((row, at) => (isBlank(row) ? [] : [at]));
  return filled.length === 0 ? [] : rows.slice(filled[0], (filled[filled.length - 1] as number) + 1);
}

function isBlank({ cells }: BodyRow): boolean {
  return cells.every((cell) => cell.trim() === "");
}

function readNumber(cell: string, place: string): number {
  const text = cell.trim();
  if (MISSING.test(text)) {
    throw new UserError(
      `${place}: ${text === "" ? "the cell is empty" : `${show(text)} is no value`}; fill the gap first.`,
    );
  }
  if (GROUPED.test(text)) {
    throw new UserError(`${place}: ${show(text)} has a thousands separator; write the number without.`);
  }
  if (DECIMAL_COMMA.test(text)) {
    throw new UserError(`${place}: ${show(text)} has a decimal comma; write a point.`);
  }
  if (!NUMBER.test(text)) {
    throw new UserError(`${place}: ${show(text)} is not a number.`);
  }
  const value = Number(text);
  if (!Number.isFinite(value)) {
    throw new UserError(`${place}: ${show(text)} is too large.`);
  }
  return value;
}

function findDates(header: readonly string[], body: readonly BodyRow[], taken: readonly number[]): number | undefined {
  const likely = header.flatMap((cell, at) => (DATE_NAMES.test(cell) ? [at] : []));
  return [...likely, 0].find((at) => {
    const readable = body.filter(({ cells }) => formatsLike((cells[at] ?? "").trim()).length > 0);
    return !taken.includes(at) && readable.length > 0 && readable.length * 2 >= body.length;
  });
}

function readDates(body: readonly BodyRow[], at: number, header: readonly string[], place: (row: number) => string) {
  return body.map(({ cells }, row) => {
    const text = (cells[at] as string).trim();
    if (text === "") {
      throw new UserError(`${place(row)}, column "${header[at]}": the date is missing.`);
    }
    return text;
  });
}

function ordinal(at: number): string {
  return ["first", "second", "third"][at] ?? `${at + 1}th`;
}
