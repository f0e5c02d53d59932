/** Merging tensors that compute the same. */
import { kept } from "../../graph/maps.js";
import { reachable } from "../../graph/reachable.js";
import type { Tensor } from "../../graph/tensor.js";
import type { Variable } from "../../graph/variable.js";
import type { Representative } from "../lowering/schedule.js";

/** The tensors that `roots` need. With `stop`, the walk ends there. */
export const needed = (
  roots: readonly Tensor[],
  representative: Representative = (tensor) => tensor,
  stop?: ReadonlySet<Tensor>,
): Tensor[] =>
  reachable(roots.map(representative), (tensor) => (stop?.has(tensor) ? [] : tensor.inputs.map(representative)));

/** Every tensor, the bodies of loops included. */
export const everything = (roots: readonly Tensor[]): Tensor[] =>
  reachable(roots, ({ inputs, attributes: { loop } }) =>
    loop ? [...inputs, ...loop.next, ...loop.sequences, ...loop.stepInputs, ...loop.states] : inputs,
  );

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
