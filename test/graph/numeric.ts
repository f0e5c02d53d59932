/** Derivatives by central finite differences in float64, each input by itself. */
import { evaluate } from "../../src/backend/evaluate.js";
import { reference } from "../../src/backend/reference/index.js";
import { current, sumAll } from "../../src/graph/language.js";
import { type Shape, sizeOf } from "../../src/graph/shape.js";
import { gradients } from "../../src/graph/sweep.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { type Variable, variable } from "../../src/graph/variable.js";
import { createRng } from "../../src/parameters/rng.js";
import { lower } from "../../src/program/lower.js";

export interface InputSpec {
  readonly shape: Shape;
  /** Where its numbers come from: U(low, high), default U(−1, 1). An index draws whole numbers below `classes`. */
  readonly range?: readonly [low: number, high: number];
  readonly classes?: number;
  readonly values?: ArrayLike<number>;
}

export interface Fed {
  readonly tensors: Readonly<Record<string, Tensor>>;
  readonly feeds: [Variable, ArrayLike<number>][];
}

/** Variables with seeded random numbers. */
export function feed(specs: Readonly<Record<string, InputSpec>>, seed = 1): Fed {
  const rng = createRng(seed);
  const feeds: [Variable, ArrayLike<number>][] = [];
  const tensors: Record<string, Tensor> = {};
  for (const [name, { shape, range = [-1, 1], classes, values }] of Object.entries(specs)) {
    const made = variable(name, shape, classes === undefined ? "float" : "index");
    const [low, high] = range;
    const draw = (): number => (classes ? Math.floor(rng.uniform() * classes) : low + (high - low) * rng.uniform());
    feeds.push([made, values ?? Float64Array.from({ length: sizeOf(shape) }, draw)]);
    tensors[name] = current(made);
  }
  return { tensors, feeds };
}

/** A scalar that depends on every element of `outputs` in its own way. */
export function project(outputs: readonly Tensor[], seed = 7): Tensor {
  const rng = createRng(seed);
  return outputs
    .map((output, i) => {
      const initial = Float64Array.from({ length: sizeOf(output.shape) }, () => rng.normal());
      return sumAll(output.mul(current({ ...variable(`projection ${i}`, output.shape), initial })));
    })
    .reduce((sum, part) => sum.add(part));
}

export interface GradientError {
  readonly name: string;
  readonly error: number;
  readonly analytic: number;
  readonly numeric: number;
  readonly index: number;
}

/**
 * The worst |analytic − numeric| / max(|analytic|, |numeric|, 1e-4·max(1, |loss|)) over the elements of each float input. The numeric
 * derivative is the five-point rule with h = 1e-3: its error is of order h⁴.
 */
export async function gradientErrors(
  specs: Readonly<Record<string, InputSpec>>,
  build: (tensors: Readonly<Record<string, Tensor>>) => Tensor | readonly Tensor[],
  { seed = 1, h = 1e-3 } = {},
): Promise<GradientError[]> {
  const { tensors, feeds } = feed(specs, seed);
  const built = build(tensors);
  const loss = project(Array.isArray(built) ? (built as readonly Tensor[]) : [built as Tensor]);
  const names = Object.keys(specs).filter((name) => specs[name]!.classes === undefined);
  const found = gradients(
    loss,
    names.map((name) => tensors[name]!),
  );
  const analytic = await evaluate(reference(), Object.fromEntries(names.map((name, i) => [name, found[i]!])), feeds);

  const session = await reference().createSession();
  const out = variable("loss", [1]);
  const forward = await session.compile(lower({ name: "forward", results: [{ variable: out, tensor: loss }] }));
  for (const [target, data] of feeds) session.write(target, data);
  const value = (): number => {
    forward.run();
    return session.readNow!(out)[0]!;
  };
  const scale = 1e-4 * Math.max(1, Math.abs(value()));
  const errors = names.map((name) => {
    const [target, data] = feeds.find(([fed]) => fed.name === name)!;
    if (found[names.indexOf(name)]!.shape.join() !== target.shape.join())
      throw new Error(`the gradient of ${name} [${target.shape}] has shape [${found[names.indexOf(name)]!.shape}]`);
    let worst: GradientError = { name, error: 0, analytic: 0, numeric: 0, index: -1 };
    for (let index = 0; index < data.length; index++) {
      const at = (step: number): number => {
        session.write(target, [data[index]! + step], index);
        return value();
      };
      const numeric = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
      session.write(target, [data[index]!], index);
      const a = analytic[name]![index]!;
      const error = Math.abs(a - numeric) / Math.max(Math.abs(a), Math.abs(numeric), scale);
      if (!(error <= worst.error)) worst = { name, error, analytic: a, numeric, index };
    }
    return worst;
  });
  session.dispose();
  return errors;
}

/** The worst of them. */
export async function worstGradientError(...args: Parameters<typeof gradientErrors>): Promise<number> {
  return Math.max(...(await gradientErrors(...args)).map(({ error }) => (Number.isNaN(error) ? Infinity : error)));
}

/** The largest difference of two lists of results, relative to the largest value (at least 1e-3); results must agree in size. */
export function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity;
  let worst = 0;
  let scale = 1e-3;
  for (let i = 0; i < a.length; i++) {
    scale = Math.max(scale, Math.abs(b[i]!));
    const apart = Math.abs(a[i]! - b[i]!);
    if (!(apart <= worst)) worst = apart;
  }
  return Number.isNaN(worst) ? Infinity : worst / scale;
}
