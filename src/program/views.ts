import { columnsOf, rowsOf, type Shape } from "../graph/shape.js";
import type { View } from "./program.js";

/** The whole of a buffer as a matrix. */
export function matrix(buffer: number, { shape }: { readonly shape: Shape }): View {
  return { buffer, offset: 0, rows: rowsOf(shape), columns: columnsOf(shape), stride: columnsOf(shape), step: 0 };
}

export const sameView = (a: View, b: View): boolean =>
  a.buffer === b.buffer &&
  a.offset === b.offset &&
  a.rows === b.rows &&
  a.columns === b.columns &&
  a.stride === b.stride &&
  a.step === b.step;

export const viewKey = (view: View): string =>
  `${view.buffer} ${view.offset} ${view.rows} ${view.columns} ${view.stride} ${view.step}`;

/** A contiguous view under the rows and columns of `shape`. */
export function reshaped(view: View, { shape }: { readonly shape: Shape }): View {
  const [rows, columns] = [rowsOf(shape), columnsOf(shape)];
  return columns === view.columns && rows === view.rows ? view : { ...view, rows, columns, stride: columns };
}

/** All steps of a view inside a loop, as the rows of one matrix. */
export const overTime = (view: View, steps: number): View => ({ ...view, rows: view.rows * steps, step: 0 });
