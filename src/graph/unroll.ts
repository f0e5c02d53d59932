/**
 * The time loop and its derivative. BPTT is this file: the derivative of a loop is a loop in the other direction,
 *
 *   dstate_{t−1}, dx_t = step's derivative at t (dstate_t, doutput_t),     dw = Σ_t dw_t,
 *
 * and since that loop is built by the same function, its costly parts leave it by the same rule (`partition.ts`): the sum
 * over time of a weight's gradient, Σ_t x_tᵀ·dy_t, is one matrix product over all T·N rows.
 */
import { UserError } from "../errors.js";
import { kept } from "./maps.js";
import { make } from "./ops/make.js";
import { expand, matmul, reshape, sumAll, sumRows, transpose } from "./ops/matrix.js";
import { oneHotIds, scatter } from "./ops/rows.js";
import { type Partition, partition, varyingTensors } from "./partition.js";
import { columnsOf, rowsOf, type Shape, sameShape, showShape } from "./shape.js";
import { sweep } from "./sweep.js";
import {
  type Attributes,
  constant,
  inScopeOf,
  type LoopBody,
  type LoopGradients,
  type LoopOutput,
  onInputs,
  Tensor,
} from "./tensor.js";

/** What `unroll` runs over time. */
export interface UnrollOptions<
  X extends Record<string, Tensor>,
  S extends Record<string, Tensor>,
  O extends Record<string, Tensor>,
> {
  /** Sequences, each [T, N, ·]; the step sees their t-th parts, [N, ·]. */
  readonly inputs: X;
  /** Initial states, each [N, ·]. */
  readonly state: S;
  /** One step: from inputs and previous state to the next state and whatever outputs are wanted at every t. */
  readonly step: (inputs: X, state: S) => { readonly state: S; readonly outputs?: O };
  /** From the last step to the first. Outputs keep their places in time. Default false. */
  readonly reverse?: boolean;
  /** For messages and explanations. Default "loop". */
  readonly name?: string;
}

/** What `unroll` gives. */
export interface Unrolled<S, O> {
  /** Each output at every t, [T, N, ·]. */
  readonly outputs: O;
  /** The state after the last step, [N, ·]. */
  readonly state: S;
  /** What runs before, inside and after the loop. */
  readonly partition: Partition;
}

/** Runs `step` over time. Differentiable: gradients of tensors that the step shares over time are summed over its steps. */
export function unroll<
  X extends Record<string, Tensor>,
  S extends Record<string, Tensor>,
  O extends Record<string, Tensor> = Record<string, never>,
>({ inputs, state, step, reverse = false, name = "loop" }: UnrollOptions<X, S, O>): Unrolled<S, O> {
  const [first] = Object.values(inputs);
  if (first?.shape.length !== 3)
    throw new UserError(
      `unroll: the inputs must be sequences of shape [T, N, D]${first ? `, not ${showShape(first.shape)}` : ", and there are none"}`,
    );
  const [steps, rows] = [first.shape[0]!, first.shape[1]!];
  for (const [key, input] of Object.entries(inputs))
    if (input.shape.length !== 3 || input.shape[0] !== steps || input.shape[1] !== rows)
      throw new UserError(
        `unroll: input "${key}" of shape ${showShape(input.shape)} does not run over the same ${steps} steps and ${rows} rows as the first`,
      );
  const stateKeys = Object.keys(state);
  for (const [key, { shape }] of Object.entries(state))
    if (shape.length !== 2 || shape[0] !== rows)
      throw new UserError(`unroll: state "${key}" of shape ${showShape(shape)} wants ${rows} rows, as the inputs have`);
  let outputKeys: string[] = [];
  const { outputs, finals, parts } = buildLoop({
    name,
    steps,
    reverse,
    initial: Object.values(state),
    stateNames: stateKeys,
    body: (states, at) => {
      const named = Object.fromEntries(Object.entries(inputs).map(([key, input]) => [key, at(input).named(key)])) as X;
      const result = step(named, byName(stateKeys, states) as S);
      outputKeys = Object.keys(result.outputs ?? {});
      const next = stateKeys.map((key, i) => {
        const tensor: unknown = result.state[key];
        if (!(tensor instanceof Tensor && sameShape(tensor.shape, states[i]!.shape)))
          throw new UserError(
            `${name}: the step must return state "${key}" of shape ${showShape(states[i]!.shape)}, not ${tensor instanceof Tensor ? showShape(tensor.shape) : (tensor ?? "nothing")}`,
          );
        tensor.name ??= `${key}'`;
        return tensor;
      });
      return { next, outputs: outputKeys.map((key) => result.outputs![key]!), accumulate: [] };
    },
  });
  return {
    outputs: byName(outputKeys, outputs) as O,
    state: byName(stateKeys, finals) as S,
    partition: parts,
  };
}

