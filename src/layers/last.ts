/** From a sequence to its last step. */
import { UserError } from "../errors.js";
import { reshape, select, sliceRows, unroll, zeros } from "../graph/language.js";
import { showShape } from "../graph/shape.js";
import type { Tensor } from "../graph/tensor.js";
import { maskOf } from "./check.js";
import type { Layer } from "./layer.js";

/** x [T, N, D] at each row's last step, [N, D]; with a mask [T, N, 1] its last step where the mask is 1 (zeros where it never is). */
export function lastStep(x: Tensor, mask?: Tensor): Tensor {
  const row = x.shape.slice(1);
  if (!mask) return reshape(sliceRows(x, x.shape[0]! - 1, 1), row);
  // A loop whose state copies its input while the mask is on.
  const { state } = unroll({
    name: "last",
    inputs: { x, mask },
    state: { y: zeros(row) },
    step: (input, { y }) => ({ state: { y: select(input.mask, input.x, y) } }),
  });
  return state.y;
}

/**
 * The last time step: input [T, N, D], output [N, D]. Where sequences have lengths of their own, each one's last valid step. Behind a
 * bidirectional layer that is not what a classifier wants: at the last step the half that runs backwards has seen that one step only.
 * `recurrent(cell, { bidirectional: true, output: "last" })` gives each half after it has gone through the whole sequence.
 * @throws UserError where the input is no sequence of numbers
 */
export function last(): Layer {
  return {
    kind: "last",
    apply(input, context) {
      if (input.shape.length !== 3 || input.type !== "float")
        throw new UserError(
          `last: wants sequences [T, N, D], not ${input.type === "index" ? "indices" : "numbers"} ${showShape(input.shape)}`,
        );
      return lastStep(input, maskOf(input, context.mask));
    },
  };
}
