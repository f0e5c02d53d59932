/** The program of a prediction. */
import { current, type Tensor } from "../graph/language.js";
import { batchVariable, type Variable } from "../graph/variable.js";
import type { ProgramOptions } from "../program/lower.js";
import type { Network } from "./network.js";
import { carriedIn, carriedOn, rowsOfBatch, type Shapes } from "./programs.js";
import type { TrainerVariables } from "./update.js";

export interface PredictionStep {
  /** What the model was traced on. */
  readonly x: Tensor;
  readonly input: Variable;
  readonly mask: Variable | undefined;
  readonly reset: Variable;
  readonly states: ReadonlyMap<string, Variable>;
  readonly output: Variable;
  readonly program: ProgramOptions;
}

/** Prediction: the model's output; the state is carried on where asked for. */
export function predictionStep(network: Network, variables: TrainerVariables, shapes: Shapes): PredictionStep {
  const rows = rowsOfBatch(shapes.inputShape);
  const input = batchVariable("input", shapes.inputShape, shapes.inputType);
  const mask = shapes.masked ? batchVariable("mask", [shapes.inputShape[0]!, rows, 1]) : undefined;
  const reset = batchVariable("reset", [rows, 1]);
  const states = new Map<string, Variable>();
  const x = current(input);
  const trace = network.trace(x, {
    training: false,
    seed: current(variables.seed),
    mask: mask && current(mask),
    state: carriedIn(states, reset, shapes.carries),
  });
  const output = batchVariable("output", trace.output.shape);
  const commit = shapes.carries ? carriedOn(states, trace.finals) : [];
  return {
    x,
    input,
    mask,
    reset,
    states,
    output,
    program: { name: "prediction", results: [{ variable: output, tensor: trace.output }], commit },
  };
}
