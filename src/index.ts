/**
 * throughtime: recurrent networks and backpropagation through time. This entry runs in browsers and in Node; what needs files is
 * in "throughtime/node".
 */

export { type BackendName, backendNamed, type Threads } from "./backend/choose.js";
export type { Backend, Executable, HostArray, Memory, RunResult, Session } from "./backend/contract.js";
// Programs and backends
export { evaluate } from "./backend/evaluate.js";
export { reference } from "./backend/reference/index.js";
export { type WasmOptions, wasm } from "./backend/wasm/index.js";
export { type WebGpuOptions, webgpu } from "./backend/webgpu/index.js";
// Cells and layers
export { type Cell, type CellDefinition, defineCell } from "./cells/cell.js";
export { type GruOptions, gru } from "./cells/gru.js";
export { type LstmOptions, lstm } from "./cells/lstm.js";
export { type RnnOptions, rnn } from "./cells/rnn.js";
export * from "./check/index.js";
// Data
export * from "./data/index.js";
export { UserError } from "./errors.js";
// Looking inside
export { type ExplainOptions, explain } from "./explain/explain.js";

// Files
export { checkpointFiles, readCheckpoint } from "./files/checkpoint.js";
export * from "./files/safetensors.js";
// The language
export * from "./graph/language.js";
export type { Shape } from "./graph/shape.js";
export { gradients } from "./graph/sweep.js";
export type { Unrolled, UnrollOptions } from "./graph/unroll.js";
export { type ElementType, type Variable, variable } from "./graph/variable.js";
export * from "./layers/index.js";
export {
  type Forecast,
  type Forecaster,
  type ForecasterData,
  type ForecasterOptions,
  type ForecasterReport,
  type ForecastOptions,
  restoreForecaster,
  trainForecaster,
} from "./models/forecaster.js";
// Models
export {
  backtestForecaster,
  type Coverage,
  type ForecasterBacktest,
  type ForecasterBacktestOptions,
} from "./models/forecaster-backtest.js";
export { type CellName, cellNamed, cellNames, type TextModelOptions, textModel } from "./models/text-model.js";
export * as initializers from "./parameters/initializers.js";
export type { Initializer } from "./parameters/parameter.js";
export { createRng, type Rng, type RngState } from "./parameters/rng.js";
export { type Assignment, lower, type ProgramOptions } from "./program/lower.js";
export type { Program } from "./program/program.js";
// Training
export * from "./train/index.js";
