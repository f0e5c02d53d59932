/** throughtime series train */
import type { Command } from "commander";
import { enableRelaxedSimd } from "../backend/wasm/flags-node.js";
import { saveSeriesRun } from "../files/series-run-node.js";
import { type Forecaster, trainForecaster } from "../models/forecaster.js";
import { createDisplay, showCount } from "./display.js";
import { say } from "./failure.js";
import { checkFolder, folderFor } from "./folder.js";
import { jsonOption, reportEveryOf, reportEveryOption } from "./options.js";
import {
  addModelOptions,
  addTableOptions,
  forecasterOptions,
  type ModelOptions,
  readTable,
  type TableOptions,
} from "./series.js";
import { stopOnSignals } from "./stop.js";

interface Options extends TableOptions, ModelOptions {
  readonly out?: string;
  readonly overwrite?: boolean;
  readonly reportEvery?: number;
  readonly json?: boolean;
}

export function addSeriesTrain(series: Command): void {
  const command = series
    .command("train")
    .summary("train a forecaster on a column of a CSV file")
    .description(
      "Trains a forecaster on one column of FILE.csv and saves it as a run folder: exponential smoothing for level, season " +
        "and growth, and recurrent networks that learn what it leaves.",
    )
    .argument("<FILE.csv>", "a table whose first line names the columns, rows in time order");
  addModelOptions(addTableOptions(command))
    .option("-o, --out <DIR>", "the run folder (default: runs/ and the names of file and column)")
    .option("--overwrite", "replace a run that is in the folder already, damaged or not")
    .addOption(reportEveryOption())
    .addOption(jsonOption("one JSON object a line for each report"))
    .addHelpText(
      "after",
      `
Examples:
  throughtime series train passengers.csv --column Passengers
  throughtime series train sales.csv --column Units --season 7 --horizon 14 --covariate Price --out runs/sales

With --json each report is one line
  {"phase","step","loss","gradientNorm","learningRate","updatesPerSecond"}
A report comes after each update, or with --report-every n at each n-th step of each of the two trainings and at the end of
its epochs: step counts all updates, loss is the mean of those since the report before, gradientNorm and learningRate are
the last one's.`,
    )
    .action((file: string, options: Options) => train(file, options));
}

async function train(file: string, options: Options): Promise<void> {
  if (options.v8Flags) enableRelaxedSimd();
  const series = await readTable(file, options);
  const dir = options.out ?? folderFor(file, options.column);
  const { overwrite = false } = options;
  await checkFolder(dir, overwrite, "--overwrite replaces it, and --out names another folder");

  const stop = stopOnSignals();
  const aborted = new AbortController();
  let display: ReturnType<typeof createDisplay> | undefined;
  let before = { time: performance.now(), step: 0 };
  let reached = "";
  try {
    const forecaster = await trainForecaster({
      ...series,
      ...forecasterOptions(options),
      reportEvery: reportEveryOf(options, options.backend),
      signal: aborted.signal,
      onReport({ phase, step, steps, loss, gradientNorm, learningRate }) {
        display ??= begin(file, series.values.length, steps, options);
        const now = performance.now();
        const updatesPerSecond = (1000 * (step - before.step)) / (now - before.time);
        before = { time: now, step };
        reached = `step ${step} of ${steps}`;
        display.report(
          { step, loss, gradientNorm, speed: updatesPerSecond },
          { phase, step, loss, gradientNorm, learningRate, updatesPerSecond },
        );
        if (stop.reason !== undefined) aborted.abort();
      },
    });
    const isStopped = stop.reason !== undefined;
    const training = { file, column: options.column, ...forecasterOptions(options) };
    await saveSeriesRun(dir, forecaster, training, { replaceDamaged: overwrite });
    forecaster.dispose();
    display ??= begin(file, series.values.length, 0, options);
    display.end();
    display.say(`${decisions(forecaster)}${isStopped ? "" : endOf(forecaster, reached)}.`);
    if (forecaster.untrained !== undefined)
      say(`note: ${forecaster.untrained}: the forecast is the smoothing's alone.`);
    if (isStopped) {
      say(
        `stopped by ${stop.reason}${reached && ` after ${reached}`}: the forecaster as it then was is saved in ${dir}.`,
      );
      process.exitCode = stop.exitCode;
      return;
    }
    display.say(`Saved in ${dir}. To see what comes: throughtime series forecast ${dir}`);
  } finally {
    display?.end();
    stop.release();
  }
}

/** What was found about the series, and of how much use the network was. */
function decisions(forecaster: Forecaster): string {
  const { recipe, blend } = forecaster.toJSON();
  return (
    `${recipe.log ? "Logarithms" : "No logarithms"}, ${recipe.season > 1 ? `a season of ${recipe.season}` : "no season"}; ` +
    (forecaster.untrained === undefined
      ? `the network's share in the forecast is ${Math.round(100 * blend.trust)} %, found on rows held out`
      : "no network")
  );
}

/** Why training ended before the last of its steps, where it did by itself. */
const endOf = (forecaster: Forecaster, reached: string): string =>
  forecaster.untrained === undefined && forecaster.toJSON().blend.trust === 0
    ? `, so that it was not trained again on all rows: training ended after ${reached}`
    : "";

function begin(file: string, rows: number, total: number, { json, column }: Options): ReturnType<typeof createDisplay> {
  const display = createDisplay({ json: json ?? false, from: 0, total, unit: "updates/s" });
  display.say(`${file}, column ${column}: ${showCount(rows)} rows.`);
  return display;
}
