// The one file that needs the CSV library; its browser build runs in Node too.
import { CsvError, parse } from "csv-parse/browser/esm/sync";
import { checkOptions, UserError } from "../../errors.js";
import { sentence } from "../check.js";
import { type Series, type SeriesOptions, seriesFromTable, seriesOptions, type Table } from "./series.js";

/** Options of `readSeries`. */
export interface CsvOptions extends SeriesOptions {
  /** The character between cells. Default: comma, semicolon, tab or bar, whichever the header has most of. */
  readonly delimiter?: string;
}

/**
 * Reads a series from CSV with a header line. A byte-order mark, Windows line ends and quoted cells are understood.
 * Numbers are written 1234.5, without thousands separators. Throws a UserError as `seriesFromTable` does, and on a
 * quote that is not closed.
 */
export function readSeries(csv: string, options: CsvOptions): Series {
  checkOptions("readSeries", options, `${seriesOptions} delimiter`);
  const { delimiter, ...others } = options;
  return seriesFromTable(parseTable(csv, options), others);
}

function parseTable(csv: string, options: CsvOptions): Table {
  const name = sentence(options.name ?? "the table");
  const text = csv.replace(/^\uFEFF/, "").replace(/\r\n?/g, "\n");
  if (text.includes("\0")) {
    throw new UserError(`${name} is not CSV text: it holds zero bytes, as a spreadsheet or another binary file does.`);
  }
  const rows = parseRows(text, options.delimiter ?? commonest(text), name);
  const lines: number[] = [];
  let line = 1;
  for (const cells of rows) {
    lines.push(line);
    line += 1 + cells.reduce((breaks, cell) => breaks + cell.split("\n").length - 1, 0);
  }
  return { rows, lines };
}

function parseRows(text: string, delimiter: string, name: string): string[][] {
  try {
    return parse(text, { delimiter, record_delimiter: "\n", relax_column_count: true });
  } catch (error) {
    if (!(error instanceof CsvError)) {
      throw error;
    }
    const line = (error as { lines?: number }).lines;
    if (error.code === "CSV_QUOTE_NOT_CLOSED") {
      throw new UserError(`${name}: a quotation mark that opens a cell is never closed, up to line ${line}, the last.`);
    }
    const faults: Readonly<Record<string, string>> = {
      CSV_INVALID_CLOSING_QUOTE: "more text follows a cell's closing quotation mark",
      INVALID_OPENING_QUOTE: "a quotation mark stands inside a cell that is not quoted",
    };
    throw new UserError(`${name}, line ${line}: ${faults[error.code] ?? error.message.replace(/\.?$/, "")}.`);
  }
}

function commonest(text: string): string {
  const header = text.slice(0, text.search(/\n|$/)).replace(/"[^"]*"/g, "");
  const counts = [",", ";", "\t", "|"].map((mark) => ({ mark, times: header.split(mark).length }));
  return counts.reduce((most, next) => (next.times > most.times ? next : most)).mark;
}
