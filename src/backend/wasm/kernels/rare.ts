/** What few programs use, loaded with the first of them. */
export * from "./functions.js";
export { emitDots } from "./products/dots.js";
export { emitSwapped } from "./products/swapped.js";
export { randomNumbers } from "./random.js";
export { emitSoftmax } from "./softmax.js";
export { emitTranspose } from "./transposition.js";
