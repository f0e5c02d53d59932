/** What a computation is but for the variables that it names: two of one structure are lowered to one program, on other variables. */
import { kept } from "../graph/maps.js";
import type { Tensor } from "../graph/tensor.js";
import { type ProgramOptions, rootsOf } from "./lower.js";
import type { Program, Variable } from "./program.js";
import { describe, everything } from "./rewriting/simplify.js";

export interface Structure {
  readonly key: string;
  /** In the order in which the computation names them. */
  readonly variables: readonly Variable[];
}

/** `settings`: of the lowering, as JSON. */
export function structureOf(options: ProgramOptions, settings: unknown): Structure {
  // In the order in which they were made, as lowering takes them.
  const { results, commit = [], forEach, guards, name, keep } = options;
  const all = everything([...rootsOf(options), ...(forEach?.outputs ?? [])]);
  const tensors = new Map(all.map((tensor, i) => [tensor, i]));
  const variables = new Map<Variable, number>();
  const numbersOf = (some: readonly Tensor[] = []) => some.map((tensor) => tensors.get(tensor));
  const numberOf = (variable: Variable): number => kept(variables, variable, () => variables.size);
  const parts = all.map((tensor) => {
    const { inputs, type, scope, name, attributes } = tensor;
    const { loop } = attributes;
    const body = loop && [loop.stepInputs, loop.states, loop.next, loop.sequences].map(numbersOf);
    return [
      describe(tensor, numberOf),
      numbersOf(inputs),
      type,
      scope,
      name,
      loop && [loop.name, loop.steps, loop.reverse, body],
    ];
  });
  const assigned = [results, commit].map((list) =>
    list.map(({ variable, tensor }) => [numberOf(variable), tensors.get(tensor)]),
  );
  const each = forEach && [
    [forEach.inputs, forEach.outputs].map(numbersOf),
    forEach.members.map(({ inputs, variables }) => [numbersOf(inputs), variables.map(numberOf)]),
  ];
  const known = [...variables.keys()];
  const memory = known.map((variable) => ({ ...variable, initial: 0 }));
  return {
    key: JSON.stringify([settings, parts, assigned, each, numbersOf(guards), name, keep, memory]),
    variables: known,
  };
}

/** Programs on other variables; what was one program stays one. */
export function onVariables(
  programs: readonly Program[],
  from: readonly Variable[],
  to: readonly Variable[],
): readonly Program[] {
  const places = new Map(from.map((variable, i) => [variable, to[i]!]));
  const made = new Map<Program, Program>();
  return programs.map((program) =>
    kept(made, program, () => ({
      ...program,
      buffers: program.buffers.map((buffer) =>
        buffer.variable ? { ...buffer, variable: places.get(buffer.variable)! } : buffer,
      ),
    })),
  );
}
