/** The layers' public names. */
export { type Activation, activation } from "./activation.js";
export { type DenseOptions, dense } from "./dense.js";
export { dropout } from "./dropout.js";
export { type EmbeddingOptions, embedding, oneHotEncoding } from "./embedding.js";
export { last } from "./last.js";
export type { Context, Layer } from "./layer.js";
export { type BatchNormOptions, batchNorm, type LayerNormOptions, layerNorm } from "./normalization.js";
export { type RecurrentOptions, recurrent } from "./recurrent.js";
export { residual, sequential } from "./sequential.js";
