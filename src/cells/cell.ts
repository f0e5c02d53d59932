/**
 * A cell: a pure function from input, previous state and parameters to the next state. Everything else (the unrolled network,
 * its derivative, the kernels, the explanation) follows from it.
 */
import { checkCount, UserError } from "../errors.js";
import type { Shape } from "../graph/shape.js";
import type { Tensor } from "../graph/tensor.js";
import { pytorchUniform } from "../parameters/initializers.js";
import type { Initializer } from "../parameters/parameter.js";

/** What `defineCell` makes a cell of; S names of states, P of parameters. */
export interface CellDefinition<S extends string, P extends string> {
  /** "lstm": for messages and explanations. */
  readonly name: string;
  /** Features of each state, "h" (what the layer gives out) first: { h: hidden, c: hidden }. */
  readonly state: { readonly [Key in S]: number };
  /** Shapes of the parameters for inputs of `input` features. Weights are [out, in]. */
  readonly parameters: (input: number) => { readonly [Key in P]: Shape };
  /** One step. x [N, input], states [N, ·]; gives the next states. */
  readonly step: (
    x: Tensor,
    state: { readonly [Key in S]: Tensor },
    parameters: { readonly [Key in P]: Tensor },
  ) => { readonly [Key in S]: Tensor };
  /** How parameters start; those not named: U(±1/√H) with H the features of the last state, as PyTorch does. */
  readonly initial?: { readonly [Key in P]?: Initializer };
}

/** A cell whose states and parameters are known by their names only. */
export interface Cell {
  /** "lstm": for messages and explanations. */
  readonly name: string;
  /** Features of each state, the output first. */
  readonly state: Readonly<Record<string, number>>;
  /** The state that is the layer's output. */
  readonly output: string;
  /** Features of the output. */
  readonly hidden: number;
  /** Shapes of the parameters for inputs of `input` features. */
  readonly parameters: (input: number) => Readonly<Record<string, Shape>>;
  /** From x [N, input] and the states [N, ·] to the next states. */
  readonly step: (
    x: Tensor,
    state: Readonly<Record<string, Tensor>>,
    parameters: Readonly<Record<string, Tensor>>,
  ) => Readonly<Record<string, Tensor>>;
  /** How a parameter starts. */
  readonly initializer: (parameter: string) => Initializer;
}

/**
 * Defines a cell.
 * @throws UserError where it has no state, or a state without features
 */
export function defineCell<S extends string, P extends string>({
  name,
  state,
  parameters,
  step,
  initial = {},
}: CellDefinition<S, P>): Cell {
  const sizes: Readonly<Record<string, number>> = state;
  const [output] = Object.keys(sizes);
  if (output === undefined) throw new UserError(`cell "${name}": it has no state`);
  for (const [key, size] of Object.entries(sizes)) checkCount(`cell "${name}": the features of state "${key}"`, size);
  const names = Object.keys(parameters(1));
  for (const key of Object.keys(initial))
    if (!names.includes(key))
      throw new UserError(`cell "${name}": there is no parameter "${key}" to start; there are ${names.join(", ")}`);
  const given: Readonly<Record<string, Initializer | undefined>> = initial;
  return {
    name,
    state: sizes,
    output,
    hidden: sizes[output]!,
    parameters,
    step: step as unknown as Cell["step"],
    initializer: (parameter) => given[parameter] ?? pytorchUniform(Object.values(sizes).at(-1)!),
  };
}
