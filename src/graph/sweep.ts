/**
 * The reverse sweep: backpropagation over a graph. Tensors are visited from the last to the first; each passes the
 * gradient it has gathered to its inputs by its op's derivative. Where a value is used several times, its gradients add.
 */

import { concat, sumTo } from "./ops/matrix.js";
import { opTable } from "./ops/table.js";
import { varyingTensors } from "./partition.js";
import { columnsOf, withColumns } from "./shape.js";
import { constant, type Tensor } from "./tensor.js";

/** What has come together for one tensor: gradients of the whole, and of ranges of its columns (from slices). */
interface Contribution {
  whole: Tensor | undefined;
  readonly columns: { readonly start: number; readonly size: number; readonly dy: Tensor }[];
}

export interface SweepOptions {
  /** Pairs of a tensor and the gradient of the loss with respect to it. */
  readonly seeds: readonly (readonly [Tensor, Tensor])[];
  readonly wrt: readonly Tensor[];
  /** Tensors whose own inputs are not followed: what a loop's body takes from outside. */
  readonly leaves?: ReadonlySet<Tensor>;
  /** How the backward pass gets at a forward value; by default the tensor itself. */
  readonly value?: (tensor: Tensor) => Tensor;
}

/** The gradient of Σ seeds with respect to each tensor of `wrt`; undefined for one that has no influence. */
export function sweep({ seeds, wrt, leaves, value = (tensor) => tensor }: SweepOptions): (Tensor | undefined)[] {
  /** On a path from `wrt` to the seeds, with loops standing before their outputs. */
  const ordered = varyingTensors(
    new Set(wrt),
    seeds.map(([tensor]) => tensor),
    leaves,
  );
  const order = new Set(ordered);
  const contributions = new Map<Tensor, Contribution>();
  const contributionOf = (tensor: Tensor): Contribution => {
    const found = contributions.get(tensor) ?? { whole: undefined, columns: [] };
    contributions.set(tensor, found);
    return found;
  };
  const contribute = (tensor: Tensor, dy: Tensor): void => {
    const contribution = contributionOf(tensor);
    contribution.whole = contribution.whole ? contribution.whole.add(dy) : dy;
  };
  for (const [tensor, dy] of seeds) if (order.has(tensor)) contribute(tensor, dy);

  const last = ordered.at(-1)?.id ?? 0;
  const isNew = (tensor: Tensor): boolean => tensor.id > last;
  for (const node of ordered.reverse()) {
    if (node.op === "loop") backThroughLoop(node, order, contributions, contribute);
    const contribution = contributions.get(node);
    if (!contribution || node.op === "loopOutput") continue; // a loop's outputs are gathered by the loop, which comes later
    const dy = together(node, contribution);
    contribution.whole = dy;
    contribution.columns.length = 0;
    if (dy && node.name && dy.op !== "constant" && isNew(dy)) dy.name ??= `d${node.name}`;
    if (dy && !leaves?.has(node)) backThroughOp(node, dy, order, value, contribute, contributionOf);
  }
  return wrt.map((tensor) => {
    const contribution = contributions.get(tensor);
    return contribution && together(tensor, contribution);
  });
}

function backThroughOp(
  node: Tensor,
  dy: Tensor,
  order: ReadonlySet<Tensor>,
  value: (tensor: Tensor) => Tensor,
  contribute: (tensor: Tensor, dy: Tensor) => void,
  contributionOf: (tensor: Tensor) => Contribution,
): void {
  if (node.op === "slice") {
    const { start, size } = node.attributes;
    if (order.has(node.inputs[0]!)) contributionOf(node.inputs[0]!).columns.push({ start: start!, size: size!, dy });
    return;
  }
  const { derivative } = opTable[node.op];
  const context = { dy, node, x: (i: number) => value(node.inputs[i]!), y: () => value(node) };
  node.inputs.forEach((input, i) => {
    const rule = typeof derivative === "function" ? derivative : derivative?.[i];
    if (!rule || !order.has(input)) return;
    const dx = rule(context, i);
    contribute(input, sumTo(dx, input.shape)); // undoes repetition, and brings matrices back to the input's own dimensions
  });
}

function backThroughLoop(
  node: Tensor,
  order: ReadonlySet<Tensor>,
  contributions: ReadonlyMap<Tensor, Contribution>,
  contribute: (tensor: Tensor, dy: Tensor) => void,
): void {
  const loop = node.attributes.loop!;
  const sequences = new Map<number, Tensor>();
  const finals = new Map<number, Tensor>();
  for (const output of order) {
    if (output.op !== "loopOutput" || output.inputs[0] !== node) continue;
    const contribution = contributions.get(output);
    const dy = contribution && together(output, contribution);
    const { kind, index } = output.attributes.output!;
    if (dy) (kind === "final" ? finals : sequences).set(index, dy);
  }
  const gradients = loop.derivative({ sequences, finals, needed: (i) => order.has(node.inputs[i]!) });
  gradients.forEach((dx, i) => {
    if (dx) contribute(node.inputs[i]!, dx);
  });
}

/** One gradient from all contributions: slices of the columns are laid side by side, with zeros where none came. */
function together(node: Tensor, { whole, columns }: Contribution): Tensor | undefined {
  let sum = whole;
  let rest = [...columns].sort((a, b) => a.start - b.start);
  while (rest.length > 0) {
    const parts: Tensor[] = [];
    const overlapping: typeof rest = [];
    let end = 0;
    const zeros = (size: number): Tensor => constant(0, withColumns(node.shape, size));
    for (const part of rest) {
      if (part.start < end) {
        overlapping.push(part);
        continue;
      }
      if (part.start > end) parts.push(zeros(part.start - end));
      parts.push(part.dy);
      end = part.start + part.size;
    }
    if (end < columnsOf(node.shape)) parts.push(zeros(columnsOf(node.shape) - end));
    const dy = concat(parts);
    sum = sum ? sum.add(dy) : dy;
    rest = overlapping;
  }
  return sum;
}

/** d loss / d each of `wrt`, for a loss [1] (of more numbers: d of their sum); zeros for a tensor that has no influence. */
export function gradients(loss: Tensor, wrt: readonly Tensor[]): Tensor[] {
  return sweep({ seeds: [[loss, constant(1, loss.shape)]], wrt }).map((dy, i) => dy ?? constant(0, wrt[i]!.shape));
}
