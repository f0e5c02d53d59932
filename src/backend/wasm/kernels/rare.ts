/** What few programs use, loaded with the first of them. */
export * from "./functions.js";
export { randomNumbers } from "./random.js";
export { emitTranspose } from "./transposition.js";