const byName = (names: readonly string[], tensors: readonly Tensor[]): Record<string, Tensor> =>
  Object.fromEntries(names.map((name, i) => [name, tensors[i]!]));

interface LoopOptions {
  readonly name: string;
  readonly steps: number;
  readonly reverse: boolean;
  readonly initial: readonly Tensor[];
  readonly stateNames: readonly string[];
  /** `at` gives the t-th part of a sequence [T, R, C], as [R, C]. */
  readonly body: (states: readonly Tensor[], at: (sequence: Tensor) => Tensor) => BodyResult;
}

interface BodyResult {
  readonly next: readonly Tensor[];
  /** Wanted at every t. */
  readonly outputs: readonly Tensor[];
  /** Wanted as a sum over t. */
  readonly accumulate: readonly (Tensor | undefined)[];
}

interface BuiltLoop {
  readonly outputs: Tensor[];
  readonly finals: Tensor[];
  readonly accumulated: (Tensor | undefined)[];
  readonly parts: Partition;
}

function buildLoop({ name, steps, reverse, initial, stateNames, body }: LoopOptions): BuiltLoop {
  // Trace the step once, on placeholders.
  const states = initial.map((tensor, i) =>
    new Tensor("state", [], [rowsOf(tensor.shape), columnsOf(tensor.shape)]).named(stateNames[i]!),
  );
  const stepInputs = new Map<Tensor, Tensor>();
  const sequenceBehind = new Map<Tensor, Tensor>();
  const at = (sequence: Tensor): Tensor => {
    let placeholder = stepInputs.get(sequence);
    if (!placeholder) {
      placeholder = new Tensor("stepInput", [], sequence.shape.slice(1), {}, sequence.type);
      placeholder.name = sequence.name;
      stepInputs.set(sequence, placeholder);
      sequenceBehind.set(placeholder, sequence);
      const ids = oneHotIds.get(sequence);
      if (ids) oneHotIds.set(placeholder, at(ids));
    }
    return placeholder;
  };
  const traced = body(states, at);
  const placeholders = new Set([...stepInputs.values(), ...states]);
  const traceVaries = new Set(
    varyingTensors(placeholders, [
      ...traced.next,
      ...traced.outputs,
      ...traced.accumulate.filter((x) => x !== undefined),
    ]),
  );
  for (const tensor of traceVaries)
    if (tensor.op === "loop")
      throw new UserError(`${name}: the step holds a loop of its own ("${tensor.name}"), and loops do not nest`);
  const sums = traced.accumulate.map((tensor) => tensor && sumOverTime(tensor, traceVaries, steps));
  const exposed = [...traced.outputs, ...sums.flatMap((sum) => sum?.sequences ?? [])].filter((tensor) =>
    traceVaries.has(tensor),
  );
  const parts = partition({ stepInputs: new Set(stepInputs.values()), states, next: traced.next, exposed });

  // What leaves the loop is made again outside, over all steps at once.
  const rows = rowsOf((states[0] ?? [...stepInputs.values()][0]!).shape);
  const outside = new Map<Tensor, Tensor>();
  const overTime = (tensor: Tensor): Tensor =>
    sequenceBehind.get(tensor) ??
    kept(outside, tensor, () =>
      parts.inside.has(tensor) || states.includes(tensor) ? sequenceOf(loop, node, clone(tensor)) : lift(tensor),
    );
  const lift = (tensor: Tensor): Tensor => {
    if (!traceVaries.has(tensor)) return tensor;
    const inputs = tensor.inputs.map((input) => {
      if (traceVaries.has(input)) return overTime(input);
      const repeats = (tensor.op === "concat" || tensor.op === "crossEntropyGradient") && rowsOf(input.shape) === rows;
      return repeats ? expand(input, overSteps(input.shape)) : input;
    });
    const { shape, ...rest } = tensor.attributes;
    const attributes: Attributes = shape ? { ...rest, shape: overSteps(shape) } : rest;
    const lifted = inScopeOf(tensor, () => make(tensor.op, inputs, attributes));
    lifted.name = tensor.name ?? lifted.name;
    return lifted;
  };
  const overSteps = (shape: Shape): Shape => [steps, rowsOf(shape), columnsOf(shape)];

  // What stays is the same tensors, on placeholders for what went before.
  const clones = new Map<Tensor, Tensor>();
  const clone = (tensor: Tensor): Tensor => {
    if (!traceVaries.has(tensor) || placeholders.has(tensor)) return tensor;
    return kept(clones, tensor, () => {
      if (parts.before.has(tensor)) return at(overTime(tensor));
      const inputs = tensor.inputs.map(clone);
      return inputs.every((input, i) => input === tensor.inputs[i]) ? tensor : onInputs(tensor, inputs);
    });
  };
  const next = traced.next.map(clone);
  const sequences: Tensor[] = [];
  const stay = [...parts.inside].map(clone);

  const used = varyingTensors(new Set([...sequenceBehind.keys(), ...states]), [...next, ...stay]);
  const usedInputs = used.filter((tensor) => tensor.op === "stepInput");
  const varies = new Set([...used, ...states]);
  const captured = [
    ...new Set([
      ...next.filter((tensor) => !varies.has(tensor)),
      ...used.flatMap((tensor) => tensor.inputs.filter((input) => !varies.has(input))),
    ]),
  ];
  const loop: LoopBody = {
    name,
    steps,
    reverse,
    stepInputs: usedInputs,
    states,
    next,
    sequences,
    captured,
    derivative: (gradients) => loopDerivative(loop, node, gradients),
  };
  const node = new Tensor(
    "loop",
    [...usedInputs.map((tensor) => sequenceBehind.get(tensor)!), ...initial, ...captured],
    [1],
    { loop },
  ).named(name);

  return {
    outputs: traced.outputs.map((tensor) =>
      traceVaries.has(tensor) ? overTime(tensor) : expand(tensor, overSteps(tensor.shape)),
    ),
    finals: states.map((state, index) => loopOutput(node, { kind: "final", index }, state.shape)),
    accumulated: sums.map((sum) => sum?.make(overTime)),
    parts,
  };
}

