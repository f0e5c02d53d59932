/** Batches made by hand, for tests. */
import type { Shape } from "../../src/graph/shape.js";
import type { BatchSource } from "../../src/train/data.js";

/** Numbers of one shape in and out, one batch that carries its state on; what differs is given. */
export const sourceOf = (shape: Shape, given: Pick<BatchSource, "fill"> & Partial<BatchSource>): BatchSource => ({
  inputShape: shape,
  inputType: "float",
  targetShape: shape,
  targetType: "float",
  length: 1,
  carries: true,
  masked: false,
  ...given,
});
