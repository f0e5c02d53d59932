/**
 * A model with its memory: parameters and running statistics by name, shared by every trace of the model (training, validation,
 * sampling), each trace for its own shapes.
 */
import { UserError } from "../errors.js";
import { current, type Tensor, zeros } from "../graph/language.js";
import { kept } from "../graph/maps.js";
import { type Shape, sameShape, showShape, sizeOf } from "../graph/shape.js";
import type { Variable } from "../graph/variable.js";
import type { Context, Layer } from "../layers/layer.js";
import type { Initializer } from "../parameters/parameter.js";
import { createRng } from "../parameters/rng.js";

/** The weights of a model, whatever the shapes that it is run on. */
export interface Network {
  /** What was given to `createTrainer`. */
  readonly model: Layer;
  /** Trainable variables by name, in the order of first use. Complete after the first trace. */
  readonly parameters: ReadonlyMap<string, Variable>;
  /** The tensor that stands for each parameter in every trace: gradients are taken with respect to it. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Variables that training updates without gradient. */
  readonly statistics: ReadonlyMap<string, Variable>;
  /** The model applied to `input`. @throws UserError on an input that a layer cannot take, or weights that do not fit */
  trace(input: Tensor, options: TraceOptions): Trace;
  /** Weights (or statistics) for names that no trace has asked for yet, in place of the initialisers' numbers; checks those it has. */
  give(
    values: Readonly<Record<string, { readonly shape: Shape; readonly data: ArrayLike<number> }>>,
    kind?: "parameter" | "statistic",
  ): void;
}

export interface TraceOptions {
  readonly training: boolean;
  /** The step's seed, an index [1]. */
  readonly seed: Tensor;
  /** The seed of this part of a window, where the window is gone through in parts. Default `seed`. */
  readonly partSeed?: Tensor;
  readonly mask?: Tensor | undefined;
  /** Zeros added to the hidden state `name` at every step, [T, N, H]. */
  readonly probe?: (name: string, shape: Shape) => Tensor;
  /** Where dropout keys begin, so that traces in one program draw different masks. Default 0. */
  readonly firstKey?: number;
  /** The state to start from; `start` is what a fresh sequence begins with, [N, ·]. Default: `start`. */
  readonly state?: (name: string, start: Tensor) => Tensor;
}

export interface Trace {
  readonly output: Tensor;
  /** The states after the last step, by name. */
  readonly finals: ReadonlyMap<string, Tensor>;
  readonly updates: readonly { readonly variable: Variable; readonly tensor: Tensor }[];
}

/** Readies a model; parameters start from `seed` and their own name, whatever the order of layers. */
export function createNetwork(
  model: Layer,
  seed: number | string,
  weights: Parameters<Network["give"]>[0] = {},
): Network {
  const given = {
    parameter: new Map(Object.entries(weights)),
    statistic: new Map(Object.entries({} as typeof weights)),
  };
  const parameters = new Map<string, Variable>();
  const statistics = new Map<string, Variable>();
  const tensors = new Map<string, Tensor>();

  const request = (
    kind: keyof typeof given,
    memory: Map<string, Variable>,
    name: string,
    shape: Shape,
    initializer: Initializer,
  ): Variable => {
    const known = memory.get(name);
    if (known && !sameShape(known.shape, shape))
      throw new UserError(
        `${kind} "${name}" has shape ${showShape(known.shape)}, but the model now asks for ${showShape(shape)}: the input has another number of features than before`,
      );
    const value = given[kind].get(name);
    if (!known && value && !sameShape(value.shape, shape)) throw misfit(kind, name, shape, value.shape);
    if (!known && sizeOf(shape) > MOST_NUMBERS)
      throw new UserError(
        `${kind} "${name}" of shape ${showShape(shape)} has ${sizeOf(shape)} numbers, more than the ${MOST_NUMBERS} that fit into 4 GiB`,
      );
    const found = known ?? {
      name,
      shape,
      type: "float",
      initial: value?.data ?? (() => initializer(shape, createRng(`${seed}:${name}`))),
    };
    memory.set(name, found);
    return found;
  };

  return {
    model,
    parameters,
    tensors,
    statistics,
    give(values, kind = "parameter") {
      const memory = kind === "parameter" ? parameters : statistics;
      for (const [name, value] of Object.entries(values)) {
        const known = memory.get(name);
        if (known && !sameShape(known.shape, value.shape)) throw misfit(kind, name, known.shape, value.shape);
        if (!known && memory.size > 0) throw unknown(kind, name, memory);
        given[kind].set(name, value);
      }
    },
    trace(input, options) {
      const { training, seed, partSeed = seed, mask, firstKey = 0, probe, state = (_, start) => start } = options;
      const finals = new Map<string, Tensor>();
      const updates: { variable: Variable; tensor: Tensor }[] = [];
      let keys = firstKey;
      const contextAt = (prefix: string): Context => ({
        training,
        mask,
        parameter(name, shape, initializer) {
          const variable = request("parameter", parameters, prefix + name, shape, initializer);
          return kept(tensors, prefix + name, () => current(variable));
        },
        state: (name, shape, start) => state(prefix + name, start ? zeros(shape).add(start) : zeros(shape)),
        carry: (name, final) => {
          finals.set(prefix + name, final);
        },
        statistic(name, shape, initializer) {
          const variable = request("statistic", statistics, prefix + name, shape, initializer);
          return { value: current(variable), update: (tensor) => void updates.push({ variable, tensor }) };
        },
        seed: (of) => (of === "sequence" ? seed : partSeed),
        key: () => ++keys,
        probe: (name, shape) => probe?.(prefix + name, shape),
        within: (name) => contextAt(`${prefix}${name}.`),
      });
      const output = model.apply(input, contextAt(""));
      for (const name of given.parameter.keys())
        if (!parameters.has(name)) throw unknown("parameter", name, parameters);
      return { output, finals, updates };
    },
  };
}

/** Of a parameter: refused before an initialiser draws them all. */
const MOST_NUMBERS = 2 ** 30;

const unknown = (kind: string, name: string, memory: ReadonlyMap<string, Variable>): UserError =>
  new UserError(`the model has no ${kind} "${name}"; it has ${[...memory.keys()].join(", ")}`);

const misfit = (kind: string, name: string, wanted: Shape, got: Shape): UserError =>
  new UserError(`${kind} "${name}" of the model has shape ${showShape(wanted)}, not ${showShape(got)}`);
