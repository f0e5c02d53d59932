/** What is computed when, and who reads what will be written over. */
import { listed } from "../../graph/maps.js";
import { sizeOf } from "../../graph/shape.js";
import type { Tensor } from "../../graph/tensor.js";
import type { Variable } from "../../graph/variable.js";
import { type Group, isAlias, tensorsOf } from "./schedule.js";
import type { Storage } from "./storage.js";

export interface Order {
  readonly groups: readonly Group[];
  /** The group that computes each tensor. */
  readonly groupOf: ReadonlyMap<Tensor, number>;
  /** The group that first writes into a tensor's home: the parts of a concatenation are computed in it. */
  writtenAt(tensor: Tensor): number;
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
      listed(readers, old, { reader, input, whole: source === input });
    }
  }
  const writtenAt = (tensor: Tensor): number => {
    const own = groupOf.get(tensor) ?? -1;
    if (tensor.op !== "concat") return own;
    const parts = tensor.inputs.map(storage.representative).filter((part) => groupOf.has(part));
    return Math.min(own, ...parts.map(writtenAt));
  };
  return { groups, groupOf, writtenAt, readers };
}

/** Whether all readers of the old value come before `value` is written, or read each element in the chain that writes it. */
export function readBeforeWritten(old: Tensor | Variable, value: Tensor, order: Order): boolean {
  const { groups, groupOf, readers } = order;
  const written = order.writtenAt(value);
  return (readers.get(old) ?? []).every(({ reader, input, whole }) => {
    const at = groupOf.get(reader) ?? groups.length;
    if (at !== written || value.op === "concat") return at < written;
    return whole && groups[at]?.kind === "chain" && sizeOf(input.shape) === sizeOf(value.shape);
  });
}
