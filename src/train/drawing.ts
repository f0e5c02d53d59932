/**
 * Drawing class after class where the model runs: each run draws from the logits z, hands what is drawn to the next run as its
 * input, and notes it down, so that many are read back at once. V classes, u uniform in [0, 1).
 *
 *   wᵢ = exp((zᵢ − max z)/temperature)      at temperature 0: 1 where zᵢ is the largest, u = 0
 *   sᵢ = Σ wⱼ of the classes j up to i
 *   drawn = the first class kept with sᵢ > u·S, S the largest sᵢ of those kept
 *
 * All are kept, in their order. With top-k or top-p the likeliest come first, of equals the lower class:
 *
 *   placeᵢ = how many j have zⱼ > zᵢ, or zⱼ = zᵢ and j ≤ i
 *   kept = the i with placeᵢ ≤ K, and of these, with sums up to S_K, those before which sᵢ − wᵢ < P·S_K
 */
import {
  current,
  equal,
  exp,
  less,
  lessEqual,
  matmul,
  maxColumns,
  reshape,
  select,
  slice,
  sumAll,
  sumRows,
  type Tensor,
  transpose,
} from "../graph/language.js";
import { columnsOf, type Shape } from "../graph/shape.js";
import { type Variable, variable } from "../graph/variable.js";
import type { ProgramOptions } from "../program/lower.js";
import type { PredictionStep } from "./prediction.js";

/** Classes that can be drawn before they are read. */
export const MOST_DRAWS = 64;
/** Above, the sums (a product with a V × V matrix) cost more than reading the logits. */
const MOST_CLASSES = 512;
/** Of so few classes the likeliest has a greater share, so that no smaller top-p says anything else; in 32 bits it might be 0. */
export const LEAST_SHARE = 1e-6;

export interface SamplingOptions {
  /** Logits are divided by it: below 1 bolder, above 1 wilder, 0 always the likeliest. Default 1. */
  readonly temperature?: number;
  /** Draw from the `topK` likeliest only. Default: all. */
  readonly topK?: number;
  /**
   * Draw from the fewest likeliest whose share reaches `topP`, 0 < topP ≤ 1 (nucleus sampling, Holtzman et al. 2020);
   * with `topK`, of those K. Default: all.
   */
  readonly topP?: number;
}

/** Whether what is predicted can be drawn from and be the next input: logits of one class, from one index. */
export const canDraw = (input: Variable, output: Shape): boolean =>
  input.type === "index" && input.shape.every((length) => length === 1) && columnsOf(output) <= MOST_CLASSES;

export interface Drawings {
  /** [1, MOST_DRAWS]: the u of each draw. */
  readonly uniforms: Variable;
  /** [1, MOST_DRAWS]: the classes drawn. */
  readonly drawn: Variable;
  /** [1, 1]: how many have been drawn since it was written. */
  readonly position: Variable;
  /** [1, 1]. */
  readonly temperature: Variable;
  /** [1, 2]: K and P. */
  readonly limits: Variable;
  /** From all classes, or from the likeliest within the limits. Refused where the logits are not finite. */
  program(from: "all" | "likeliest"): ProgramOptions;
}

export function createDrawings({ input, program }: PredictionStep): Drawings {
  const logits = program.results[0]!.tensor;
  const classes = columnsOf(logits.shape);
  const [position, temperature] = ["position", "temperature"].map((name) => variable(name, [1, 1])) as [
    Variable,
    Variable,
  ];
  const [uniforms, drawn] = ["uniforms", "drawn"].map((name) => variable(name, [1, MOST_DRAWS])) as [
    Variable,
    Variable,
  ];
  const limits = variable("limits", [1, 2]);
  const turns = constants("turns", [1, MOST_DRAWS], (i) => i);
  const z = logits.shape.length === 3 ? reshape(logits, [1, classes]) : logits;
  return {
    uniforms,
    drawn,
    position,
    temperature,
    limits,
    program(from) {
      const largest = maxColumns(z);
      const [greedy, here] = [equal(current(temperature), 0), equal(turns, current(position))];
      const soft = exp(z.sub(largest).div(select(greedy, 1, current(temperature))));
      const weights = select(greedy, equal(z, largest), soft);
      const u = select(greedy, 0, sumAll(current(uniforms).mul(here)));
      const next = from === "all" ? drawnOf(weights, u) : drawnOfLikeliest(z, weights, u, current(limits));
      return {
        name: `drawing from ${from}`,
        results: [],
        guards: [sumAll(z)],
        commit: [
          ...(program.commit ?? []),
          { variable: input, tensor: next },
          { variable: drawn, tensor: select(here, next, current(drawn)) },
          { variable: position, tensor: current(position).add(1) },
        ],
      };
    },
  };
}

function drawnOf(weights: Tensor, u: Tensor): Tensor {
  const classes = columnsOf(weights.shape);
  // Element (j, i) is 1 for j ≤ i: a row times it is the row's running sums.
  const upTo = constants("running sums", [classes, classes], (at) =>
    Math.floor(at / classes) <= at % classes ? 1 : 0,
  );
  const sums = matmul(weights, upTo);
  return sumAll(passed(sums, maxColumns(sums), u));
}

/** `limits`: K and P, [1, 2]. */
function drawnOfLikeliest(z: Tensor, weights: Tensor, u: Tensor, limits: Tensor): Tensor {
  const classes = columnsOf(z.shape);
  const [i, j] = [constants("class", [1, classes], (at) => at), constants("other class", [classes, 1], (at) => at)];
  // Element (j, i) is 1 where j does not come after i.
  const upTo = select(lessEqual(j, i), lessEqual(z, transpose(z)), less(z, transpose(z)));
  const [sums, place] = [matmul(weights, upTo), sumRows(upTo, [1, classes])];
  const [k, p] = [slice(limits, 0, 1), slice(limits, 1, 1)];
  const first = lessEqual(place, k);
  const reached = p.mul(maxColumns(first.mul(sums)));
  const kept = first.mul(less(sums.sub(weights), reached));
  const count = sumAll(kept.mul(passed(sums, maxColumns(kept.mul(sums)), u)));
  return sumAll(equal(place, count.add(1)).mul(i));
}

/** 1 for the classes that come before the one drawn; what reaches the whole is never one of them, however u was rounded. */
const passed = (sums: Tensor, whole: Tensor, u: Tensor): Tensor => lessEqual(sums, u.mul(whole)).mul(less(sums, whole));

const constants = (name: string, shape: Shape, of: (at: number) => number): Tensor =>
  current({
    ...variable(name, shape),
    initial: Float64Array.from({ length: shape.reduce((size, length) => size * length, 1) }, (_, at) => of(at)),
  });
