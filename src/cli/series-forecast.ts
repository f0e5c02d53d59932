/** throughtime series forecast */
import type { Command } from "commander";
import type { BackendName } from "../backend/choose.js";
import { enableRelaxedSimd } from "../backend/wasm/flags-node.js";
import { readCalendar } from "../data/series/calendar.js";
import { readSeries } from "../data/series/csv.js";
import { UserError } from "../errors.js";
import { readTextFile } from "../files/io-node.js";
import { loadSeriesRun } from "../files/series-run-node.js";
import { backendOption, jsonOption, v8FlagsOption, whole } from "./options.js";
import { showValue, table } from "./series.js";

interface Options {
  readonly horizon?: number;
  readonly known?: string;
  readonly json?: boolean;
  readonly backend: BackendName;
  readonly v8Flags: boolean;
}

export function addSeriesForecast(series: Command): void {
  series
    .command("forecast")
    .summary("forecast with a trained forecaster")
    .description(
      "Forecasts the rows that come after the series of a run folder: the median, and quantiles on both sides.",
    )
    .argument("<DIR>", "the run folder")
    .option("--horizon <n>", "rows to forecast (default: as many as it was trained for)", whole(1))
    .option("--known <FILE.csv>", "the covariates of the rows to come, where it was trained with covariates")
    .addOption(jsonOption("one JSON object a line for each row to come"))
    .addOption(backendOption())
    .addOption(v8FlagsOption())
    .addHelpText(
      "after",
      `
Examples:
  throughtime series forecast runs/passengers-Passengers
  throughtime series forecast runs/passengers-Passengers --horizon 24 --json

With --json each row is one line {"row","date","value","quantiles":{"0.1","0.5","0.9"}}, date where the series has dates.`,
    )
    .action((dir: string, options: Options) => forecast(dir, options));
}

/** @throws UserError where the covariates' rows are not of the dates that are forecast, however these are written */
function checkDates(file: string, given: readonly string[] | undefined, wanted: readonly string[] | undefined): void {
  const instantsOf = (dates: readonly string[]): Float64Array | undefined =>
    readCalendar(dates, { gaps: "ignore" })?.instants;
  const [own, coming] = [given && instantsOf(given), wanted && instantsOf(wanted)];
  const row = own && coming ? own.subarray(0, coming.length).findIndex((instant, i) => instant !== coming[i]) : -1;
  if (row >= 0)
    throw new UserError(`${file}: row ${row + 1} is of ${given![row]}, but the forecast there is of ${wanted![row]}.`);
}

async function forecast(dir: string, { horizon, known, json, backend, v8Flags }: Options): Promise<void> {
  if (v8Flags) enableRelaxedSimd();
  const run = await loadSeriesRun(dir, { backend });
  const names = run.forecaster.toJSON().series.covariateNames;
  const [first] = names;
  const coming =
    known !== undefined && first !== undefined
      ? readSeries(await readTextFile(known), {
          column: first,
          covariates: names,
          name: known,
          minimum: 1,
          gaps: "ignore", // their dates are compared with those forecast
        })
      : undefined;
  const { values, quantiles, dates } = await run.forecaster.forecast({ horizon, covariates: coming?.covariates });
  if (known !== undefined) checkDates(known, coming?.dates, dates);
  await run.checkWeights();
  run.forecaster.dispose();
  const rows = Array.from(values, (value, i) => ({
    row: i + 1,
    ...(dates ? { date: dates[i]! } : {}),
    value,
    quantiles: Object.fromEntries(quantiles.map((quantile) => [String(quantile.level), quantile.values[i]!])),
  }));
  if (json) {
    for (const row of rows) process.stdout.write(`${JSON.stringify(row)}\n`);
    return;
  }
  const others = quantiles.filter(({ level }) => level !== 0.5);
  const head = [dates ? "date" : "row", "forecast", ...others.map(({ level }) => `${showValue(100 * level)} %`)];
  const body = rows.map(({ row, date, value }, i) => [
    date ?? String(row),
    showValue(value),
    ...others.map((quantile) => showValue(quantile.values[i]!)),
  ]);
  process.stdout.write(`${table([head, ...body])}\n`);
}
