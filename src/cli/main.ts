#!/usr/bin/env node
/** The throughtime command. */
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { addCheck } from "./check.js";
import { addExplain } from "./explain.js";
import { reportFailure, say } from "./failure.js";
import { addSeriesBacktest } from "./series-backtest.js";
import { addSeriesForecast } from "./series-forecast.js";
import { addSeriesTrain } from "./series-train.js";
import { addTextSample } from "./text-sample.js";
import { addTextTrain } from "./text-train.js";

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

const fail = (error: unknown): void => {
  process.exitCode = reportFailure(error, version);
};

function createProgram(): Command {
  const program = new Command("throughtime")
    .description("Recurrent networks and backpropagation through time.")
    .version(version)
    .exitOverride()
    .showHelpAfterError("(--help says what there is)")
    .addHelpText(
      "after",
      `
Examples:
  throughtime text train play.txt                 learn to write like a text
  throughtime text sample runs/play-lstm          let the model write
  throughtime series train sales.csv --column Units
  throughtime series forecast runs/sales-Units
  throughtime explain lstm                        the equations, forward and backward
  throughtime check                               are the gradients right?

Exit codes: 0 done, 1 bad input, 2 wrong usage, 130 stopped by Ctrl-C (the run is saved).
THROUGHTIME_DEBUG=1 shows where in the code an error arose.`,
    );
  const text = program.command("text").description("character models of a text");
  addTextTrain(text);
  addTextSample(text);
  const series = program.command("series").description("forecasts of a column of a CSV file");
  addSeriesTrain(series);
  addSeriesForecast(series);
  addSeriesBacktest(series);
  addExplain(program);
  addCheck(program);
  return program;
}

process.on("uncaughtException", (error) => {
  fail(error);
  process.exit();
});
// A reader that goes away (| head) is no failure; a disk that is full is one. Who trains has a run to save first.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE" && process.stdout.listenerCount("error") > 1) return;
  if (error.code === "EPIPE") process.exit(0);
  say(`error: cannot write the output: ${error.code === "ENOSPC" ? "the disk is full" : error.message}.`);
  process.exit(1);
});
process.stderr.on("error", () => {});

createProgram().parseAsync().catch(fail);
