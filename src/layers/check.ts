/** What layers ask of their options and inputs. Messages begin with the layer's kind; `sequential` adds its place. */
import { UserError } from "../errors.js";
import { type Shape, sameShape, showShape, withColumns } from "../graph/shape.js";
import type { Tensor } from "../graph/tensor.js";

/** A number above 0. */
export function checkPositive(kind: string, what: string, value: number): number {
  if (!(value > 0 && Number.isFinite(value))) throw new UserError(`${kind}: ${what} must be above 0, not ${value}`);
  return value;
}

/** Rows of numbers, [N, D] or [T, N, D]. */
export function checkRows(kind: string, input: Tensor): Tensor {
  if (input.type === "index")
    throw new UserError(
      `${kind}: wants numbers, not indices ${showShape(input.shape)}: put an embedding or a oneHotEncoding before it`,
    );
  if (input.shape.length < 2)
    throw new UserError(`${kind}: wants rows [N, D] or sequences [T, N, D], not ${showShape(input.shape)}`);
  return input;
}

/** What an input's indices are below, and the kind of the layer that takes them. */
const limits = new WeakMap<Tensor, { readonly kind: string; readonly size: number }>();

/** Whole numbers 0 … size−1, one a row: [.., 1]. */
export function checkIndices(kind: string, size: number, input: Tensor): Tensor {
  if (input.type !== "index" || input.shape.length < 2 || input.shape.at(-1) !== 1)
    throw new UserError(
      `${kind}: wants indices [N, 1] or [T, N, 1], one a row, not ${input.type === "index" ? "indices" : "numbers"} ${showShape(input.shape)}`,
    );
  if (size < (limits.get(input)?.size ?? Infinity)) limits.set(input, { kind, size });
  return input;
}

/** Refuses numbers that are none of an input's indices, where layers have said which there are. */
export function checkInput(
  input: Tensor,
  numbers: ArrayLike<number>,
  mask?: ArrayLike<number>,
  nameOf?: (row: number) => string,
): void {
  const { kind, size = 0 } = limits.get(input) ?? {};
  const at = size > 0 ? firstOutside(size, numbers, mask) : -1;
  if (at >= 0)
    throw new UserError(
      `${kind}: the index at ${placeIn(input.shape, at, nameOf)} is ${numbers[at]}, but there are ${size}, 0 to ${size - 1}`,
    );
}

/** Where the first number is that is not one of 0 … count−1, nor `allowed`, nor left out by the mask; −1 where there is none. */
export function firstOutside(
  count: number,
  numbers: ArrayLike<number>,
  mask?: ArrayLike<number>,
  allowed?: number,
): number {
  for (let i = 0; i < numbers.length; i++) {
    const x = numbers[i]!;
    if (!(x >= 0 && x < count) && x !== allowed && mask?.[i] !== 0) return i;
  }
  return -1;
}

/** "step 4, row 1 of the batch": row number `at` of a batch [T, N, ·] or [N, ·], whose rows may have names. */
export function placeIn(shape: Shape, at: number, nameOf = (row: number): string => `row ${row} of the batch`): string {
  const rows = shape[shape.length - 2]!;
  return `${shape.length > 2 ? `step ${Math.floor(at / rows)}, ` : ""}${nameOf(at % rows)}`;
}

/** The mask where it speaks of the rows of `input` [T, N, D]; undefined where time is gone already, or all rows are full. */
export function maskOf(input: Tensor, mask: Tensor | undefined): Tensor | undefined {
  if (!mask || input.shape.length !== 3) return undefined;
  return sameShape(mask.shape, withColumns(input.shape, 1)) ? mask : undefined;
}
