/**
 * Checking derived gradients against finite differences, in float64 on the reference backend: each element of each input,
 * parameter and initial state by itself.
 */
import { reference } from "../backend/reference/index.js";
import type { Cell } from "../cells/cell.js";
import { checkOptions, UserError } from "../errors.js";
import { current, sumAll, type Tensor } from "../graph/language.js";
import { type Shape, sizeOf } from "../graph/shape.js";
import { gradients } from "../graph/sweep.js";
import { initialOf, type Variable, variable } from "../graph/variable.js";
import type { Layer } from "../layers/layer.js";
import { createRng } from "../parameters/rng.js";
import { type Loss, lossOf } from "../train/loss.js";
import { createNetwork } from "../train/network.js";
import { asLayer } from "./subject.js";

/** Options of `gradientCheck`. */
export interface GradientCheckOptions {
  /** Of the inputs. Default [4, 3, 5] (T, N, D) for a cell; a layer must say. */
  readonly inputShape?: Shape;
  /** For index inputs: how many classes there are. Default: inputs are floats. */
  readonly classes?: number;
  /** Default: Σ output ∘ a + Σ final states ∘ b with random a and b, which every output reaches. */
  readonly loss?: Loss;
  /** For a loss with class targets: how many there are. Default: the last size of the predictions. */
  readonly targetClasses?: number;
  /** Valid steps of each row. Default: all. */
  readonly lengths?: readonly number[];
  /** Dropout on, batch statistics. Default true. */
  readonly training?: boolean;
  /** The largest relative error that passes. Default 1e-6. */
  readonly tolerance?: number;
  /** Of inputs, parameters and targets. Default 1. */
  readonly seed?: number;
}

/** How well one tensor's gradient agrees. */
export interface GradientCheckRow {
  /** "weight_ih_l0", "input", "state h_l0". */
  readonly name: string;
  readonly shape: Shape;
  /** The largest over the elements of |a − n| / max(|a|, |n|, 10⁻⁴·largest |n| of the tensor); a derived, n numerical. Infinite where a is not finite. */
  readonly relativeError: number;
  /** The element where that is, counted row by row. */
  readonly index: number;
  /** Elements at a kink (of relu, say), where the slopes on both sides differ and nothing can be compared. They are not among the above. */
  readonly kinks: number;
}

/** The result of `gradientCheck`. */
export interface GradientCheck {
  readonly passed: boolean;
  readonly tolerance: number;
  readonly worst: GradientCheckRow;
  readonly rows: readonly GradientCheckRow[];
}

/**
 * Compares the derived gradient of a cell or layer with finite differences of fourth order.
 * A tensor whose every element is a kink does not pass.
 * @throws UserError for a layer without `inputShape`
 */
export async function gradientCheck(subject: Cell | Layer, options: GradientCheckOptions = {}): Promise<GradientCheck> {
  const { tolerance = 1e-6, seed = 1 } = options;
  checkOptions("gradientCheck", options, "inputShape classes loss targetClasses lengths training tolerance seed");
  const inputShape = options.inputShape ?? ("apply" in subject ? undefined : [4, 3, 5]);
  if (!inputShape)
    throw new UserError(`gradientCheck(${(subject as Layer).kind}): give the \`inputShape\`, [T, N, D] or [N, D]`);
  const { loss, wrt, feeds } = trace(asLayer(subject), inputShape, options, seed);

  const session = await reference().createSession();
  try {
    const value = variable("loss", [1]);
    const derived = wrt.map(({ name, at }) => variable(`d${name}`, at.shape));
    const slopes = gradients(
      loss,
      wrt.map(({ tensor }) => tensor),
    );
    const backward = await session.compile({
      name: "gradients",
      results: derived.map((target, i) => ({ variable: target, tensor: slopes[i]! })),
    });
    const forward = await session.compile({ name: "loss", results: [{ variable: value, tensor: loss }] });
    for (const [target, data] of feeds) session.write(target, data);
    backward.run();
    const lossAt = (target: Variable, index: number, x: number): number => {
      session.write(target, [x], index);
      forward.run();
      return session.readNow!(value)[0]!;
    };
    const rows = wrt.map(({ name, at }, i): GradientCheckRow => {
      const numbers = Float64Array.from(session.readNow!(at));
      const expected = session.readNow!(derived[i]!);
      const numerical = Array.from(numbers, (x, index) => {
        const found = slope((to) => lossAt(at, index, to), x, expected[index]!, tolerance);
        session.write(at, [x], index);
        return found;
      });
      return compare(name, at.shape, expected, numerical);
    });
    const worst = rows.reduce((most, row) => (row.relativeError > most.relativeError ? row : most));
    return {
      passed: worst.relativeError <= tolerance && rows.every((row) => row.kinks < sizeOf(row.shape)),
      tolerance,
      worst,
      rows,
    };
  } finally {
    session.dispose();
  }
}

interface Subject {
  readonly loss: Tensor;
  readonly wrt: readonly { readonly name: string; readonly at: Variable; readonly tensor: Tensor }[];
  readonly feeds: readonly (readonly [Variable, ArrayLike<number>])[];
}

