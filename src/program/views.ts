import { columnsOf, rowsOf, type Shape } from "../graph/shape.js";
import type { Kernel, View } from "./program.js";

/** The whole of a buffer as a matrix. */
export function matrix(buffer: number, { shape }: { readonly shape: Shape }): View {
  return { buffer, offset: 0, rows: rowsOf(shape), columns: columnsOf(shape), stride: columnsOf(shape), step: 0 };
}

/** A contiguous view as rows of the same length as `like`'s. */
export function asRowsOf(view: View, like: View): View {
  if (view.rows === like.rows) return view;
  if (view.rows > 1 && view.stride !== view.columns) throw new Error("a strided view cannot be reshaped");
  return { ...view, rows: like.rows, columns: like.columns, stride: like.columns };
}

export const sameView = (a: View, b: View): boolean =>
  a.buffer === b.buffer &&
  a.offset === b.offset &&
  a.rows === b.rows &&
  a.columns === b.columns &&
  a.stride === b.stride &&
  a.step === b.step &&
  a.perRow === b.perRow;

export const viewKey = (view: View): string =>
  `${view.buffer} ${view.offset} ${view.rows} ${view.columns} ${view.stride} ${view.step} ${view.perRow ?? 0}`;

/** A contiguous view under the rows and columns of `shape`. */
export function reshaped(view: View, { shape }: { readonly shape: Shape }): View {
  const [rows, columns] = [rowsOf(shape), columnsOf(shape)];
  return columns === view.columns && rows === view.rows ? view : { ...view, rows, columns, stride: columns };
}

/** All steps of a view inside a loop, as the rows of one matrix. */
export const overTime = (view: View, steps: number): View => ({ ...view, rows: view.rows * steps, step: 0 });

const isView = (value: unknown): value is View => typeof value === "object" && value !== null && "buffer" in value;

/** The same kernel on other views. */
export function withViews<K extends Kernel>(kernel: K, place: (view: View) => View): K {
  if (kernel.kind === "chain")
    return {
      ...kernel,
      loads: kernel.loads.map(place),
      stores: kernel.stores.map((store) => ({ ...store, to: place(store.to) })),
    };
  const entries = Object.entries(kernel).map(([key, value]) => [key, isView(value) ? place(value) : value]);
  return Object.fromEntries(entries) as K;
}
