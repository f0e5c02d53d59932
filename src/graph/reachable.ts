/** Walking the graph. */
import type { Tensor } from "./tensor.js";

/**
 * The tensors that `roots` need, themselves included, in the order in which they were made: inputs stand before what is computed of
 * them. A loop stands for its body. `inputsOf`: where the walk goes on from a tensor. Graphs may be deeper than the stack.
 */
export function reachable(
  roots: Iterable<Tensor>,
  inputsOf: (tensor: Tensor) => readonly Tensor[] = ({ inputs }) => inputs,
): Tensor[] {
  const found = new Set(roots);
  // Those added meanwhile are visited too.
  for (const tensor of found) inputsOf(tensor).forEach(found.add, found);
  return [...found].sort((a, b) => a.id - b.id);
}
