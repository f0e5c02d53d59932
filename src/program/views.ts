import { columnsOf, rowsOf, type Shape } from "../graph/shape.js";
import type { Kernel, View } from "./program.js";

/** Rows and columns of a shape. */
export const sizesOf = ({ shape }: { readonly shape: Shape }) => ({ rows: rowsOf(shape), columns: columnsOf(shape) });

/** The whole of a buffer as a matrix. */
export function matrix(buffer: number, of: { readonly shape: Shape }): View {
  const { rows, columns } = sizesOf(of);
  return { buffer, offset: 0, rows, columns, stride: columns, step: 0 };
}

/** Whether there are no gaps between the rows. */
export const isDense = (view: View): boolean => view.rows === 1 || view.stride === view.columns;

/** A view under as many rows and columns as another; a contiguous one, where they differ. */
export function reshaped(view: View, { rows, columns }: Pick<View, "rows" | "columns">): View {
  if (view.rows === rows && view.columns === columns) return view;
  if (!isDense(view)) throw new Error("a strided view cannot be reshaped");
  return { ...view, rows, columns, stride: columns };
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
  const made: Record<string, unknown> = { ...kernel };
  for (const key in made) if (isView(made[key])) made[key] = place(made[key]);
  return made as K;
}
