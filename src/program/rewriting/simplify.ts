/** Walking the graph, and merging tensors that compute the same. */

import { kept } from "../../graph/maps.js";
import type { Tensor } from "../../graph/tensor.js";
import type { Variable } from "../../graph/variable.js";
import type { Representative } from "../lowering/schedule.js";

/**
 * The tensors that `roots` need, in topological order. A loop stands for its body. With `stop`, the walk ends there.
 */
export function reachable(
  roots: readonly Tensor[],
  representative: Representative = (tensor) => tensor,
  stop?: ReadonlySet<Tensor>,
): Tensor[] {
  const found = new Set<Tensor>();
  const pending = roots.map(representative);
  for (let tensor = pending.pop(); tensor; tensor = pending.pop()) {
    if (found.has(tensor)) continue;
    found.add(tensor);
    if (!stop?.has(tensor)) pending.push(...tensor.inputs.map(representative));
  }
  return [...found].sort((a, b) => a.id - b.id);
}

/** Every tensor, the bodies of loops included. */
export function everything(roots: readonly Tensor[]): Tensor[] {
  const found = new Set<Tensor>();
  const pending = [...roots];
  for (let tensor = pending.pop(); tensor; tensor = pending.pop()) {
    if (found.has(tensor)) continue;
    found.add(tensor);
    pending.push(...tensor.inputs);
    const loop = tensor.attributes.loop;
    if (loop) pending.push(...loop.next, ...loop.sequences, ...loop.stepInputs, ...loop.states);
  }
  return [...found].sort((a, b) => a.id - b.id);
}

/** What a tensor does with its inputs, a loop's body apart. */
export function describe(
  { op, shape, attributes: { variable, loop, value, ...plain } }: Tensor,
  numberOf: (variable: Variable) => number,
): string {
  // JSON knows neither infinities nor −0.
  const number = value === undefined ? "" : [value, 1 / value];
  return `${op} ${shape} ${number} ${variable && numberOf(variable)} ${JSON.stringify(plain)}`;
}

/** For each tensor the first one that computes the same from the same. */
export function mergeEqual(roots: readonly Tensor[]): Representative {
  const representatives = new Map<Tensor, Tensor>();
  const byKey = new Map<string, Tensor>();
  const variables = new Map<Variable, number>();
  const numberOf = (variable: Variable): number => kept(variables, variable, () => variables.size);
  for (const tensor of everything(roots)) {
    if (["loop", "state", "stepInput"].includes(tensor.op)) continue;
    const inputs = tensor.inputs.map((input) => (representatives.get(input) ?? input).id);
    const key = `${inputs} ${describe(tensor, numberOf)}`;
    const first = byKey.get(key);
    if (first) representatives.set(tensor, first);
    else byKey.set(key, tensor);
  }
  return (tensor) => representatives.get(tensor) ?? tensor;
}
