/**
 * Drawing class after class where the model runs: each run draws from the logits z, hands what is drawn to the next run as its
 * input, and notes it down, so that many are read back at once. V classes, u uniform in [0, 1).
 *
 *   wᵢ = exp((zᵢ − max z)/temperature)      at temperature 0: 1 where zᵢ is the largest, u = 0
 *   sᵢ = Σ wⱼ of the classes j up to i
 *   drawn = the first class kept with sᵢ > u·(the largest sᵢ kept)
 *
 * From all: all are kept, in their order. From the likeliest (top-k, top-p): they come first, of equals the lower class,
 *
 *   rankᵢ = how many j have zⱼ > zᵢ, or zⱼ = zᵢ and j < i
 *   first = those with rankᵢ < K
 *   kept = the first with sᵢ − wᵢ < P·(the largest sᵢ of the first)
 */
import {
  current,
  equal,
  exp,
  floor,
  less,
  lessEqual,
  matmul,
  maxColumns,
  reshape,
  select,
  slice,
  split,
  sumAll,
  sumRows,
  type Tensor,
  transpose,
} from "../graph/language.js";
import { columnsOf, type Shape, sizeOf } from "../graph/shape.js";
import { type Variable, variable } from "../graph/variable.js";
import type { ProgramOptions } from "../program/lower.js";
import type { PredictionStep } from "./prediction.js";

/** Classes that can be drawn before they are read. */
export const MOST_DRAWS = 64;
/** Above, the sums (a product with a V × V matrix) cost more than reading the logits. */
const MOST_CLASSES = 512;
/** Of so few classes the likeliest has a greater share: no smaller top-p says anything else, and in 32 bits it might be 0. */
const LEAST_SHARE = 1e-6;
/** A power of 2 above all classes: class and rank in one number of 32 bits. */
const FRACTION = 1024;

/** How a class is drawn from logits; all have defaults. */
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
  /** [1, MOST_DRAWS]: the classes drawn. */
  readonly drawn: Variable;
  /** [1, 6]: to be written ahead of each draw, from `how`. */
  readonly settings: Variable;
  /** From which classes these options draw, and the settings of the draw by `u` whose class is the `turn`-th of those drawn. */
  how(options: SamplingOptions): { readonly from: From; settings(u: number, turn: number): readonly number[] };
  /** Refused where the logits are not finite. */
  program(from: From): ProgramOptions;
}

export type From = "all" | "likeliest";

export function createDrawings({ input, program }: PredictionStep): Drawings {
  const logits = program.results[0]!.tensor;
  const classes = columnsOf(logits.shape);
  const z = logits.shape.length === 3 ? reshape(logits, [1, classes]) : logits;
  const drawn = variable("drawn", [1, MOST_DRAWS]);
  const settings = variable("settings", [1, 6]);
  return {
    drawn,
    settings,
    how({ temperature = 1, topK = classes, topP = 1 }) {
      const greedy = temperature === 0;
      const divisor = greedy ? 1 : temperature;
      const [k, p] = [Math.min(topK, classes), Math.max(topP, LEAST_SHARE)];
      return {
        from: greedy || (k === classes && p === 1) ? "all" : "likeliest",
        settings: (u, turn) => [greedy ? 0 : u, turn, greedy ? 1 : 0, divisor, k, p],
      };
    },
    program(from) {
      const [u, turn, greedy, divisor, k, p] = split(current(settings), 6);
      const below = z.sub(maxColumns(z));
      const weights = exp(below.div(divisor)).mul(select(greedy, equal(below, 0), 1));
      const ordered = from === "all" ? notAfter(classes) : notAfterInRank(z);
      const sums = matmul(weights, ordered);
      const next = from === "all" ? drawnOf(sums, u) : drawnOfLikeliest(ordered, sums, weights, u, k, p);
      const here = equal(
        constants("turns", [1, MOST_DRAWS], (i) => i),
        turn,
      );
      return {
        name: `drawing from ${from}`,
        results: [],
        // A weight that is not finite makes all sums so.
        guards: [slice(sums, classes - 1, 1)],
        commit: [
          ...(program.commit ?? []),
          { variable: input, tensor: next },
          { variable: drawn, tensor: select(here, next, current(drawn)) },
        ],
      };
    },
  };
}

function drawnOf(sums: Tensor, u: Tensor): Tensor {
  return sumAll(passed(sums, slice(sums, columnsOf(sums.shape) - 1, 1), u));
}

function drawnOfLikeliest(ordered: Tensor, sums: Tensor, weights: Tensor, u: Tensor, k: Tensor, p: Tensor): Tensor {
  const classes = columnsOf(sums.shape);
  const rank = sumRows(ordered, [1, classes]).sub(1);
  const first = less(rank, k);
  const kept = less(sums.sub(weights), first.mul(p).mul(maxColumns(first.mul(sums))));
  const left = select(passed(sums, maxColumns(kept.mul(sums)), u), 0, kept);
  // The first in rank has the largest V − rank; its class is the fraction.
  const fractions = constants("classes", [1, classes], (i) => i / FRACTION);
  const found = maxColumns(left.mul(fractions.add(classes).sub(rank)));
  return found.sub(floor(found)).mul(FRACTION);
}

/** 1 for the classes that come before the one drawn. What reaches the whole never does, though u be rounded to 1. */
const passed = (sums: Tensor, whole: Tensor, u: Tensor): Tensor =>
  lessEqual(sums, select(less(sums, whole), u, -1).mul(whole));

/** [V, V]: 1 in row j, column i, where j = i or is likelier. A row times it is the row's sums from the likeliest on. */
const notAfterInRank = (z: Tensor): Tensor => {
  const column = transpose(z);
  return select(notAfter(columnsOf(z.shape)), lessEqual(z, column), less(z, column));
};

/** [V, V]: 1 in row j, column i, for j ≤ i. A row times it is the row's running sums. */
const notAfter = (classes: number): Tensor =>
  constants("not after", [classes, classes], (at) => (Math.floor(at / classes) <= at % classes ? 1 : 0));

const constants = (name: string, shape: Shape, of: (at: number) => number): Tensor =>
  current({ ...variable(name, shape), initial: Float64Array.from({ length: sizeOf(shape) }, (_, at) => of(at)) });
