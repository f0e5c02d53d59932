import { once } from "node:events";
import { readdir, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { saveRun } from "../../src/files/run-folder-node.js";
import { loadSeriesRun } from "../../src/files/series-run-node.js";
import { temporaryFolder } from "../files/temporary-folder.js";
import { ended, filesOf, play, start, throughtime, tiny } from "./command.js";

const airline = fileURLToPath(new URL("../../data/airline-passengers.csv", import.meta.url));
const passengers = [airline, "--column", "Passengers"];
const small = ["--hidden", "5", "--members", "1", "--steps", "15"];
const lines = (stdout: string): Record<string, unknown>[] =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

test("series train --json, forecast as lines and as a table; the same seed gives the same forecaster", async () => {
  const cwd = await temporaryFolder();
  const [trained, again] = await Promise.all([
    throughtime(["series", "train", ...passengers, ...small, "--json"], { cwd }),
    throughtime(["series", "train", ...passengers, ...small, "--out", "again"], { cwd }),
  ]);
  expect(trained).toMatchObject({ code: 0, stderr: "" });
  expect(again).toMatchObject({ code: 0, stderr: "" });
  const reports = lines(trained.stdout);
  expect(reports.map(({ step }) => step)).toEqual(reports.map((_, i) => i + 1));
  expect(reports.length).toBeGreaterThanOrEqual(15); // 30 where the network is trusted at all
  for (const report of reports) {
    expect(Object.keys(report)).toEqual(["phase", "step", "loss", "gradientNorm", "learningRate", "updatesPerSecond"]);
    expect(["validation", "training"]).toContain(report.phase);
  }
  expect(again.stdout).toMatch(
    /column Passengers: 144 rows\.\nstep {2}1\/30 {2}loss .*Logarithms, a season of 12; .*\nSaved in again\./s,
  );

  const dir = join("runs", "airline-passengers-Passengers");
  expect(await filesOf(join(cwd, dir))).toEqual(await filesOf(join(cwd, "again")));
  const [plain, json, far] = await Promise.all([
    throughtime(["series", "forecast", dir], { cwd }),
    throughtime(["series", "forecast", dir, "--json"], { cwd }),
    throughtime(["series", "forecast", dir, "--json", "--horizon", "30", "--backend", "reference"], { cwd }),
  ]);
  const rows = lines(json.stdout);
  expect(rows.map(({ date }) => date)).toEqual(
    Array.from({ length: 12 }, (_, i) => `1961-${String(i + 1).padStart(2, "0")}`),
  );
  const run = await loadSeriesRun(join(cwd, dir), { backend: "wasm" });
  const expected = await run.forecaster.forecast();
  await run.checkWeights();
  expect(rows.map(({ value }) => value)).toEqual(Array.from(expected.values));
  for (const { value, quantiles } of rows as { value: number; quantiles: Record<string, number> }[]) {
    expect(Object.keys(quantiles)).toEqual(["0.1", "0.5", "0.9"]);
    expect(quantiles["0.1"]!).toBeLessThan(value);
    expect(quantiles["0.5"]).toBe(value);
    expect(quantiles["0.9"]!).toBeGreaterThan(value);
  }
  expect(lines(far.stdout)).toHaveLength(30);
  const table = plain.stdout.trimEnd().split("\n");
  expect(table[0]).toMatch(/^date +forecast +10 % +90 %$/);
  expect(table.slice(1).map((line) => line.split(/ +/)[1])).toEqual(
    Array.from(expected.values, (value) => value.toFixed(1)),
  );
});

test("series backtest: folds, then all together beside both baselines", async () => {
  const cwd = await temporaryFolder();
  const args = ["series", "backtest", ...passengers, ...small, "--folds", "2", "--horizon", "6"];
  const [json, plain] = await Promise.all([throughtime([...args, "--json"], { cwd }), throughtime(args, { cwd })]);
  expect(json).toMatchObject({ code: 0, stderr: "" });
  const all = lines(json.stdout);
  expect(all).toHaveLength(3);
  const measures = ["mae", "rmse", "smape", "mase"];
  expect(Object.keys(all[2]!)).toEqual([...measures, "naive", "seasonalNaive"]);
  for (const line of all)
    for (const name of ["naive", "seasonalNaive"]) expect(Object.keys(line[name]!)).toEqual(measures);
  expect(all.map(({ fold, origin }) => [fold, origin])).toEqual([
    [1, "1960-01"],
    [2, "1960-07"],
    [undefined, undefined],
  ]);
  // Figures of the series itself: July to December 1960 against June 1960, and against the year before.
  const [actual, last, before] = [[622, 606, 508, 461, 390, 432], 535, [548, 559, 463, 407, 362, 405]];
  const mae = (of: (i: number) => number): number => actual.reduce((sum, y, i) => sum + Math.abs(y - of(i)), 0) / 6;
  expect(all[1]).toMatchObject({ naive: { mae: mae(() => last) }, seasonalNaive: { mae: mae((i) => before[i]!) } });
  expect(all[2]!.mae).toBeCloseTo(((all[0]!.mae as number) + (all[1]!.mae as number)) / 2, 9);
  expect(plain.stdout).toMatch(/^fold 1\/2 from 1960-01: MAE [\d.]+, naive [\d.]+, seasonal-naive [\d.]+\nfold 2\/2/);
  expect(plain.stdout).toMatch(
    /\nforecaster +[\d.]+ +[\d.]+ +[\d.]+ % +[\d.]+\nnaive .*\nseasonal-naive .*\nThe forecaster's MAE is \d+ % (below|above) that of the better baseline\.\n\d+ % of the values lie between the quantiles 0\.1 and 0\.9, where 80 % ought to\.\n$/,
  );
});

test("covariates: their rows to come are asked for, and taken from a table", async () => {
  const cwd = await temporaryFolder();
  const row = (t: number): string => `${1900 + t},${(t % 5) * 10 + (t % 7)},${t % 5}`;
  const rows = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => row(from + i));
  await writeFile(join(cwd, "sales.csv"), ["T,Units,Price", ...rows(0, 90), ""].join("\n"));
  await writeFile(join(cwd, "known.csv"), ["T,Price", "1990,0", "1991,1", "1992,2", "1993,3", ""].join("\n"));
  await writeFile(join(cwd, "late.csv"), ["T,Price", "1991,0", "1992,1", "1993,2", "1994,3", ""].join("\n"));
  const options = ["--column", "Units", "--covariate", "Price", "--season", "7", "--horizon", "4"];
  const [trained, tested] = await Promise.all([
    throughtime(["series", "train", "sales.csv", ...options, ...small, "--json", "--out", "run"], { cwd }),
    throughtime(["series", "backtest", "sales.csv", ...options, ...small, "--json", "--folds", "1"], { cwd }),
  ]);
  expect(trained).toMatchObject({ code: 0, stderr: "" });
  expect(tested).toMatchObject({ code: 0, stderr: "" });
  await writeFile(join(cwd, "gap.csv"), ["T,Price", "1990,0", "1991,1", "1993,2", "1994,3", ""].join("\n"));
  await writeFile(join(cwd, "more.csv"), ["T,Price", "1990,0", "1991,1", "1992,2", "1993,3", "1994,4", ""].join("\n"));
  const [without, known, short, late, gap, more] = await Promise.all([
    throughtime(["series", "forecast", "run"], { cwd }),
    throughtime(["series", "forecast", "run", "--known", "known.csv", "--json"], { cwd }),
    throughtime(["series", "forecast", "run", "--known", "known.csv", "--horizon", "5"], { cwd }),
    throughtime(["series", "forecast", "run", "--known", "late.csv"], { cwd }),
    throughtime(["series", "forecast", "run", "--known", "gap.csv"], { cwd }),
    throughtime(["series", "forecast", "run", "--known", "more.csv", "--json"], { cwd }),
  ]);
  expect(without).toMatchObject({ code: 1, stdout: "" });
  expect(without.stderr).toBe(
    'error: This forecaster learned with the covariates "Price": give their values for the rows to come (--known FILE.csv).\n',
  );
  expect(known.code).toBe(0);
  expect(lines(known.stdout)).toHaveLength(4);
  expect(short.stderr).toBe("error: A forecast of 5 rows wants as many rows of covariates, not 4.\n");
  expect(late.stderr).toBe("error: late.csv: row 1 is of 1991, but the forecast there is of 1990.\n");
  expect(gap.stderr).toBe("error: gap.csv: row 3 is of 1993, but the forecast there is of 1992.\n");
  expect(more).toEqual(known);
});

