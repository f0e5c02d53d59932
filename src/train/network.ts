/**
 * A model with its memory: parameters and running statistics by name, shared by every trace of the model (training, validation,
 * sampling), each trace for its own shapes.
 */
import { UserError } from "../errors.js";
import { current, type Tensor, zeros } from "../graph/language.js";
import { kept } from "../graph/maps.js";
import { checkTensor, type NamedTensor, type Shape, sameShape, showShape, sizeOf } from "../graph/shape.js";
import type { Variable } from "../graph/variable.js";
import type { Context, Layer } from "../layers/layer.js";
import type { Initializer } from "../parameters/parameter.js";
import { createRng } from "../parameters/rng.js";

type Tensors = Readonly<Record<string, NamedTensor>>;
type Given = Readonly<Record<string, NamedTensor | { readonly shape: Shape; readonly data: ArrayLike<bigint> }>>;

/**
 * Tensors by name, in an object or a Map: a model's own, or those of a file that PyTorch wrote, as they are read.
 * `num_batches_tracked` is nothing that a model has here, and is left out.
 */
export type Weights = Given | ReadonlyMap<string, Given[string]>;

export const byName = (weights: Weights): Given =>
  weights instanceof Map ? Object.fromEntries(weights) : (weights as Given);

/** Parameters and statistics by name. */
type Both = Readonly<Record<"parameter" | "statistic", ReadonlyMap<string, NamedTensor>>>;

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
  /** What was given, until a trace has found that the model has it. */
  readonly given: Both;
  /**
   * Numbers for parameters and statistics that no trace has asked for yet, in place of the initialisers'. They are checked as
   * far as the model is known, and at the end of the first trace.
   */
  give(weights: Weights): void;
  /** As `give`, in place of all that was given before. `whole`: they must be all that the model has. */
  restore(parameters: Tensors, statistics: Tensors, whole: boolean): void;
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
export function createNetwork(model: Layer, seed: number | string, weights: Weights = {}): Network {
  const parameters = new Map<string, Variable>();
  const statistics = new Map<string, Variable>();
  const memory = { parameter: parameters, statistic: statistics };
  const tensors = new Map<string, Tensor>();
  const none: Both = { parameter: new Map(), statistic: new Map() };
  let given = none;
  /** Whether what was given must be all that the model has. */
  let whole = false;
  /** Whether all names are known. */
  let traced = false;

  const hold = (found: Both, all: boolean): void => {
    for (const kind of ["parameter", "statistic"] as const) {
      for (const [name, tensor] of found[kind]) {
        const known = memory[kind].get(name) ?? statistics.get(name);
        if (traced && !known) throw unknown(kind, name, memory[kind]);
        checkTensor(`${kind} "${name}" of the model`, known?.shape ?? tensor.shape, tensor);
      }
      if (!traced || !all) continue;
      for (const name of memory[kind].keys())
        if (!found[kind].has(name)) throw new UserError(`the checkpoint lacks the ${kind} "${name}" of the model`);
    }
    [given, whole] = traced ? [none, false] : [found, all];
  };

  const give = (weights: Weights): void => {
    // What turned out to be none of the model's is given up.
    const before = traced && !whole ? none : given;
    const found = { parameter: new Map(before.parameter), statistic: new Map(before.statistic) };
    for (const [name, tensor] of Object.entries(byName(weights))) {
      if (name.endsWith("num_batches_tracked")) continue;
      if (!tensor?.data) throw new UserError(`the weights hold no data in "${name}"`);
      // Minus infinity may be the logarithm of a share of 0.
      for (let i = 0; i < tensor.data.length; i++)
        if (!(tensor.data[i]! < Infinity)) throw new UserError(`the weights hold ${tensor.data[i]} in "${name}"`);
      const kind = statistics.has(name) || given.statistic.has(name) ? "statistic" : "parameter";
      found[kind].set(name, tensor as NamedTensor);
    }
    hold(found, whole);
  };
  give(weights);

  const request = (kind: keyof Both, name: string, shape: Shape, initializer: Initializer): Variable => {
    const known = memory[kind].get(name);
    if (known && !sameShape(known.shape, shape))
      throw new UserError(
        `${kind} "${name}" has shape ${showShape(known.shape)}, but the model now asks for ${showShape(shape)}: the input has another number of features than before`,
      );
    const value = given[kind].get(name) ?? given.parameter.get(name);
    if (!known && value) checkTensor(`${kind} "${name}" of the model`, shape, value);
    if (!known && sizeOf(shape) > MOST_NUMBERS)
      throw new UserError(
        `${kind} "${name}" of shape ${showShape(shape)} has ${sizeOf(shape)} numbers, more than the ${MOST_NUMBERS} that fit into 4 GiB`,
      );
    const drawn = (): ArrayLike<number> => {
      const data = initializer(shape, createRng(`${seed}:${name}`));
      checkTensor(`what the initializer gives for ${kind} "${name}"`, shape, { shape, data });
      return data;
    };
    const found = known ?? { name, shape, type: "float", initial: value?.data ?? drawn };
    memory[kind].set(name, found);
    return found;
  };

  return {
    model,
    parameters,
    tensors,
    statistics,
    get given() {
      return given;
    },
    give,
    restore: (parameters, statistics, all) =>
      hold({ parameter: new Map(Object.entries(parameters)), statistic: new Map(Object.entries(statistics)) }, all),
    trace(input, options) {
      const { training, seed, partSeed = seed, mask, firstKey = 0, probe, state = (_, start) => start } = options;
      const asked = new Set<string>();
      const finals = new Map<string, Tensor>();
      const updates: { variable: Variable; tensor: Tensor }[] = [];
      let keys = firstKey;
      const contextAt = (prefix: string): Context => ({
        training,
        mask,
        parameter(name, shape, initializer) {
          const variable = request("parameter", prefix + name, shape, initializer);
          return kept(tensors, prefix + name, () => current(variable));
        },
        state(name, shape, start) {
          asked.add(prefix + name);
          return state(prefix + name, start ? zeros(shape).add(start) : zeros(shape));
        },
        carry: (name, final) => {
          finals.set(prefix + name, final);
        },
        statistic(name, shape, initializer) {
          const variable = request("statistic", prefix + name, shape, initializer);
          return { value: current(variable), update: (tensor) => void updates.push({ variable, tensor }) };
        },
        seed: (of) => (of === "sequence" ? seed : partSeed),
        key: () => ++keys,
        probe: (name, shape) => probe?.(prefix + name, shape),
        within: (name) => contextAt(`${prefix}${name}.`),
      });
      const output = model.apply(input, contextAt(""));
      for (const name of finals.keys())
        if (!asked.has(name))
          throw new UserError(`the model carries "${name}" on, which is none of its states (${[...asked]})`);
      traced = true;
      hold(given, whole);
      return { output, finals, updates };
    },
  };
}

/** Of a parameter: refused before an initialiser draws them all. */
const MOST_NUMBERS = 2 ** 30;

const unknown = (kind: string, name: string, memory: ReadonlyMap<string, Variable>): UserError =>
  new UserError(`the model has no ${kind} "${name}"; it has ${[...memory.keys()].join(", ")}`);
