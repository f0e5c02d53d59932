/** What a computation is but for the variables that it names: two of one structure are lowered to one program, on other variables. */
import { kept } from "../graph/maps.js";
import type { Tensor } from "../graph/tensor.js";
import { type ProgramOptions, rootsOf } from "./lower.js";
import type { Program, Variable } from "./program.js";
import { everything, written } from "./rewriting/simplify.js";

export interface Structure {
  readonly key: string;
  /** In the order in which the computation names them. */
  readonly variables: readonly Variable[];
}

export function structureOf(options: ProgramOptions): Structure {
  const { results, commit = [], guards = [], name, keep } = options;
  // In the order in which they were made, as lowering takes them.
  const all = everything(rootsOf(options));
  const tensors = new Map(all.map((tensor, i) => [tensor, i]));
  const variables = new Map<Variable, number>();
  const numbersOf = (some: readonly Tensor[]) => some.map((tensor) => tensors.get(tensor));
  const numberOf = (variable: Variable): number => kept(variables, variable, () => variables.size);
  let key = "";
  for (const { op, inputs, shape, type, scope, name, attributes } of all) {
    const { variable, loop, value, ...plain } = attributes;
    key += JSON.stringify([op, numbersOf(inputs), shape, type, scope, name, plain, variable && numberOf(variable)]);
    if (value !== undefined) key += written(value);
    if (!loop) continue;
    const { name: loopName, steps, reverse } = loop;
    const parts = [loop.stepInputs, loop.states, loop.next, loop.sequences].map(numbersOf);
    key += JSON.stringify([loopName, steps, reverse, ...parts]);
  }
  const assigned = [results, commit].map((list) =>
    list.map(({ variable, tensor }) => [numberOf(variable), tensors.get(tensor)]),
  );
  const known = [...variables.keys()];
  const bare = known.map(withoutNumbers);
  return { key: key + JSON.stringify([assigned, numbersOf(guards), name, keep, bare]), variables: known };
}

/** A variable but for what it holds at first. */
export const withoutNumbers = ({ name, shape, type, batch }: Variable): Variable => ({
  name,
  shape,
  type,
  ...(batch && { batch }),
});

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
