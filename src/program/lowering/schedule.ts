/**
 * Which tensors are computed together, and in which order. Pointwise tensors over the same rows × columns join into fused
 * chains; every costlier op is a statement of its own. Tensors that only name a part of another (slices, reshapes, the
 * results of a loop) compute nothing.
 */
import { isPointwise } from "../../graph/pointwise.js";
import { columnsOf, rowsOf } from "../../graph/shape.js";
import type { Tensor } from "../../graph/tensor.js";

/** A fused chain of tensors, or one op by itself. */
export type Group =
  | { readonly kind: "chain"; readonly rows: number; readonly columns: number; readonly tensors: Tensor[] }
  | { readonly kind: "single"; readonly tensor: Tensor };

export const tensorsOf = (group: Group): readonly Tensor[] => (group.kind === "chain" ? group.tensors : [group.tensor]);

/** Loads and stores in a chain: more than this would spill more than it saves. */
const largestChain = 24;

/** Names a part of its first input. */
export const isPartOfInput = (tensor: Tensor): boolean =>
  ["slice", "reshape", "sliceRows", "stopGradient"].includes(tensor.op);
/** Names a part of its first input, or memory that something else has filled. */
export const isAlias = (tensor: Tensor): boolean =>
  isPartOfInput(tensor) || ["loopOutput", "stepInput", "state", "variable"].includes(tensor.op);
/** Part of a fused chain. */
export const isChained = (tensor: Tensor): boolean =>
  isPointwise(tensor.op) || tensor.op === "expand" || isLeaf(tensor);
/** Computed anew in each chain that uses it instead of being stored. */
export const isLeaf = (tensor: Tensor): boolean => tensor.op === "constant" || tensor.op === "random";

export type Representative = (tensor: Tensor) => Tensor;

/**
 * Groups `tensors` (in topological order, without repetition). `absorbed` ones are computed inside their only user;
 * no chain holds both tensors that are `apart` and others.
 */
export function schedule(
  tensors: readonly Tensor[],
  representative: Representative,
  absorbed: ReadonlySet<Tensor>,
  apart: ReadonlySet<Tensor> = new Set(),
): Group[] {
  const groups: Group[] = [];
  const groupOf = new Map<Tensor, number>();
  const sizes: Set<Tensor>[] = [];
  const periods: Set<number>[] = [];

  /** The first group that may hold a user of `input`. */
  const earliest = (input: Tensor): number => {
    const at = groupOf.get(input);
    if (at !== undefined) return groups[at]!.kind === "chain" ? at : at + 1;
    if (absorbed.has(input)) return Math.max(0, ...input.inputs.map((x) => earliest(representative(x))));
    if (isLeaf(input) || input.op === "variable") return 0;
    return isAlias(input) ? afterAll(input) : 0;
  };
  const afterAll = (alias: Tensor): number =>
    Math.max(
      0,
      ...alias.inputs.map((x) => {
        const source = representative(x);
        const at = groupOf.get(source);
        return at !== undefined ? at + 1 : isAlias(source) ? afterAll(source) : 0;
      }),
    );

  for (const tensor of tensors) {
    if (isAlias(tensor) || absorbed.has(tensor) || isLeaf(tensor)) continue;
    const inputs = tensor.inputs.map(representative);
    if (!isChained(tensor)) {
      groupOf.set(tensor, groups.push({ kind: "single", tensor }) - 1);
      sizes.push(new Set());
      periods.push(new Set());
      continue;
    }
    const [rows, columns] = [rowsOf(tensor.shape), columnsOf(tensor.shape)];
    const first = Math.max(0, ...inputs.map(earliest));
    const own = inputs.map((input) => rowsOf(input.shape)).filter((period) => period !== 1 && period !== rows);
    let at = first;
    for (; at < groups.length; at++) {
      const group = groups[at]!;
      if (group.kind !== "chain" || group.rows !== rows || group.columns !== columns) continue;
      if (group.tensors.some((other) => apart.has(other) !== apart.has(tensor))) continue;
      if (group.tensors.length > 0 && sizes[at]!.size + inputs.length + 1 > largestChain) continue;
      // A chain's loads may repeat with one period only (beside single rows).
      if (new Set([...periods[at]!, ...own]).size <= 1) break;
    }
    if (at === groups.length) {
      groups.push({ kind: "chain", rows, columns, tensors: [] });
      sizes.push(new Set());
      periods.push(new Set());
    }
    const group = groups[at]!;
    if (group.kind === "chain") group.tensors.push(tensor);
    for (const input of inputs) if (groupOf.get(input) !== at && !isLeaf(input)) sizes[at]!.add(input);
    for (const period of own) periods[at]!.add(period);
    groupOf.set(tensor, at);
  }
  return groups;
}
