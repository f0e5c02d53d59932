// csv.ts is not among them: it alone needs a library, and who reads no CSV should not carry it.
export * from "./backtest.js";
export * from "./baselines.js";
export * from "./calendar.js";
export * from "./covariates.js";
export * from "./features.js";
export * from "./metrics.js";
export { pipeline, transformFromJSON } from "./pipeline.js";
export { minMaxScaler, standardScaler } from "./scale.js";
export { type Series, type SeriesOptions, seriesFromTable, type Table } from "./series.js";
export { difference, log, log1p, type Transform, type TransformJSON, type TransformSpec } from "./transform.js";
export * from "./windows.js";
