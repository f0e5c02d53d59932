/** Drives a layer or a loss by itself on the reference backend: values, statistics, and gradients against finite differences. */
import { expect } from "vitest";
import { evaluate } from "../../src/backend/evaluate.js";
import { reference } from "../../src/backend/reference/index.js";
import { current, sumAll, zeros } from "../../src/graph/language.js";
import { type Shape, sizeOf } from "../../src/graph/shape.js";
import { gradients } from "../../src/graph/sweep.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { type ElementType, type Variable, variable } from "../../src/graph/variable.js";
import type { Context, Layer } from "../../src/layers/layer.js";
import type { Initializer } from "../../src/parameters/parameter.js";
import { lower } from "../../src/program/lower.js";
import { refusalOf } from "../refusal.js";

/** A tensor that holds given numbers. */
export interface Given {
  readonly variable: Variable;
  readonly tensor: Tensor;
  readonly values: number[];
}

export function given(name: string, shape: Shape, values: readonly number[], type: ElementType = "float"): Given {
  expect(values, name).toHaveLength(sizeOf(shape));
  const made = variable(name, shape, type);
  return { variable: made, tensor: current(made), values: [...values] };
}

/** Numbers in −1.6 … 1.6 that repeat nowhere near; another row of them for each `salt`. */
export const numbers = (count: number, salt = 1): number[] =>
  Array.from({ length: count }, (_, i) => 1.6 * Math.sin(12.9898 * (i + 1) + 78.233 * salt + (i * i) / 7));

export const random = (name: string, shape: Shape, salt?: number): Given =>
  given(name, shape, numbers(sizeOf(shape), salt));

export interface Trial {
  readonly output: Tensor;
  readonly parameters: ReadonlyMap<string, Given & { readonly initializer: Initializer }>;
  readonly statistics: ReadonlyMap<string, Given & { readonly initializer: Initializer }>;
  /** The next value of each statistic that was updated. */
  readonly updates: ReadonlyMap<string, Tensor>;
  /** The names of states that were handed on. */
  readonly carried: readonly string[];
}

export interface TrialOptions {
  readonly training?: boolean;
  readonly mask?: Tensor;
  /** Values by name; others are made up. */
  readonly values?: Readonly<Record<string, readonly number[]>>;
  readonly seed?: Tensor;
}

/** Applies `layer` once. */
export function apply(
  layer: Layer,
  input: Tensor,
  { training = true, mask, values = {}, seed }: TrialOptions = {},
): Trial {
  const parameters = new Map<string, Given & { readonly initializer: Initializer }>();
  const statistics = new Map<string, Given & { readonly initializer: Initializer }>();
  const updates = new Map<string, Tensor>();
  const carried: string[] = [];
  let keys = 0;
  const made = (memory: typeof parameters, name: string, shape: Shape, initializer: Initializer): Given => {
    const known = memory.get(name);
    if (known) return known;
    const fresh = given(name, shape, values[name] ?? numbers(sizeOf(shape), memory.size + 2));
    memory.set(name, { ...fresh, initializer });
    return fresh;
  };
  const at = (prefix: string): Context => ({
    training,
    mask,
    parameter: (name, shape, initializer) => made(parameters, prefix + name, shape, initializer).tensor,
    state: (_, shape) => zeros(shape),
    carry: (name) => void carried.push(prefix + name),
    statistic: (name, shape, initializer) => ({
      value: made(statistics, prefix + name, shape, initializer).tensor,
      update: (next) => void updates.set(prefix + name, next),
    }),
    seed() {
      if (!seed) throw new Error("this trial has no seed");
      return seed;
    },
    key: () => ++keys,
    within: (name) => at(`${prefix}${name}.`),
  });
  return { output: layer.apply(input, at("")), parameters, statistics, updates, carried };
}

const feeds = (all: Iterable<Given>): [Variable, number[]][] =>
  [...all].map(({ variable: target, values }) => [target, values]);