const outputsOf = new WeakMap<Tensor, Map<string, Tensor>>();

function loopOutput(node: Tensor, output: LoopOutput, shape: Shape): Tensor {
  const outputs = kept(outputsOf, node, () => new Map<string, Tensor>());
  return kept(outputs, `${output.kind} ${output.index}`, () => new Tensor("loopOutput", [node], shape, { output }));
}

/** The values of a body tensor at every t, [T, R, C]: kept from now on. */
function sequenceOf(loop: LoopBody, node: Tensor, tensor: Tensor): Tensor {
  const input = loop.stepInputs.indexOf(tensor);
  if (input >= 0) return node.inputs[input]!;
  let index = loop.sequences.indexOf(tensor);
  if (index < 0) index = loop.sequences.push(tensor) - 1;
  const sequence = loopOutput(node, { kind: "sequence", index }, [
    loop.steps,
    rowsOf(tensor.shape),
    columnsOf(tensor.shape),
  ]);
  sequence.name ??= tensor.name;
  return sequence;
}

function loopDerivative(
  loop: LoopBody,
  node: Tensor,
  { sequences, finals, needed }: LoopGradients,
): (Tensor | undefined)[] {
  const { steps, states, stepInputs, captured, next } = loop;
  const firstState = stepInputs.length;
  const firstCaptured = firstState + states.length;
  const wantedInputs = stepInputs.map((_, i) => i).filter((i) => needed(i));
  const wantedCaptured = captured.map((_, i) => i).filter((i) => needed(firstCaptured + i));
  const varies = new Set(varyingTensors(new Set([...stepInputs, ...states]), [...next, ...loop.sequences]));
  const reversed = buildLoop({
    name: `${loop.name}: backward`,
    steps,
    reverse: !loop.reverse,
    initial: states.map((state, i) => finals.get(i) ?? constant(0, state.shape)),
    stateNames: states.map((state) => `d${state.name}`),
    body: (dStates, at) => {
      const value = forwardValue(loop, node, varies, at, dStates);
      const seeds = [
        ...next.map((tensor, i) => [tensor, dStates[i]!] as const),
        ...[...sequences].map(([i, dy]) => [loop.sequences[i]!, partLike(loop.sequences[i]!, at(dy))] as const),
      ];
      const wrt = [...states, ...wantedInputs.map((i) => stepInputs[i]!), ...wantedCaptured.map((i) => captured[i]!)];
      const dx = sweep({ seeds, wrt, leaves: new Set(captured), value });
      const zeros = (tensor: Tensor): Tensor => constant(0, tensor.shape);
      return {
        next: states.map((state, i) => dx[i] ?? zeros(state)),
        outputs: wantedInputs.map((k, i) => dx[states.length + i] ?? zeros(stepInputs[k]!)),
        accumulate: dx.slice(states.length + wantedInputs.length),
      };
    },
  });
  const gradients: (Tensor | undefined)[] = node.inputs.map(() => undefined);
  for (const [i, k] of wantedInputs.entries()) gradients[k] = reversed.outputs[i];
  for (const [i, dState] of reversed.finals.entries()) gradients[firstState + i] = dState;
  for (const [i, k] of wantedCaptured.entries()) gradients[firstCaptured + k] = reversed.accumulated[i];
  return gradients;
}

