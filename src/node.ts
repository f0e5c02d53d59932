/** What needs Node: files, and V8's flags. */
export { enableRelaxedSimd, enableRevectorize } from "./backend/wasm/flags-node.js";
export { type CsvOptions, readSeries } from "./data/series/csv.js";
export { writeFileAtomic } from "./files/atomic-node.js";
export { readTextFile } from "./files/io-node.js";
export * from "./files/run-folder-node.js";
export * from "./files/safetensors-node.js";
export { loadSeriesRun, type SeriesRun, saveSeriesRun } from "./files/series-run-node.js";
export {
  loadTextRun,
  saveTextRun,
  type TextRun,
  type TextRunContents,
  type TextRunModel,
  type TextWriter,
} from "./files/text-run-node.js";
