/**
 * Whether a model may be gone through in segments: only recurrent states carry anything from one time step to another. Seen from
 * the graph, whatever the layers are. Every tensor is one of
 *
 *   same   does not change with time: weights, constants
 *   timed  a value for each step, which depends on that step and on states
 *   end    follows from the last step and the final states
 */
import { UserError } from "../errors.js";
import { opTable } from "../graph/ops/table.js";
import { rowsOf } from "../graph/shape.js";
import type { Tensor } from "../graph/tensor.js";

type Kind = "same" | "timed" | "end";

export interface Segmentable {
  readonly output: Tensor;
  /** Input and mask, [S, N, ·]. */
  readonly sequences: readonly Tensor[];
  /** The states that the segment starts from, and those it ends with, by name. */
  readonly starts: ReadonlyMap<string, Tensor>;
  readonly finals: ReadonlyMap<string, Tensor>;
}

/**
 * Whether the output is "timed", a prediction for each step, or follows from the "end".
 * @throws UserError naming the layer that lets steps see one another otherwise
 */
export function checkCausal({ output, sequences, starts, finals }: Segmentable): "timed" | "end" {
  const rows = rowsOf(sequences[0]!.shape);
  const steps = sequences[0]!.shape[0]!;
  const names = new Map([...starts].map(([name, tensor]) => [tensor, name]));
  const known = new Map<Tensor, Kind>(sequences.map((tensor) => [tensor, "timed"]));

  const kindOf = (tensor: Tensor): Kind => {
    const before = known.get(tensor);
    if (before) return before;
    if (names.has(tensor)) throw refusal(tensor, `reads the state "${names.get(tensor)}" outside of its time loop`);
    const kind = tensor.op === "loop" ? loopKind(tensor) : opKind(tensor);
    known.set(tensor, kind);
    return kind;
  };

  const loopKind = (node: Tensor): Kind => {
    const { stepInputs, states, reverse } = node.attributes.loop!;
    const initial = node.inputs.slice(stepInputs.length, stepInputs.length + states.length);
    const others = [
      ...node.inputs.slice(0, stepInputs.length),
      ...node.inputs.slice(stepInputs.length + states.length),
    ];
    const kinds = others.map(kindOf);
    const carried = initial.map((tensor) => names.get(tensor));
    if (!kinds.includes("timed") && carried.every((name) => name === undefined)) {
      const all = [...kinds, ...initial.map(kindOf)];
      return all.includes("timed")
        ? refuse(node, "starts a loop from values of every step")
        : all.includes("end")
          ? "end"
          : "same";
    }
    if (reverse) throw refusal(node, "runs from the last step to the first");
    if (kinds.slice(stepInputs.length).some((kind) => kind !== "same") || kinds.includes("end"))
      throw refusal(node, "looks at other steps from within its time loop");
    carried.forEach((name, index) => {
      const final = name === undefined ? undefined : finals.get(name);
      const { output: place } = final?.attributes ?? {};
      if (final?.inputs[0] !== node || place?.kind !== "final" || place.index !== index)
        throw refusal(node, "has a time loop whose state is not handed on");
    });
    return "timed";
  };

  const opKind = (tensor: Tensor): Kind => {
    const { op, inputs, shape, attributes } = tensor;
    if (op === "variable" && shape.length === 3 && shape[0] === steps)
      throw refusal(tensor, `holds numbers of its own for each step ("${tensor.name}")`);
    const kinds = inputs.map(kindOf);
    if (op === "loopOutput" && kinds[0] === "timed") return attributes.output!.kind === "final" ? "end" : "timed";
    if (!kinds.includes("timed")) return kinds.includes("end") ? "end" : "same";
    if (kinds.includes("end")) throw refusal(tensor, "brings the last step to every other");
    if (op === "sliceRows" && attributes.start === steps - 1 && attributes.size === 1 && shape.length === 3)
      return "end";
    const sequential = opTable[op].rowwise || op === "reshape";
    const fits =
      rowsOf(shape) === rows && inputs.every((input, i) => kinds[i] === "same" || rowsOf(input.shape) === rows);
    const crossed =
      (op === "matmul" && (attributes.transposeA || kinds[1] !== "same")) || (op === "gather" && kinds[0] !== "same");
    if (!sequential || !fits || crossed) throw refusal(tensor, `takes the steps together (${op})`);
    return "timed";
  };

  for (const final of finals.values()) kindOf(final);
  return kindOf(output) === "end" ? "end" : "timed";
}

const refusal = (tensor: Tensor, why: string): UserError =>
  new UserError(
    `bptt.recompute: ${tensor.scope || "the model"} ${why}, so that a window cannot be gone through in segments; only recurrent states may lead from one step to the next`,
  );

const refuse = (tensor: Tensor, why: string): never => {
  throw refusal(tensor, why);
};