function trace(layer: Layer, inputShape: Shape, options: GradientCheckOptions, seed: number): Subject {
  const rng = createRng(seed);
  const feeds: [Variable, ArrayLike<number>][] = [];
  const wrt: { name: string; at: Variable; tensor: Tensor }[] = [];
  const normal = (shape: Shape): Float64Array => Float64Array.from({ length: sizeOf(shape) }, () => rng.normal());
  const classIds = (shape: Shape, classes: number): Float64Array =>
    Float64Array.from({ length: sizeOf(shape) }, () => Math.floor(rng.uniform() * classes));
  const fed = (name: string, shape: Shape, data: ArrayLike<number>, type: "float" | "index" = "float"): Tensor => {
    const made = variable(name, shape, type);
    feeds.push([made, data]);
    return current(made);
  };
  const free = (name: string, shape: Shape): Tensor => {
    const tensor = fed(name, shape, normal(shape));
    wrt.push({ name, at: tensor.attributes.variable!, tensor });
    return tensor;
  };
  const { classes, lengths } = options;
  const input = classes ? fed("input", inputShape, classIds(inputShape, classes), "index") : free("input", inputShape);
  const rows = inputShape.at(-2)!;
  const steps = inputShape[0]!;
  const mask =
    lengths &&
    fed(
      "mask",
      [steps, rows, 1],
      Array.from({ length: steps * rows }, (_, i) => (Math.floor(i / rows) < lengths[i % rows]! ? 1 : 0)),
    );
  const network = createNetwork(layer, seed);
  const { output, finals } = network.trace(input, {
    training: options.training ?? true,
    seed: fed("seed", [1], [1234 + seed], "index"),
    mask,
    state: (name, start) => free(`state ${name}`, start.shape).add(start),
  });
  for (const [name, at] of network.parameters) {
    // Away from zeros and ones, so that no gradient is tested at a special place.
    feeds.push([at, Array.from(initialOf(at)!, (start) => start + 0.3 * rng.normal())]);
    wrt.push({ name, at, tensor: network.tensors.get(name)! });
  }
  const weighted = (tensor: Tensor): Tensor => sumAll(tensor.mul(fed("weights", tensor.shape, normal(tensor.shape))));
  if (!options.loss)
    return {
      loss: [...finals.values()].reduce((sum, final) => sum.add(weighted(final)), weighted(output)),
      wrt,
      feeds,
    };
  const target = options.loss.target(output.shape);
  const data =
    target.type === "index"
      ? classIds(target.shape, options.targetClasses ?? output.shape.at(-1)!)
      : normal(target.shape).map((x) => 1 / (1 + Math.exp(-x)));
  const timed = mask && output.shape.length === 3 ? mask : undefined;
  return { loss: lossOf(options.loss, output, fed("target", target.shape, data, target.type), timed), wrt, feeds };
}

/**
 * f′(x) by differences of fourth order; undefined at a kink. Where it is not `expected`, ever smaller steps are tried, since there may
 * be a kink near x: what is wrong stays wrong with each of them. The closest counts.
 */
function slope(f: (x: number) => number, x: number, expected: number, tolerance: number): number | undefined {
  const middle = f(x);
  let closest: number | undefined;
  for (const scale of [1e-3, 1e-4, 1e-5]) {
    const h = scale * Math.max(1, Math.abs(x));
    const [left2, left, right, right2] = [f(x - 2 * h), f(x - h), f(x + h), f(x + 2 * h)];
    const [near, far] = [(right - left) / (2 * h), (right2 - left2) / (4 * h)];
    const size = Math.max(Math.abs(near), Math.abs(far), 1e-3);
    // Where f is smooth, near and far differ by O(h²), and the slopes on both sides of x by h·f″, twice as much at 2h.
    if (!(Math.abs(near - far) <= 100 * scale * size)) continue;
    const bend = Math.abs(right + left - 2 * middle) / h;
    const bend2 = Math.abs(right2 + left2 - 2 * middle) / (2 * h);
    const noise = (1e-14 * Math.max(1, Math.abs(middle))) / h;
    if (bend > 1e-6 * size + 100 * noise && bend2 < 1.5 * bend) continue;
    const found = (4 * near - far) / 3;
    if (closest === undefined || Math.abs(found - expected) < Math.abs(closest - expected)) closest = found;
    if (Math.abs(closest - expected) <= 0.1 * tolerance * Math.abs(expected)) break;
  }
  return closest;
}

function compare(
  name: string,
  shape: Shape,
  derived: ArrayLike<number>,
  numerical: readonly (number | undefined)[],
): GradientCheckRow {
  const largest = numerical.reduce((most: number, slope) => Math.max(most, Math.abs(slope ?? 0)), 0);
  let relativeError = 0;
  let index = 0;
  numerical.forEach((n, i) => {
    if (n === undefined) return;
    const a = derived[i]!;
    const scale = Math.max(Math.abs(a), Math.abs(n), 1e-4 * largest);
    const error = Number.isFinite(a) ? (scale === 0 ? 0 : Math.abs(a - n) / scale) : Infinity;
    if (error > relativeError) [relativeError, index] = [error, i];
  });
  return { name, shape, relativeError, index, kinks: numerical.filter((n) => n === undefined).length };
}