test("series train says why there is no network, and why its training ended before the last step", async () => {
  const cwd = await temporaryFolder();
  const table = (rows: number): string =>
    `V\n${Array.from({ length: rows }, (_, t) => 100 + t + (t % 12)).join("\n")}\n`;
  await writeFile(join(cwd, "short.csv"), table(120));
  const train = (...args: string[]) => throughtime(["series", "train", "short.csv", "-c", "V", ...args], { cwd });
  const [plain, json, ended] = await Promise.all([
    train("--horizon", "200", "--out", "plain"),
    train("--horizon", "200", "--out", "json", "--json"),
    train("--steps", "4", "--hidden", "3", "--members", "1", "--out", "ended"),
  ]);
  const note =
    "note: 120 rows are too few to train a network for a horizon of 200 (a horizon of at most 82 would fit, or 244 rows): " +
    "the forecast is the smoothing's alone.\n";
  expect(plain).toMatchObject({ code: 0, stderr: note });
  expect(plain.stdout).toMatch(/120 rows\.\nNo logarithms, a season of 12; no network\.\nSaved in plain\./);
  expect(json).toEqual({ code: 0, stdout: "", stderr: note });
  expect(ended).toMatchObject({ code: 0, stderr: "" });
  expect(ended.stdout).toMatch(
    /\nstep 4\/8 .*\nNo logarithms, a season of 12; the network's share in the forecast is 0 %, found on rows held out, so that it was not trained again on all rows: training ended after step 4 of 8\.\nSaved in ended\./,
  );
});

