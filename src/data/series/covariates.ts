import { UserError } from "../../errors.js";
import { checkFinite, checkWhole, count, show } from "../check.js";

/** C numbers known at each of T rows. */
export interface Covariates {
  /** The C names. */
  readonly names: readonly string[];
  /** T. */
  readonly rows: number;
  /** [T, C], row by row. */
  readonly values: Float64Array;
}

/** A header and its T numbers. */
export type NamedColumn = readonly [name: string, values: Float64Array];

/**
 * Puts named columns of equal length side by side; `rows` says how long where there may be none.
 * Throws a UserError on unequal lengths, a name that stands twice, or a value that is not finite.
 */
export function covariatesOf(columns: readonly NamedColumn[], rows = columns[0]?.[1].length ?? 0): Covariates {
  const names = columns.map(([name]) => name);
  const values = new Float64Array(rows * names.length);
  columns.forEach(([name, column], c) => {
    if (names.indexOf(name) !== c) {
      throw new UserError(`Two covariates are called ${show(name)}.`);
    }
    if (column.length !== rows) {
      throw new UserError(`The covariate ${show(name)} has ${count(column.length, "row")}, but ${rows} are needed.`);
    }
    checkFinite(`The covariate ${show(name)}`, column);
    for (let t = 0; t < rows; t++) {
      values[t * names.length + c] = column[t] as number;
    }
  });
  return { names, rows, values };
}

/** The columns of several tables of equal length, side by side. */
export function joinCovariates(...tables: readonly Covariates[]): Covariates {
  const columns = tables.flatMap((table) => table.names.map((name, c): NamedColumn => [name, columnOf(table, c)]));
  return covariatesOf(columns, tables[0]?.rows);
}

/** Column `c` of the table, T values. */
export function columnOf(table: Covariates, c: number): Float64Array {
  const width = table.names.length;
  return Float64Array.from({ length: table.rows }, (_, t) => table.values[t * width + c] as number);
}

/** Rows `from` to `to`, `to` not included. */
export function sliceCovariates(table: Covariates, from: number, to: number): Covariates {
  checkWhole("The first row", from, 0);
  if (!(to >= from && to <= table.rows)) {
    throw new UserError(`Rows ${from} to ${to} do not lie in covariates of ${count(table.rows, "row")}.`);
  }
  const width = table.names.length;
  return { names: table.names, rows: to - from, values: table.values.slice(from * width, to * width) };
}
