/** The same network twice: with `unroll`, and written out step by step without it. */
import { evaluate } from "../../src/backend/evaluate.js";
import { reference } from "../../src/backend/reference/index.js";
import { current, reshape, sliceRows, sumAll, unroll } from "../../src/graph/language.js";
import { sizeOf } from "../../src/graph/shape.js";
import { gradients } from "../../src/graph/sweep.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { variable } from "../../src/graph/variable.js";
import { createRng } from "../../src/parameters/rng.js";
import { difference, feed, gradientErrors, type InputSpec } from "./numeric.js";

type Specs = Readonly<Record<string, InputSpec>>;
type Tensors = Readonly<Record<string, Tensor>>;

export interface Network {
  readonly inputs: Specs;
  readonly states: Specs;
  readonly shared?: Specs;
  readonly reverse?: boolean;
  readonly step: (
    x: Tensors,
    state: Tensors,
    shared: Tensors,
    t?: number,
  ) => { readonly state: Tensors; readonly outputs?: Tensors };
  /** What `step` is when written out, where it differs (random numbers of step t). */
  readonly explicitStep?: Network["step"];
}

const pick = (tensors: Tensors, specs: Specs): Tensors =>
  Object.fromEntries(Object.keys(specs).map((name) => [name, tensors[name]!]));

/** The t-th part of a sequence. */
export const partOf = (sequence: Tensor, t: number): Tensor => {
  const part = reshape(sliceRows(sequence, t, 1), sequence.shape.slice(1));
  return part;
};

/** A projection of everything the network gives, by weights that do not depend on how it is computed. */
function lossOf(outputs: Readonly<Record<string, readonly Tensor[]>>, finals: Tensors): Tensor {
  const parts: Tensor[] = [];
  for (const [name, steps] of Object.entries({
    ...outputs,
    ...Object.fromEntries(Object.entries(finals).map(([key, final]) => [`final ${key}`, [final]])),
  })) {
    const rng = createRng(name);
    for (const step of steps) {
      const initial = Float64Array.from({ length: sizeOf(step.shape) }, () => rng.normal());
      parts.push(sumAll(step.mul(current({ ...variable(`projection of ${name}`, step.shape), initial }))));
    }
  }
  return parts.reduce((sum, part) => sum.add(part));
}

export function unrolled(network: Network, tensors: Tensors): { outputs: Tensors; finals: Tensors; loss: Tensor } {
  const shared = pick(tensors, network.shared ?? {});
  const { outputs, state } = unroll<Record<string, Tensor>, Record<string, Tensor>, Record<string, Tensor>>({
    inputs: pick(tensors, network.inputs),
    state: pick(tensors, network.states),
    reverse: network.reverse ?? false,
    step: (x, states) => network.step(x, states, shared) as never,
  });
  const loss = lossOf(Object.fromEntries(Object.entries(outputs).map(([key, output]) => [key, [output]])), state);
  return { outputs, finals: state, loss };
}

export function explicit(
  network: Network,
  tensors: Tensors,
): { outputs: Record<string, Tensor[]>; finals: Tensors; loss: Tensor } {
  const shared = pick(tensors, network.shared ?? {});
  const steps = Object.values(network.inputs)[0]!.shape[0]!;
  let state = pick(tensors, network.states);
  const outputs: Record<string, Tensor[]> = {};
  for (let i = 0; i < steps; i++) {
    const t = network.reverse ? steps - 1 - i : i;
    const x = Object.fromEntries(Object.keys(network.inputs).map((name) => [name, partOf(tensors[name]!, t)]));
    const result = (network.explicitStep ?? network.step)(x, state, shared, t);
    state = result.state;
    for (const [key, output] of Object.entries(result.outputs ?? {})) {
      outputs[key] ??= [];
      outputs[key]![t] = output;
    }
  }
  return { outputs, finals: state, loss: lossOf(outputs, state) };
}

export interface Comparison {
  /** Largest relative difference of outputs, final states and gradients between the two ways. */
  readonly twin: number;
  /** The worst error of a gradient against finite differences. */
  readonly numeric: number;
  readonly worst: string;
}

export async function compare(network: Network, { seed = 3, numeric = true } = {}): Promise<Comparison> {
  const specs = { ...network.inputs, ...network.states, ...network.shared };
  const { tensors, feeds } = feed(specs, seed);
  const names = Object.keys(specs).filter((name) => specs[name]!.classes === undefined);
  const wrt = names.map((name) => tensors[name]!);
  const [a, b] = [unrolled(network, tensors), explicit(network, tensors)];
  const [da, db] = [gradients(a.loss, wrt), gradients(b.loss, wrt)];
  const results: Record<string, Tensor> = {};
  const pairs: [string, string[]][] = [];
  const pair = (name: string, left: Tensor, right: readonly Tensor[]): void => {
    results[`a ${name}`] = left;
    right.forEach((tensor, i) => {
      results[`b ${name} ${i}`] = tensor;
    });
    pairs.push([`a ${name}`, right.map((_, i) => `b ${name} ${i}`)]);
  };
  for (const [key, output] of Object.entries(a.outputs)) pair(`output ${key}`, output, b.outputs[key]!);
  for (const [key, final] of Object.entries(a.finals)) pair(`final ${key}`, final, [b.finals[key]!]);
  names.forEach((name, i) => {
    pair(`d${name}`, da[i]!, [db[i]!]);
  });
  const values = await evaluate(reference(), results, feeds);
  let twin = 0;
  let worst = "";
  for (const [left, right] of pairs) {
    const apart = difference(
      values[left]!,
      right.flatMap((name) => [...values[name]!]),
    );
    if (apart > twin) {
      twin = apart;
      worst = left;
    }
  }
  if (!numeric) return { twin, numeric: 0, worst };
  const errors = await gradientErrors(
    specs,
    (fed) => {
      const { outputs, finals } = unrolled(network, fed);
      return [...Object.values(outputs), ...Object.values(finals)];
    },
    { seed },
  );
  const numericWorst = errors.reduce((most, each) => (each.error > most.error ? each : most));
  return { twin, numeric: numericWorst.error, worst: `${worst} | ${JSON.stringify(numericWorst)}` };
}