test("series train replaces a damaged run with --overwrite only, and tries its folder before it trains", async () => {
  const cwd = await temporaryFolder();
  await writeFile(join(cwd, "short.csv"), `V\n${Array.from({ length: 9 }, (_, t) => t).join("\n")}\n`);
  const train = (...args: string[]) => throughtime(["series", "train", "short.csv", "-c", "V", ...args], { cwd });
  expect(await train("--out", "run")).toMatchObject({ code: 0 });
  await truncate(join(cwd, "run", "run.json"), 100);
  expect(await train("--out", "run")).toEqual({
    code: 1,
    stdout: "",
    stderr:
      "error: run holds a run whose run.json is damaged: --overwrite replaces it, and --out names another folder.\n",
  });
  expect(await train("--out", "run", "--overwrite")).toMatchObject({ code: 0 });
  expect(await throughtime(["series", "forecast", "run"], { cwd })).toMatchObject({ code: 0, stderr: "" });
  if (process.platform === "linux")
    expect(await train("--out", "/proc/throughtime/run")).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringMatching(/^error: no run can be saved in \/proc\/throughtime\/run: [^\n]*\n$/),
    });
});

test("Ctrl-C during series train saves the forecaster as it then is", async () => {
  const cwd = await temporaryFolder();
  const child = start(
    [
      "series",
      "train",
      ...passengers,
      "--hidden",
      "5",
      "--members",
      "1",
      "--steps",
      "1000000",
      "--json",
      "--out",
      "run",
    ],
    { cwd },
  );
  const end = ended(child);
  await once(child.stdout!, "data");
  child.kill("SIGINT");
  const { code, stderr } = await end;
  expect(stderr).toMatch(
    /^stopped by SIGINT after step \d+ of 2000000: the forecaster as it then was is saved in run\.\n$/,
  );
  expect(code).toBe(130);
  expect(await throughtime(["series", "forecast", "run"], { cwd })).toMatchObject({ code: 0, stderr: "" });
});

