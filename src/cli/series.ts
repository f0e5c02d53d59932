/** What the three series commands share: the table they read and the forecaster's options. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { BackendName } from "../backend/choose.js";
import { readSeries } from "../data/series/csv.js";
import type { Series } from "../data/series/series.js";
import { UserError } from "../errors.js";
import { readTextFile } from "../files/io-node.js";
import type { ForecasterOptions } from "../models/forecaster.js";
import { cellNames } from "../models/text-model.js";
import { above, backendOption, layerCount, share, threadsOption, v8FlagsOption, whole } from "./options.js";

export interface TableOptions {
  readonly column: string;
  readonly dateColumn?: string;
  readonly covariate?: readonly string[];
  readonly gaps: "refuse" | "ignore";
}

/** The options of the forecaster that have one of the command's own; what is not given is the forecaster's own default. */
const taken = [
  "horizon",
  "lookback",
  "season",
  "cell",
  "hidden",
  "layers",
  "dropout",
  "members",
  "steps",
  "epochs",
  "batch",
  "learningRate",
  "weightDecay",
  "clipNorm",
  "transform",
  "quantiles",
  "seed",
  "backend",
  "threads",
] as const satisfies readonly (keyof ForecasterOptions)[];

export interface ModelOptions extends Pick<ForecasterOptions, (typeof taken)[number]> {
  readonly horizon: number;
  readonly season: number;
  readonly seed: number;
  readonly backend: BackendName;
  readonly threads?: number;
  readonly v8Flags: boolean;
}

const levels = (text: string): number[] => {
  const numbers = text.split(",").map((part) => (part.trim() === "" ? Number.NaN : Number(part)));
  if (!numbers.every((level) => level > 0 && level < 1))
    throw new InvalidArgumentError("They must be numbers between 0 and 1 with commas between them, such as 0.1,0.9.");
  return numbers;
};
const gather = (name: string, before: readonly string[] = []): string[] => [...before, name];

export const addTableOptions = (command: Command): Command =>
  command
    .requiredOption("-c, --column <NAME>", "the column of values")
    .option("--date-column <NAME>", "the column of dates (default: found by its name and what stands in it)")
    .option(
      "--covariate <NAME>",
      "a column that is known beforehand, such as prices or holidays; may be repeated",
      gather,
    )
    .addOption(
      new Option("--gaps <how>", "at missing or repeated dates: refuse, or ignore and take rows as evenly spaced")
        .choices(["refuse", "ignore"])
        .default("refuse"),
    );

export const addModelOptions = (command: Command): Command =>
  command
    .option("--horizon <n>", "rows to forecast", whole(1), 12)
    .option("--lookback <n>", "rows that the network looks back on (default: 3 seasons, 24 to 100)", whole(1))
    .option("--season <n>", "rows a season, used where the series shows one; 1 for none", whole(1), 12)
    .addOption(new Option("--cell <name>", "the recurrent cell (default: gru)").choices(cellNames))
    .option("--hidden <n>", "features of each layer (default: 32)", whole(1))
    .option("--layers <n>", "recurrent layers (default: 1)", layerCount)
    .option("--dropout <p>", "dropout between layers and before the head (default: 0.2)", share)
    .option("--members <n>", "networks that are averaged (default: 3)", whole(1))
    .addOption(
      new Option(
        "--steps <n>",
        "updates in each of the two trainings, with rows held out and on all (default: 400, more for long series)",
      )
        .argParser(whole(1))
        .conflicts("epochs"),
    )
    .addOption(new Option("--epochs <n>", "or times through all windows").argParser(whole(1)))
    .option("--batch <n>", "windows in an update (default: 16)", whole(1))
    .option("--learning-rate <rate>", "of Adam, falling along a cosine (default: 0.005)", above(0))
    .option("--weight-decay <rate>", "of AdamW (default: 0)", above(0, { orEqual: true }))
    .option("--clip-norm <norm>", "the gradient's global norm is kept below it (default: 1)", above(0))
    .addOption(
      new Option(
        "--transform <how>",
        "work on logarithms; auto: where changes grow with the level (default: auto)",
      ).choices(["auto", "log", "none"]),
    )
    .addOption(
      new Option("--quantiles <levels>", "quantiles to forecast beside the median (default: 0.1,0.9)").argParser(
        levels,
      ),
    )
    .option("--seed <n>", "of weights and the order of windows", whole(0), 1)
    .addOption(backendOption())
    .addOption(threadsOption())
    .addOption(v8FlagsOption());

export async function readTable(file: string, { column, dateColumn, covariate, gaps }: TableOptions): Promise<Series> {
  if (covariate?.some((name) => name.trim() === column.trim()))
    throw new UserError(`--covariate ${column} is the column to forecast, which is not known beforehand.`);
  return readSeries(await readTextFile(file), {
    column,
    name: file,
    gaps,
    ...(dateColumn === undefined ? {} : { dateColumn }),
    ...(covariate ? { covariates: covariate } : {}),
  });
}

export const forecasterOptions = (options: ModelOptions): ForecasterOptions =>
  Object.fromEntries(taken.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]));

/** 1234.5, 0.0123: as many digits as say something. */
export const showValue = (value: number): string =>
  Number.isInteger(value)
    ? String(value)
    : Math.abs(value) >= 100
      ? value.toFixed(1)
      : String(Number(value.toPrecision(4)));

/** Rows of cells as columns, numbers to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
