/** What layers ask of their options and inputs. Messages begin with the layer's kind; `sequential` adds its place. */
import { UserError } from "../errors.js";
import { sameShape, showShape, withColumns } from "../graph/shape.js";
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

/** Whole numbers, one a row: [.., 1]. */
export function checkIndices(kind: string, input: Tensor): Tensor {
  if (input.type !== "index" || input.shape.length < 2 || input.shape.at(-1) !== 1)
    throw new UserError(
      `${kind}: wants indices [N, 1] or [T, N, 1], one a row, not ${input.type === "index" ? "indices" : "numbers"} ${showShape(input.shape)}`,
    );
  return input;
}

/** The mask where it speaks of the rows of `input` [T, N, D]; undefined where time is gone already, or all rows are full. */
export function maskOf(input: Tensor, mask: Tensor | undefined): Tensor | undefined {
  if (!mask || input.shape.length !== 3) return undefined;
  return sameShape(mask.shape, withColumns(input.shape, 1)) ? mask : undefined;
}
