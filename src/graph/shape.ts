/**
 * Shapes: [D] a vector, [N, D] a matrix, [T, N, D] a time-major sequence; T time, N batch, D features. Ops see a matrix of
 * rows (all leading dimensions) × columns (the last). Broadcasting is NumPy's, as far as a matrix view can carry it.
 */
import { UserError } from "../errors.js";

/** Lengths of the dimensions, one to three: [D], [N, D] or [T, N, D]. */
export type Shape = readonly number[];

/** Numbers with their shape, row-major. */
export interface NamedTensor {
  readonly shape: Shape;
  readonly data: ArrayLike<number>;
}

export const columnsOf = (shape: Shape): number => shape[shape.length - 1] ?? 1;
export const rowsOf = (shape: Shape): number => shape.slice(0, -1).reduce((rows, size) => rows * size, 1);
export const sizeOf = (shape: Shape): number => shape.reduce((size, dimension) => size * dimension, 1);
export const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((size, i) => size === b[i]);
export const showShape = (shape: Shape): string => `[${shape.join(", ")}]`;
/** `shape` with its last dimension replaced. */
export const withColumns = (shape: Shape, columns: number): Shape => [...shape.slice(0, -1), columns];

/** @throws UserError where a tensor has not the shape `wanted`, or more or fewer numbers than that takes */
export function checkTensor(
  what: string,
  wanted: Shape,
  { shape, data }: { readonly shape: Shape; readonly data: { readonly length: number } },
): void {
  const [fits, size] = [sameShape(wanted, shape), sizeOf(wanted)];
  if (!fits || data.length !== size)
    throw new UserError(
      `${what} has shape ${showShape(wanted)}${fits ? `, ${size} numbers` : ""}, not ${fits ? data.length : showShape(shape)}`,
    );
}

/** Whether `shape` repeats to `full`: its features are 1 or full, its leading dimensions are ones followed by full ones. */
function repeatsTo(shape: Shape, full: Shape): boolean {
  const padded = [...new Array<number>(full.length - shape.length).fill(1), ...shape];
  const last = full.length - 1;
  if (padded[last] !== full[last] && padded[last] !== 1) return false;
  const firstFull = padded.findIndex((size, i) => i === last || (size !== 1 && size === full[i]));
  return padded.every((size, i) => i === last || (i < firstFull ? size === 1 : size === full[i]));
}

/**
 * The shape of a pointwise op on these operands. A smaller one may repeat along the features, along the first leading
 * dimensions, or both; [T, 1, D] against [T, N, D] is no repetition of rows and is refused.
 */
export function broadcast(shapes: readonly Shape[], what: string): Shape {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  const full = Array.from({ length: rank }, (_, i) =>
    Math.max(...shapes.map((shape) => shape[i - rank + shape.length] ?? 1)),
  );
  if (!shapes.every((shape) => repeatsTo(shape, full)))
    throw new UserError(`${what}: shapes ${shapes.map(showShape).join(" and ")} do not fit together`);
  return full;
}