/** The values of `tensors`, with what they are given. */
export async function computedAll<K extends string>(
  tensors: { readonly [Key in K]: Tensor },
  all: Iterable<Given>,
): Promise<{ [Key in K]: number[] }> {
  const found = await evaluate(reference(), tensors, feeds(all));
  return Object.fromEntries(Object.entries(found).map(([name, data]) => [name, Array.from(data as Float64Array)])) as {
    [Key in K]: number[];
  };
}

/** The values of one tensor. */
export const computed = async (tensor: Tensor, all: Iterable<Given>): Promise<number[]> =>
  (await computedAll({ tensor }, all)).tensor;

/** Each number within `tolerance` of the expected one's size (or of 1e-3, where that is larger). */
export function near(found: readonly number[], expected: readonly number[], tolerance = 1e-12): void {
  expect(found).toHaveLength(expected.length);
  expected.forEach((value, i) => {
    const error = Math.abs(found[i]! - value) / Math.max(Math.abs(value), 1e-3);
    expect(error, `number ${i}: ${found[i]} for ${value}`).toBeLessThanOrEqual(tolerance);
  });
}

/**
 * d loss / d each of `wrt` against central differences of fourth order, element by element: relative error at most 1e-6, where
 * elements below a ten-thousandth of the tensor's largest count as that.
 */
export async function checkGradients(loss: Tensor, wrt: readonly Given[], rest: readonly Given[] = []): Promise<void> {
  const session = await reference().createSession();
  const results = [
    { variable: variable("loss", [1]), tensor: loss },
    ...gradients(
      loss,
      wrt.map(({ tensor }) => tensor),
    ).map((tensor) => ({ variable: variable("gradient", tensor.shape), tensor })),
  ];
  const whole = await session.compile(lower({ name: "gradients", results }));
  const forward = await session.compile(lower({ name: "loss", results: results.slice(0, 1) }));
  for (const [target, values] of feeds([...wrt, ...rest])) session.write(target, values);
  whole.run();
  const found = results.slice(1).map((result) => Array.from(session.readNow!(result.variable)));
  const lossAt = (target: Variable, i: number, value: number): number => {
    session.write(target, [value], i);
    forward.run();
    return session.readNow!(results[0]!.variable)[0]!;
  };
  wrt.forEach(({ variable: target, values }, k) => {
    const numeric = values.map((value, i) => {
      const h = 1e-3;
      const [far, further] = [1, 2].map((n) => lossAt(target, i, value + n * h) - lossAt(target, i, value - n * h));
      session.write(target, [value], i);
      return (8 * far! - further!) / (12 * h);
    });
    const largest = Math.max(...numeric.map(Math.abs));
    expect(largest, `${target.name} must have an influence`).toBeGreaterThan(1e-4);
    numeric.forEach((value, i) => {
      const error = Math.abs(found[k]![i]! - value) / Math.max(Math.abs(value), 1e-4 * largest);
      expect(error, `d${target.name}[${i}]: ${found[k]![i]}, by differences ${value}`).toBeLessThanOrEqual(1e-6);
    });
  });
  session.dispose();
}

/** Checks the gradient of a layer's output, each element weighted by a number of its own, to its input and every parameter. */
export async function checkLayer(
  layer: Layer,
  input: Given,
  { rest = [], ...options }: TrialOptions & { readonly rest?: readonly Given[] } = {},
): Promise<void> {
  const { output, parameters, statistics } = apply(layer, input.tensor, options);
  const weights = random("loss weights", output.shape, 31);
  const wrt = [...(input.variable.type === "float" ? [input] : []), ...parameters.values()];
  const others = [...(input.variable.type === "float" ? [] : [input]), ...statistics.values(), weights, ...rest];
  await checkGradients(sumAll(output.mul(weights.tensor)), wrt, others);
}

/** The call must throw a UserError of one line that begins with `message`. */
export function refused(run: () => unknown, message: string): void {
  const said = refusalOf(run, message);
  expect(said.slice(0, message.length), said).toBe(message);
  expect(said).toMatch(/^[^\n]{10,400}$/);
}