test("tables and folders that will not do are named in one sentence, and nothing is written", async () => {
  const cwd = await temporaryFolder();
  const csv: Record<string, string> = {
    text: "Month,V\n2000-01,1\n2000-02,high\n2000-03,3\n",
    nan: "Month,V\n2000-01,1\n2000-02,NaN\n2000-03,3\n",
    hole: "Month,V\n2000-01,1\n2000-02,\n2000-03,3\n",
    gap: "Month,V\n2000-01,1\n2000-02,2\n2000-05,3\n",
    one: "Month,V\n2000-01,1\n",
    empty: "",
  };
  for (const [name, content] of Object.entries(csv)) await writeFile(join(cwd, `${name}.csv`), content);
  await saveRun(join(cwd, "broken"), {
    config: { kind: "series", training: {} },
    files: { "forecaster.json": "{}", "weights.safetensors": "" },
  });
  expect(
    await throughtime(["text", "train", play, ...tiny, "--steps", "1", "--out", "text-run"], { cwd }),
  ).toMatchObject({ code: 0 });
  const before = (await readdir(cwd)).sort();
  const train = (name: string): string[] => ["series", "train", `${name}.csv`, "--column", "V", "--json"];
  const cases: [string[], RegExp][] = [
    [train("text"), /^text\.csv, line 3, column "V": "high" is not a number\.$/],
    [train("nan"), /^nan\.csv, line 3, column "V": "NaN" is no value; fill the gap first\.$/],
    [train("hole"), /^hole\.csv, line 3, column "V": the cell is empty; fill the gap first\.$/],
    [
      train("gap"),
      /^gap\.csv, line 4: a gap of 2 missing dates between "2000-02" and "2000-05": .*, or ignore gaps \(--gaps ignore\) to take/,
    ],
    [train("one"), /^one\.csv has 1 row of figures, but at least 2 are needed\.$/],
    [train("empty"), /^empty\.csv is empty: the first line must name the columns\.$/],
    [
      ["series", "train", airline, "--column", "Cars", "--json"],
      /airline-passengers\.csv has no column "Cars": it has "Month" and "Passengers"\.$/,
    ],
    [["series", "backtest", airline, "--column", "Cars"], /has no column "Cars"/],
    [
      ["series", "backtest", ...passengers, "--covariate", " Passengers"],
      /^--covariate Passengers is the column to forecast, which is not known beforehand\.$/,
    ],
    [
      ["series", "backtest", ...passengers, "--folds", "12"],
      /^A backtest of 12 folds .* needs at least 157 values, .* but the series has 144\.$/,
    ],
    [
      ["series", "train", ...passengers, "--hidden", "60000", "--json"],
      /^parameter "member1\.rnn\.weight_hh_l0" of shape \[180000, 60000\] has \d+ numbers, more than the \d+ that fit into 4 GiB$/,
    ],
    [["series", "forecast", "nowhere"], /^there is no run folder nowhere\.$/],
    [["series", "forecast", "text-run"], /^text-run is no series run but one of kind "text"\.$/],
    [
      ["series", "forecast", "broken"],
      /^broken\/checkpoint-000001\/(weights\.safetensors cannot be read|forecaster\.json is damaged)/,
    ],
  ];
  const answers = await Promise.all(cases.map(([args]) => throughtime(args, { cwd })));
  for (const [i, [args, expected]] of cases.entries()) {
    const { code, stdout, stderr } = answers[i]!;
    expect.soft({ code, stdout }, args.join(" ")).toEqual({ code: 1, stdout: "" });
    expect.soft(stderr, args.join(" ")).toMatch(/^error: [^\n]+\n$/);
    expect.soft(stderr.slice(7, -1), args.join(" ")).toMatch(expected);
  }
  expect((await readdir(cwd)).sort()).toEqual(before);
});
