/**
 * Forecasting monthly airline passengers (Box & Jenkins 1976): first how well it would have gone, at five origins in the past,
 * beside the naive forecasts; then the twelve months to come, with quantiles.
 *
 *   npx tsx examples/forecasting.ts [FILE.csv COLUMN]
 */
import { backtestForecaster, trainForecaster } from "throughtime";
import { enableRelaxedSimd, readSeries, readTextFile } from "throughtime/node";
import { runCommand } from "./command-line.js";

export async function main({
  file = "data/airline-passengers.csv",
  column = "Passengers",
  folds = 5,
  steps = 400,
  members = 3,
} = {}) {
  enableRelaxedSimd();
  const { values, dates } = readSeries(await readTextFile(file), { column, name: file });
  const series = { values, dates, season: 12, horizon: 12, steps, members };

  const result = await backtestForecaster({ ...series, folds });
  console.log(`${`${column}, ${folds} origins, 12 months ahead`.padEnd(38)}      MAE     RMSE    sMAPE`);
  const rows = { forecaster: result, naive: result.naive, "seasonal naive": result.seasonalNaive };
  for (const [name, { mae, rmse, smape }] of Object.entries(rows))
    console.log(name.padEnd(38) + [mae, rmse, smape].map((value) => value.toFixed(2).padStart(9)).join(""));

  const forecaster = await trainForecaster(series);
  const forecast = await forecaster.forecast();
  const levels = forecast.quantiles.map(({ level }) => `${100 * level} %`.padStart(9));
  console.log(`\n${"The months to come".padEnd(38)}${levels.join("")}`);
  for (let h = 0; h < forecast.values.length; h++) {
    const numbers = forecast.quantiles.map((quantile) => quantile.values[h]!.toFixed(0).padStart(9));
    console.log((forecast.dates?.[h] ?? `+${h + 1}`).padEnd(38) + numbers.join(""));
  }
  forecaster.dispose();
  return { result, forecast };
}

if (import.meta.filename === process.argv[1]) {
  const [file, column] = process.argv.slice(2);
  await runCommand(() => main({ file, column }));
}
