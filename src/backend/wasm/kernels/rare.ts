/** What not every program uses, loaded with the first that does. */
export { emitCrossEntropy } from "./cross-entropy.js";
export { withFetches } from "./fetches.js";
export * from "./functions.js";
export { passesOf } from "./passes.js";
export { emitDots } from "./products/dots.js";
export { emitSwapped } from "./products/swapped.js";
export { randomNumbers } from "./random.js";
export { emitAcross } from "./reduce-across.js";
export { emitGather, emitScatter } from "./rows.js";
export { emitSoftmax } from "./softmax.js";
export { emitTranspose } from "./transposition.js";
