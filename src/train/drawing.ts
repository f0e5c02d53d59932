/**
 * Drawing class after class where the model runs: each run draws from the logits z, hands what is drawn to the next run as its
 * input, and notes it down, so that many are read back at once. V classes, u uniform in [0, 1).
 *
 *   wⱼ = exp((zⱼ − max z)/temperature)      at temperature 0: 1 where zⱼ is the largest, u = 0
 *   drawn = how many j have w₀ + … + wⱼ ≤ u·Σw: the first class whose running sum passes u·Σw
 */
import {
  current,
  equal,
  exp,
  lessEqual,
  matmul,
  maxColumns,
  minimum,
  reshape,
  select,
  sumAll,
} from "../graph/language.js";
import { columnsOf, type Shape } from "../graph/shape.js";
import { type Variable, variable } from "../graph/variable.js";
import type { ProgramOptions } from "../program/lower.js";
import type { PredictionStep } from "./prediction.js";

/** Classes that can be drawn before they are read. */
export const MOST_DRAWS = 64;
/** Above, the running sums (a product with a V × V matrix) cost more than reading the logits. */
const MOST_CLASSES = 512;

/** Whether what is predicted can be drawn from and be the next input: logits of one class, from one index. */
export const canDraw = (input: Variable, output: Shape): boolean =>
  input.type === "index" && input.shape.every((length) => length === 1) && columnsOf(output) <= MOST_CLASSES;

export interface DrawingStep {
  /** [1, MOST_DRAWS]: the u of each draw. */
  readonly uniforms: Variable;
  /** [1, MOST_DRAWS]: the classes drawn. */
  readonly drawn: Variable;
  /** [1, 1]: how many have been drawn since it was written. */
  readonly position: Variable;
  /** [1, 1]. */
  readonly temperature: Variable;
  /** Refused where the logits are not finite. */
  readonly program: ProgramOptions;
}

export function drawingStep({ input, program }: PredictionStep): DrawingStep {
  const logits = program.results[0]!.tensor;
  const classes = columnsOf(logits.shape);
  const scalar = (name: string): Variable => variable(name, [1, 1]);
  const [position, temperature] = [scalar("position"), scalar("temperature")];
  const [uniforms, drawn] = ["uniforms", "drawn"].map((name) => variable(name, [1, MOST_DRAWS])) as [
    Variable,
    Variable,
  ];
  const places: Variable = {
    ...variable("places", [1, MOST_DRAWS]),
    initial: Float64Array.from({ length: MOST_DRAWS }, (_, i) => i),
  };
  // Element (i, j) is 1 for i ≤ j: a row times it is the row's running sums.
  const running: Variable = {
    ...variable("running sums", [classes, classes]),
    initial: Float64Array.from({ length: classes * classes }, (_, i) =>
      Math.floor(i / classes) <= i % classes ? 1 : 0,
    ),
  };
  const z = logits.shape.length === 3 ? reshape(logits, [1, classes]) : logits;
  const largest = maxColumns(z);
  const [greedy, here] = [equal(current(temperature), 0), equal(current(places), current(position))];
  const soft = exp(z.sub(largest).div(select(greedy, 1, current(temperature))));
  const weights = select(greedy, equal(z, largest), soft);
  const total = sumAll(weights);
  const u = sumAll(current(uniforms).mul(here));
  const passed = lessEqual(matmul(weights, current(running)), select(greedy, 0, u.mul(total)));
  const next = minimum(sumAll(passed), classes - 1);
  return {
    uniforms,
    drawn,
    position,
    temperature,
    program: {
      name: "drawing",
      results: [],
      guards: [sumAll(z)],
      commit: [
        ...(program.commit ?? []),
        { variable: input, tensor: next },
        { variable: drawn, tensor: select(here, next, current(drawn)) },
        { variable: position, tensor: current(position).add(1) },
      ],
    },
  };
}
