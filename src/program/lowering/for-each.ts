/** One pointwise computation for many variables, as PyTorch's "foreach" optimisers have it: written down once, for one element. */
import { reachable } from "../../graph/reachable.js";
import { copyOf, type Tensor } from "../../graph/tensor.js";
import type { Variable } from "../../graph/variable.js";
import type { Statement } from "../program.js";
import { sizesOf } from "../views.js";
import { fusedChain } from "./chains.js";
import type { Storage } from "./storage.js";

export interface ForEach {
  /** Placeholders [1], and what is computed of them by pointwise ops alone. */
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly members: readonly {
    /**
     * In the place of `inputs`: in the shape of the variables, or [1]. None is a variable, nor a part of one, that something else in
     * the program assigns to.
     */
    readonly inputs: readonly Tensor[];
    /** What the outputs are assigned to. */
    readonly variables: readonly Variable[];
  }[];
}

/** The same of other tensors. */
export const onTensors = (forEach: ForEach, of: (tensor: Tensor) => Tensor): ForEach => ({
  ...forEach,
  members: forEach.members.map(({ inputs, variables }) => ({ inputs: inputs.map(of), variables })),
});

/** A chain for each member. */
export function chainsFor({ inputs, outputs, members }: ForEach, storage: Storage): Statement[] {
  const placeholders = new Set(inputs);
  // An output that is an input, or two that are one, have places of their own.
  const stored = outputs.map(copyOf);
  const own = new Set(reachable(stored).filter((tensor) => !placeholders.has(tensor)));
  const before: Statement[] = [];
  const chains = members.map(({ inputs: given, variables }): Statement => {
    const { shape } = variables[0]!;
    for (const [i, input] of inputs.entries()) storage.settle(input, storage.operand(given[i]!, before));
    for (const [i, output] of stored.entries()) storage.settle(output, storage.partOf(variables[i]!, shape));
    const chain = fusedChain(storage, { ...sizesOf({ shape }), own, stored, flushed: new Set() });
    return { ...chain, label: "update" };
  });
  return [...before, ...chains];
}