/**
 * How the backward step gets at a value of the forward step: from the sequence that the forward loop kept, or, for a dropout
 * mask and for plain arithmetic on kept values, by computing it again.
 */
function forwardValue(
  loop: LoopBody,
  node: Tensor,
  varies: ReadonlySet<Tensor>,
  at: (sequence: Tensor) => Tensor,
  dStates: readonly Tensor[],
): (tensor: Tensor) => Tensor {
  const known = new Map<Tensor, Tensor>();
  const value = (tensor: Tensor): Tensor => {
    if (!varies.has(tensor)) return tensor;
    return kept(known, tensor, () => recomputed(tensor) ?? partLike(tensor, at(sequenceOf(loop, node, tensor))));
  };
  const recomputed = (tensor: Tensor): Tensor | undefined => {
    const { op, inputs, shape, attributes, name } = tensor;
    const made = (on: Tensor[]): Tensor => new Tensor(op, on, shape, attributes);
    if (op === "random") return made([inputs[0]!, dStates[0] ?? value(inputs[1]!)]);
    const operands = new Set(inputs.filter((input) => varies.has(input)));
    const ofOne = ["add", "sub", "neg", "less", "lessEqual", "equal"];
    if (!(["expand", "mul"].includes(op) || (ofOne.includes(op) && operands.size === 1))) return undefined;
    const copy = made(inputs.map(value));
    copy.name = name;
    return copy;
  };
  return value;
}

/** The part [R, C] of a sequence under the dimensions of the body tensor it belongs to. */
const partLike = (tensor: Tensor, part: Tensor): Tensor => reshape(part, tensor.shape);

/** A sum over time, taken outside the loop from the sequences of body tensors. */
interface SumOverTime {
  readonly sequences: readonly Tensor[];
  readonly make: (overTime: (tensor: Tensor) => Tensor) => Tensor;
}

/** Σ_t of a body tensor. Sums and products over rows take all T·N rows at once. */
function sumOverTime(tensor: Tensor, varies: ReadonlySet<Tensor>, steps: number): SumOverTime {
  const [a, b] = tensor.inputs;
  const { shape, transposeA, transposeB } = tensor.attributes;
  const of = (sequences: Tensor[], sum: (...overTime: Tensor[]) => Tensor): SumOverTime => ({
    sequences,
    make: (overTime) => sum(...sequences.map(overTime)),
  });
  if (!varies.has(tensor)) return of([], () => tensor.mul(steps));
  switch (tensor.op) {
    case "add": {
      if (!sameShape(a!.shape, b!.shape)) break;
      const [left, right] = [sumOverTime(a!, varies, steps), sumOverTime(b!, varies, steps)];
      return {
        sequences: [...left.sequences, ...right.sequences],
        make: (overTime) => left.make(overTime).add(right.make(overTime)),
      };
    }
    case "transpose": {
      const inner = sumOverTime(a!, varies, steps);
      return { ...inner, make: (overTime) => transpose(inner.make(overTime)) };
    }
    case "matmul":
      if (!transposeA || transposeB || !varies.has(a!) || !varies.has(b!)) break;
      return of([a!, b!], (x, y) => matmul(x!, y!, { transposeA }));
    case "sumRows":
      return of([a!], (x) => sumRows(x!, shape));
    case "sumAll":
      return of([a!], (x) => sumAll(x!));
    case "scatter":
      if (!varies.has(b!)) break;
      return of([a!, b!], (x, y) => scatter(x!, y!, shape!));
  }
  return of([tensor], (x) => sumRows(x!, tensor.shape));
}
