/**
 * Before, inside, after: which tensors of a loop's body must stay in the loop.
 *
 *   before  does not depend on the state (x·W_ih): runs once over all T·N rows, ahead of the loop
 *   inside  lies on the way from the previous state to the next (h·W_hh, gates): stays
 *   after   hangs off that way (outputs; in a backward loop every dW): runs once over all T·N rows, behind the loop
 *
 * Only costly ops leave, with what they need: a cheap pointwise op fuses with its neighbours in the loop, where its
 * operands are at hand.
 */
import { opTable } from "./ops/table.js";
import { reachable } from "./reachable.js";
import { rowsOf } from "./shape.js";
import type { Tensor } from "./tensor.js";

export interface Partition {
  readonly before: ReadonlySet<Tensor>;
  readonly inside: ReadonlySet<Tensor>;
  readonly after: ReadonlySet<Tensor>;
}

/**
 * What changes with `placeholders` of all that `results` need, in topological order: the tensors of a loop's body that change with
 * time, those that a gradient goes through. The inputs of `leaves` are not followed. Graphs may be deeper than the stack.
 */
export function varyingTensors(
  placeholders: ReadonlySet<Tensor>,
  results: readonly Tensor[],
  leaves?: ReadonlySet<Tensor>,
): Tensor[] {
  // A tensor is made after its inputs: what is older than all placeholders depends on none.
  let first = Infinity;
  for (const { id } of placeholders) first = Math.min(first, id);
  const inputsOf = (node: Tensor): readonly Tensor[] => (leaves?.has(node) || node.id < first ? [] : node.inputs);
  const varying = new Set<Tensor>();
  for (const node of reachable(results, inputsOf))
    if (placeholders.has(node) || inputsOf(node).some((input) => varying.has(input))) varying.add(node);
  return [...varying];
}

export interface PartitionOptions {
  readonly stepInputs: ReadonlySet<Tensor>;
  readonly states: readonly Tensor[];
  readonly next: readonly Tensor[];
  /** Body tensors whose values at every t are wanted outside. */
  readonly exposed: readonly Tensor[];
}

export function partition({ stepInputs, states, next, exposed }: PartitionOptions): Partition {
  const placeholders = new Set([...stepInputs, ...states]);
  const nodes = varyingTensors(placeholders, [...next, ...exposed]);
  const varying = new Set(nodes);
  const rows = rowsOf((states[0] ?? [...stepInputs][0])!.shape);
  const own = nodes.filter((node) => !placeholders.has(node));
  const varyingInputs = (node: Tensor): Tensor[] => node.inputs.filter((input) => varying.has(input));
  const consumers = new Map<Tensor, Tensor[]>(nodes.map((node) => [node, []]));
  for (const node of own) for (const input of varyingInputs(node)) consumers.get(input)!.push(node);

  const leavable = (node: Tensor): boolean =>
    opTable[node.op].rowwise &&
    rowsOf(node.shape) === rows &&
    varyingInputs(node).every((input) => rowsOf(input.shape) === rows) &&
    freeOfWeights(node, varying);

  // before: forward for what could leave, backward for what does
  const early = new Set<Tensor>();
  for (const node of own)
    if (leavable(node) && varyingInputs(node).every((input) => stepInputs.has(input) || early.has(input)))
      early.add(node);
  const before = new Set<Tensor>();
  for (const node of [...own].reverse()) {
    const alone = exposed.includes(node) && consumers.get(node)!.length === 0;
    const needed = consumers.get(node)!.some((consumer) => before.has(consumer));
    if (early.has(node) && (needed || alone || !opTable[node.op].cheap)) before.add(node);
  }

  // after: backward for what could leave, forward for what does
  const reaches = new Set<Tensor>(next);
  const late = new Set<Tensor>();
  for (const node of [...own].reverse()) {
    if (consumers.get(node)!.some((consumer) => reaches.has(consumer))) reaches.add(node);
    if (
      !reaches.has(node) &&
      !before.has(node) &&
      leavable(node) &&
      consumers.get(node)!.every((consumer) => late.has(consumer))
    )
      late.add(node);
  }
  const after = new Set<Tensor>();
  for (const node of own)
    if (late.has(node) && (!opTable[node.op].cheap || varyingInputs(node).some((input) => after.has(input))))
      after.add(node);

  return { before, after, inside: new Set(own.filter((node) => !before.has(node) && !after.has(node))) };
}

/** A product with weights, a lookup in a table: their second (first) operand must not change with time, and class targets must. */
function freeOfWeights(node: Tensor, varying: ReadonlySet<Tensor>): boolean {
  const [a, b, , weights] = node.inputs;
  switch (node.op) {
    case "matmul":
      return !node.attributes.transposeA && !varying.has(b!);
    case "gather":
      return !varying.has(a!);
    case "crossEntropy":
      return varying.has(a!) && varying.has(b!) && !(node.inputs[2] && varying.has(node.inputs[2]));
    case "crossEntropyGradient":
      return varying.has(a!) && varying.has(b!) && !(weights && varying.has(weights));
    default:
      return true;
  }
}
