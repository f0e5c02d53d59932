/** throughtime series backtest */
import { SingleBar } from "cli-progress";
import type { Command } from "commander";
import { enableRelaxedSimd } from "../backend/wasm/flags-node.js";
import type { Accuracy, FoldResult } from "../data/series/backtest.js";
import { backtestForecaster, type Coverage } from "../models/forecaster-backtest.js";
import { jsonOption, whole } from "./options.js";
import {
  addModelOptions,
  addTableOptions,
  forecasterOptions,
  type ModelOptions,
  readTable,
  showValue,
  type TableOptions,
  table,
} from "./series.js";

interface Options extends TableOptions, ModelOptions {
  readonly folds: number;
  readonly json?: boolean;
}

export function addSeriesBacktest(series: Command): void {
  const command = series
    .command("backtest")
    .summary("how well would it have forecast?")
    .description(
      "Trains a forecaster anew at each of the last origins of FILE.csv, on the rows before it alone, and measures what it " +
        "forecasts beside the naive forecast (the last value) and the seasonal-naive one (the value a season ago).",
    )
    .argument("<FILE.csv>", "a table whose first line names the columns, rows in time order");
  addModelOptions(addTableOptions(command))
    .option("--folds <n>", "origins, a horizon apart, the last a horizon before the end", whole(1), 5)
    .addOption(jsonOption("one JSON object a line for each fold, and one for all at the end"))
    .addHelpText(
      "after",
      `
Examples:
  throughtime series backtest passengers.csv --column Passengers
  throughtime series backtest sales.csv --column Units --season 7 --horizon 14 --folds 8 --json | tail -1

With --json the last line is {"mae","rmse","smape","mase","naive":{…},"seasonalNaive":{…}}, each of the two with the same
four; the lines before it are the folds, with "fold" and "origin" (the row, or its date) beside them.`,
    )
    .action((file: string, options: Options) => run(file, options));
}

async function run(file: string, options: Options): Promise<void> {
  if (options.v8Flags) enableRelaxedSimd();
  const { folds, json } = options;
  const series = await readTable(file, options);
  const bar =
    process.stdout.isTTY && !json
      ? new SingleBar({
          format: "{bar} fold {fold}/{folds}  loss {loss}  {eta_formatted}",
          stream: process.stdout,
          barsize: 30,
          etaBuffer: 50,
        })
      : undefined;
  bar?.start(1000 * folds, 0, { fold: 1, folds, loss: "…" });
  const originOf = (row: number): string => series.dates?.[row] ?? String(row + 1);
  const result = await backtestForecaster({
    ...series,
    ...forecasterOptions(options),
    folds,
    onReport: ({ fold, step, steps, loss }) =>
      bar?.update(Math.round(1000 * (fold + step / steps)), { fold: fold + 1, loss: loss.toFixed(3) }),
    onFold(fold) {
      if (json) print({ fold: fold.index + 1, origin: originOf(fold.origin), ...measures(fold) });
      else if (!bar)
        process.stdout.write(
          `fold ${fold.index + 1}/${folds} from ${originOf(fold.origin)}: MAE ${showValue(fold.mae)}, ` +
            `naive ${showValue(fold.naive.mae)}, seasonal-naive ${showValue(fold.seasonalNaive.mae)}\n`,
        );
    },
  }).finally(() => bar?.stop());
  if (json) return print(measures(result));
  const row = (name: string, { mae, rmse, smape, mase }: Accuracy): string[] => [
    name,
    showValue(mae),
    showValue(rmse),
    `${smape.toFixed(1)} %`,
    mase === null ? "–" : mase.toFixed(3),
  ];
  const best = Math.min(result.naive.mae, result.seasonalNaive.mae);
  const gain = Math.round(100 * (1 - result.mae / best));
  process.stdout.write(
    `${table([
      ["", "MAE", "RMSE", "sMAPE", "MASE"],
      row("forecaster", result),
      row("naive", result.naive),
      row("seasonal-naive", result.seasonalNaive),
    ])}\nThe forecaster's MAE is ${Math.abs(gain)} % ${gain >= 0 ? "below" : "above"} that of the better baseline.\n${result.coverage.map(share).join("")}`,
  );
}

const share = ({ lower, upper, nominal, actual }: Coverage): string =>
  `${percent(actual)} of the values lie between the quantiles ${lower} and ${upper}, where ${percent(nominal)} ought to.\n`;
const percent = (of: number): string => `${Math.round(100 * of)} %`;
const four = ({ mae, rmse, smape, mase }: Accuracy): Accuracy => ({ mae, rmse, smape, mase });
const measures = (of: Accuracy & Pick<FoldResult, "naive" | "seasonalNaive">): object => ({
  ...four(of),
  naive: four(of.naive),
  seasonalNaive: four(of.seasonalNaive),
});
const print = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
