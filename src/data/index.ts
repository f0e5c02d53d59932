export * from "./arrays.js";
export * from "./generate.js";
export * from "./sampling.js";
export * as series from "./series/index.js";
export * from "./streams.js";
export * from "./text.js";
export * from "./text-batches.js";
export * from "./vocabulary.js";
