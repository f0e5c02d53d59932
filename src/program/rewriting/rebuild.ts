/** Making a graph again with some of its tensors replaced, and what such replacements ask about it. */
import { listed } from "../../graph/maps.js";
import { varyingTensors } from "../../graph/partition.js";
import { reachable } from "../../graph/reachable.js";
import { type LoopBody, onInputs, type Tensor } from "../../graph/tensor.js";

/** Who reads what in a graph, the bodies of its loops included. */
export interface Anatomy {
  /** Tensors outside of loops, in topological order. */
  readonly outer: readonly Tensor[];
  /** Loops with the tensors of their bodies that change with time, and those of them whose values over time are read. */
  readonly loops: ReadonlyMap<Tensor, { readonly body: readonly Tensor[]; readonly used: readonly Tensor[] }>;
  /** All, in topological order. */
  readonly tensors: readonly Tensor[];
  readonly readers: ReadonlyMap<Tensor, readonly Tensor[]>;
  /** Wanted for themselves: roots, next states, and body tensors whose values over time are used. */
  readonly held: ReadonlySet<Tensor>;
  /** Body tensors that change with time, of all loops. */
  readonly varying: ReadonlySet<Tensor>;
}

/** The sequences of each loop that are read. */
function usedSequences(tensors: readonly Tensor[]): Map<Tensor, Tensor[]> {
  const used = new Map<Tensor, Tensor[]>();
  for (const { op, inputs, attributes } of tensors) {
    if (op !== "loopOutput" || attributes.output!.kind !== "sequence") continue;
    const loop = inputs[0]!;
    listed(used, loop, loop.attributes.loop!.sequences[attributes.output!.index]!);
  }
  return used;
}

export function anatomyOf(roots: readonly Tensor[]): Anatomy {
  const outer = reachable(roots);
  const sequences = usedSequences(outer);
  const readers = new Map<Tensor, Tensor[]>();
  const held = new Set(roots);
  const varying = new Set<Tensor>();
  const tensors: Tensor[] = [];
  const loops = new Map<Tensor, { readonly body: readonly Tensor[]; readonly used: readonly Tensor[] }>();
  for (const tensor of outer) {
    const loop = tensor.attributes.loop;
    if (loop) {
      const used = sequences.get(tensor) ?? [];
      const results = [...loop.next, ...used];
      const body = varyingTensors(new Set([...loop.stepInputs, ...loop.states]), results);
      loops.set(tensor, { body, used });
      for (const inner of body) varying.add(inner);
      for (const result of results) held.add(result);
      tensors.push(...body);
    }
    tensors.push(tensor);
  }
  for (const tensor of tensors) for (const input of new Set(tensor.inputs)) listed(readers, input, tensor);
  return { outer, loops, tensors, readers, held, varying };
}

/** What stands for `tensor`; `of` gives what stands for its inputs. Undefined: the same op on those. */
export type Replacement = (tensor: Tensor, of: (tensor: Tensor) => Tensor) => Tensor | undefined;

/** Makes a graph again, by `replacement`; gives what stands for each tensor. */
export function rebuild({ outer, loops }: Anatomy, replacement: Replacement): (tensor: Tensor) => Tensor {
  const known = new Map<Tensor, Tensor>();
  const of = (tensor: Tensor): Tensor => known.get(tensor) ?? tensor;
  for (const tensor of outer) {
    const { loop } = tensor.attributes;
    const made = replacement(tensor, of) ?? (loop ? rebuiltLoop(tensor, loop) : again(tensor));
    if (made !== tensor) known.set(tensor, made);
  }
  return of;

  /** The same op on what stands for the inputs. */
  function again(tensor: Tensor, attributes = tensor.attributes, given?: readonly Tensor[]): Tensor {
    if (attributes === tensor.attributes && tensor.inputs.every((input) => !known.has(input))) return tensor;
    return onInputs(tensor, given ?? tensor.inputs.map(of), attributes);
  }

  function rebuiltLoop(node: Tensor, loop: LoopBody): Tensor {
    const { stepInputs, states } = loop;
    const { body, used } = loops.get(node)!;
    const placeholders = new Set([...stepInputs, ...states]);
    for (const tensor of body) {
      const made = placeholders.has(tensor) ? tensor : (replacement(tensor, of) ?? again(tensor));
      if (made !== tensor) known.set(tensor, made);
    }
    const next = loop.next.map(of);
    if ([...loop.next, ...used].every((tensor) => of(tensor) === tensor)) return again(node);
    const varying = new Set(varyingTensors(placeholders, [...next, ...used.map(of)]));
    const captured = new Set(
      [...varying, ...next.filter((tensor) => !varying.has(tensor))].flatMap((tensor) =>
        varying.has(tensor) ? tensor.inputs.filter((input) => !varying.has(input)) : [tensor],
      ),
    );
    const outside = node.inputs.slice(0, placeholders.size).map(of);
    return again(node, { loop: { ...loop, next, sequences: loop.sequences.map(of), captured: [...captured] } }, [
      ...outside,
      ...captured,
    ]);
  }
}
