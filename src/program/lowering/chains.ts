/** Fused chains: straight-line programs for one element, out of pointwise tensors. */
import { kept } from "../../graph/maps.js";
import { isPointwise } from "../../graph/pointwise.js";
import type { Tensor } from "../../graph/tensor.js";
import type { Chain, Instruction, Kernel, View } from "../program.js";
import { viewKey } from "../views.js";
import { isLeaf, type Representative } from "./schedule.js";

/** What a chain needs to know of where values lie. */
interface Places {
  readonly representative: Representative;
  view(tensor: Tensor): View;
  isSettled(tensor: Tensor): boolean;
  isVariable(view: View): boolean;
}

interface ChainOptions {
  readonly rows: number;
  readonly columns: number;
  /** Tensors computed in the chain; all others are loaded. */
  readonly own: ReadonlySet<Tensor>;
  /** Those of them that are written. */
  readonly stored: readonly Tensor[];
  /** Those whose denormal values are written as 0. */
  readonly flushed: ReadonlySet<Tensor>;
}

/** A value's number among the loads, or among the instructions. */
interface Position {
  readonly load?: number;
  readonly code?: number;
}

/** A fused chain. */
export function fusedChain(places: Places, { rows, columns, own, stored, flushed }: ChainOptions): Kernel & Chain {
  const loads: View[] = [];
  const loadOf = new Map<string, number>();
  const pending: (() => Instruction)[] = [];
  const positions = new Map<Tensor, Position>();
  const placed = (tensor: Tensor): Position => {
    if (own.has(tensor) && tensor.op === "expand") return place(tensor.inputs[0]!);
    if (own.has(tensor) || (isLeaf(tensor) && !places.isSettled(tensor))) {
      const args = (tensor.op === "random" ? tensor.inputs.slice(0, 1) : tensor.inputs).map(place);
      return { code: pending.push(() => instruction(tensor, args.map(numberOf))) - 1 };
    }
    const view = places.view(tensor);
    return { load: kept(loadOf, viewKey(view), () => loads.push(view) - 1) };
  };
  const place = (input: Tensor): Position => {
    const tensor = places.representative(input);
    return kept(positions, tensor, () => placed(tensor));
  };
  /** Once all loads are known. */
  const numberOf = ({ load, code = 0 }: Position): number => load ?? loads.length + code;
  const results = stored.map((tensor) => ({ position: place(tensor), tensor }));
  const code = pending.map((make) => make());
  const names = stored.map((tensor) => tensor.name ?? tensor.op);
  return {
    kind: "chain",
    rows,
    columns,
    loads,
    code,
    stores: results.map(({ position, tensor }) => ({
      value: numberOf(position),
      to: places.view(tensor),
      flush: flushed.has(tensor) || places.isVariable(places.view(tensor)),
    })),
    label: [stored[0]?.scope, names.join(" ")].filter(Boolean).join(": "),
  };
}

/** A chain that copies a tensor, or writes out a constant or random numbers. */
export function copyChain(places: Places, tensor: Tensor, to: View, label: string, flush = false): Kernel & Chain {
  const base = { kind: "chain", rows: to.rows, columns: to.columns, label } as const;
  const store = (value: number): Chain["stores"] => [{ value, to, flush }];
  if (tensor.op === "constant") return { ...base, loads: [], code: [instruction(tensor, [])], stores: store(0) };
  if (tensor.op === "random") {
    const seed = places.view(places.representative(tensor.inputs[0]!));
    return { ...base, loads: [seed], code: [instruction(tensor, [0])], stores: store(1) };
  }
  return moveChain(places.view(tensor), to, label, flush);
}

/** A chain that copies from view to view. */
export const moveChain = (from: View, to: View, label: string, flush = false): Kernel & Chain => ({
  kind: "chain",
  rows: to.rows,
  columns: to.columns,
  loads: [from],
  code: [],
  stores: [{ value: 0, to, flush }],
  label,
});

/** A chain's instruction for a pointwise tensor, on numbered arguments. */
function instruction(tensor: Tensor, args: readonly number[]): Instruction {
  if (tensor.op === "constant") return { op: "constant", value: tensor.attributes.value! };
  if (tensor.op === "random") {
    const { key, batch } = tensor.attributes;
    return { op: "random", key: key!, seed: args[0]!, ...(batch ? { batch } : {}) };
  }
  if (isPointwise(tensor.op)) return { op: tensor.op, args };
  throw new Error(`${tensor.label}: ${tensor.op} is not pointwise`);
}
