export * from "./sampling.js";
export * from "./series/index.js";
export * from "./streams.js";
export * from "./text.js";
export * from "./vocabulary.js";
