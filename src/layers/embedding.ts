/** From indices to features: a learned row for each index, or a row of zeros with a one. V indices 0 … V−1, D features. */
import { checkCount, checkOptions } from "../errors.js";
import { gather, oneHot } from "../graph/language.js";
import { normal } from "../parameters/initializers.js";
import type { Initializer } from "../parameters/parameter.js";
import { checkIndices } from "./check.js";
import type { Layer } from "./layer.js";

/** Options of `embedding`; all have defaults. */
export interface EmbeddingOptions {
  /** How `weight` [V, D] starts. Default N(0, 1), as PyTorch's Embedding. */
  readonly initializer?: Initializer;
}

/**
 * y = weight[index]: input indices [N, 1] or [T, N, 1], output [N, D] or [T, N, D] with V = `size` and D = `features`. Where the
 * model's input is an index outside 0 … V−1, training, validation and a predictor refuse it, unless the mask leaves it out; elsewhere
 * it gives a row of zeros and learns nothing. Parameter, under PyTorch's name: weight [V, D].
 * @throws UserError where the sizes are no whole numbers of at least 1, or the input holds no indices
 */
export function embedding(size: number, features: number, options: EmbeddingOptions = {}): Layer {
  const { initializer = normal(1) } = options;
  checkOptions("embedding", options, "initializer");
  checkCount("embedding: the number of indices", size);
  checkCount("embedding: the number of features", features);
  return {
    kind: "embedding",
    apply: (input, context) =>
      gather(context.parameter("weight", [size, features], initializer), checkIndices("embedding", size, input)),
  };
}

/**
 * Each index as a row of zeros with a one at its place: input indices [N, 1] or [T, N, 1], output [N, V] or [T, N, V] with V =
 * `classes`. An index outside 0 … V−1 is refused as by `embedding`; elsewhere it gives zeros alone. No parameters.
 * @throws UserError where `classes` is no whole number of at least 1, or the input holds no indices
 */
export function oneHotEncoding(classes: number): Layer {
  checkCount("oneHotEncoding: the number of classes", classes);
  return { kind: "oneHotEncoding", apply: (input) => oneHot(checkIndices("oneHotEncoding", classes, input), classes) };
}
