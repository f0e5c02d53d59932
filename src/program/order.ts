/** What is computed when, and who reads what will be written over. */
import { sizeOf } from "../graph/shape.js";
import type { Tensor } from "../graph/tensor.js";
import type { Variable } from "../graph/variable.js";
import { type Group, isAlias, tensorsOf } from "./schedule.js";
import type { Storage } from "./storage.js";

export interface Order {
  readonly groups: readonly Group[];
  /** The group that computes each tensor. */
  readonly groupOf: ReadonlyMap<Tensor, number>;
  /** Who reads the old value of each variable and state. */
  readonly readers: ReadonlyMap<Tensor | Variable, readonly Reading[]>;
}

interface Reading {
  readonly reader: Tensor;
  readonly input: Tensor;
  /** Not only a part of it. */
  readonly whole: boolean;
}

export function orderOf(tensors: readonly Tensor[], groups: readonly Group[], storage: Storage): Order {
  const groupOf = new Map<Tensor, number>();
  for (const [at, group] of groups.entries()) for (const tensor of tensorsOf(group)) groupOf.set(tensor, at);
  const readers = new Map<Tensor | Variable, Reading[]>();
  for (const reader of tensors) {
    if (isAlias(reader)) continue;
    for (const tensor of reader.inputs) {
      const input = storage.representative(tensor);
      const source = storage.sourceOf(input);
      if (source.op !== "variable" && source.op !== "state") continue;
      const old = source.attributes.variable ?? source;
      const reading = { reader, input, whole: source === input };
      const known = readers.get(old);
      if (known) known.push(reading);
      else readers.set(old, [reading]);
    }
  }
  return { groups, groupOf, readers };
}

/** Whether all readers of the old value come before `value` is written, or read each element in the chain that writes it. */
export function readBeforeWritten(old: Tensor | Variable, value: Tensor, { groups, groupOf, readers }: Order): boolean {
  const written = groupOf.get(value) ?? -1;
  return (readers.get(old) ?? []).every(({ reader, input, whole }) => {
    const at = groupOf.get(reader) ?? groups.length;
    if (at !== written) return at < written;
    return whole && groups[at]?.kind === "chain" && sizeOf(input.shape) === sizeOf(value.shape);
  });
}
