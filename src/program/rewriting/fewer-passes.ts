/**
 * The same values in fewer passes over memory: rewritings of the graph ahead of `lower`.
 *
 *   slices of a fused sum     slice(a + b) = slice(a) + slice(b): the gates of a cell are read from the product itself, and
 *                             their sum is never stored
 *   repeated constants        are constants: nothing is stored
 *   biases of a step          (x + b) + (y + c) = x + y + (b + c): what does not change with time is added ahead of the loop
 */
import { concatStart, slice } from "../../graph/ops/matrix.js";
import { isPointwise } from "../../graph/pointwise.js";
import { columnsOf, rowsOf, sameShape, withColumns } from "../../graph/shape.js";
import { constant, inScopeOf, Tensor } from "../../graph/tensor.js";
import { type Anatomy, anatomyOf, type Replacement, rebuild } from "./rebuild.js";

/** What to compute in the place of each root. */
export function fewerPasses(roots: readonly Tensor[]): (root: Tensor) => Tensor {
  const anatomy = anatomyOf(roots);
  const slices = slicesOfSums(anatomy);
  const sliced = slices ? rebuild(anatomy, slices) : (root: Tensor): Tensor => root;
  const after = slices ? anatomyOf(roots.map(sliced)) : anatomy;
  const summed = rebuild(after, sumsOfBiases(after));
  return (root) => summed(sliced(root));
}

type Range = readonly [start: number, size: number];

/** Pushes slices through pointwise tensors that nothing reads as a whole; undefined where there are none. */
function slicesOfSums({ tensors, readers, held }: Anatomy): Replacement | undefined {
  const isComputed = (tensor: Tensor): boolean => isPointwise(tensor.op) || tensor.op === "expand";
  const rangeOf = ({ attributes }: Tensor): Range => [attributes.start!, attributes.size!];
  /** Pointwise tensors that are computed in parts, and those parts. */
  const parted = new Map<Tensor, readonly Range[]>();
  for (const tensor of [...tensors].reverse()) {
    const users = readers.get(tensor) ?? [];
    if (!isComputed(tensor) || held.has(tensor) || users.length === 0) continue;
    if (tensor.inputs.some((input) => input.op === "random" && columnsOf(input.shape) > 1)) continue;
    const ranges = users.map((user): readonly Range[] | undefined => {
      if (user.op === "slice") return [rangeOf(user)];
      return columnsOf(user.shape) === columnsOf(tensor.shape) ? parted.get(user) : undefined;
    });
    // A slice that only products read is as well read where it lies.
    const worthIt = users.some(
      (user) => parted.has(user) || held.has(user) || readers.get(user)!.some((reader) => isComputed(reader)),
    );
    if (!worthIt || !ranges.every((range) => range !== undefined)) continue;
    const apart = distinct(ranges.flat());
    if (apart) parted.set(tensor, apart);
  }

  if (parted.size === 0) return undefined;

  const parts = new Map<string, Tensor>();
  return (tensor, of) => {
    if (tensor.op !== "slice" || !parted.has(tensor.inputs[0]!)) return undefined;
    const part = (whole: Tensor, [start, size]: Range): Tensor => {
      if (columnsOf(whole.shape) === 1) return of(whole);
      if (!parted.has(whole)) return sliceOf(of(whole), [start, size]);
      const key = `${whole.id} ${start} ${size}`;
      const known = parts.get(key);
      if (known) return known;
      const inputs = whole.inputs.map((input) => part(input, [start, size]));
      const shape = withColumns(whole.shape, size);
      const attributes = whole.op === "expand" ? { shape } : whole.attributes;
      const made = inScopeOf(whole, () => new Tensor(whole.op, inputs, shape, attributes));
      made.name = whole.name;
      parts.set(key, made);
      return made;
    };
    const made = part(tensor.inputs[0]!, rangeOf(tensor));
    made.name = tensor.name ?? made.name;
    return made;
  };
}

/** The ranges without repetition; undefined where two of them overlap. */
function distinct(ranges: readonly Range[]): readonly Range[] | undefined {
  const apart = ranges
    .filter(([start, size], i) => ranges.findIndex(([s, n]) => s === start && n === size) === i)
    .sort(([a], [b]) => a - b);
  return apart.every(([start], i) => i === 0 || apart[i - 1]![0] + apart[i - 1]![1] <= start) ? apart : undefined;
}

/** Columns of a tensor, named as directly as they can be. */
function sliceOf(tensor: Tensor, [start, size]: Range): Tensor {
  if (tensor.op === "constant") return constant(tensor.attributes.value!, withColumns(tensor.shape, size));
  if (tensor.op === "slice") return sliceOf(tensor.inputs[0]!, [tensor.attributes.start! + start, size]);
  if (tensor.op === "concat") {
    const i = tensor.inputs.findLastIndex((_, part) => concatStart(tensor.inputs, part) <= start);
    const [part, from] = [tensor.inputs[i]!, start - concatStart(tensor.inputs, i)];
    if (from + size <= columnsOf(part.shape)) return sliceOf(part, [from, size]);
  }
  return slice(tensor, start, size);
}

/** Sums, ahead of a loop, the single rows that its step adds to one another's sums; makes constants of repeated ones. */
function sumsOfBiases({ readers, held, varying }: Anatomy): Replacement {
  const isSum = (tensor: Tensor): boolean => tensor.op === "add" && varying.has(tensor);
  /** Part of a larger sum, and of nothing else. */
  const isInner = (tensor: Tensor): boolean => {
    const users = readers.get(tensor) ?? [];
    return (
      isSum(tensor) &&
      !held.has(tensor) &&
      users.length === 1 &&
      isSum(users[0]!) &&
      users[0]!.inputs.filter((input) => input === tensor).length === 1 &&
      sameShape(users[0]!.shape, tensor.shape)
    );
  };
  const terms = (sum: Tensor): Tensor[] => sum.inputs.flatMap((input) => (isInner(input) ? terms(input) : [input]));
  return (tensor, of) => {
    if (tensor.op === "expand" && of(tensor.inputs[0]!).op === "constant")
      return constant(of(tensor.inputs[0]!).attributes.value!, tensor.shape);
    if (!isSum(tensor) || isInner(tensor)) return undefined;
    const all = terms(tensor);
    const isBias = (term: Tensor): boolean => !varying.has(term) && rowsOf(term.shape) === 1 && term.op !== "constant";
    const biases = all.filter(isBias).map(of);
    if (biases.length < 2) return undefined;
    return inScopeOf(tensor, () => {
      const bias = biases.reduce((sum, next) => sum.add(next));
      const rest = all.filter((term) => !isBias(term)).map(of);
      const made = rest.reduce((sum, next) => sum.add(next)).add(bias);
      made.name ??= tensor.name;
      return made;
    });
  };
}
