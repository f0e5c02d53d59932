import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { wasm } from "../../src/backend/wasm/index.js";
import { covariatesOf } from "../../src/data/series/covariates.js";
import { readSeries } from "../../src/data/series/csv.js";
import { UserError } from "../../src/errors.js";
import { backtestForecaster } from "../../src/models/forecaster-backtest.js";
import type { ForecasterConfig } from "../../src/models/forecaster-state.js";
import { made, month, months } from "./made-series.js";

const quick = { hidden: 8, members: 1, steps: 60, batch: 16, learningRate: 0.01, backend: wasm() } as const;

describe("a forecaster's backtest", () => {
  test("on airline passengers beats the seasonal-naive forecast by far", async () => {
    const file = new URL("../../data/airline-passengers.csv", import.meta.url);
    const series = readSeries(readFileSync(file, "utf8"), { column: "Passengers" });
    const configs: ForecasterConfig[] = [];
    const result = await backtestForecaster({ ...quick, ...series, onFold: (_, config) => configs.push(config) });
    expect(result.seasonalNaive.mae).toBeCloseTo(38.43, 2);
    expect(result.mae).toBeLessThan(0.75 * result.seasonalNaive.mae);
    expect(result.mase).toBeLessThan(1);
    expect(result.folds.length).toBe(5);
    expect(configs.map(({ series: { values } }) => values.length)).toEqual([84, 96, 108, 120, 132]);
    expect(configs.every(({ recipe }) => recipe.log && recipe.season === 12)).toBe(true);
    expect(result.coverage.length).toBe(1);
    const [{ lower, upper, nominal, actual }] = result.coverage as [(typeof result.coverage)[0]];
    expect([lower, upper]).toEqual([0.1, 0.9]);
    expect(nominal).toBeCloseTo(0.8, 12);
    expect(actual).toBeGreaterThan(0.4);
  });

  test("forecasts from what came before each origin alone", async () => {
    const values = made(100, (t, normal) => 50 + month(t) + normal());
    const drivers = covariatesOf([["x", made(100, (_, normal) => normal())]]);
    const run = (given: Float64Array, first: number) =>
      backtestForecaster({
        ...quick,
        steps: 20,
        trust: 1,
        values: given,
        dates: months(100),
        covariates: drivers,
        folds: 2,
      }).then(({ folds }) => folds.slice(0, first).map(({ forecast }) => forecast));
    const changed = (from: number) => values.map((v, t) => (t < from ? v : 3 * v + 100));
    const plain = await run(values, 2);
    expect(await run(changed(88), 2)).toEqual(plain);
    expect(await run(changed(76), 1)).toEqual(plain.slice(0, 1));
    expect((await run(changed(76), 2))[1]).not.toEqual(plain[1]);
  });

  test("pairs quantiles around the median", async () => {
    const values = made(80, (_, normal) => normal());
    const { coverage } = await backtestForecaster({
      values,
      trust: 0,
      folds: 2,
      quantiles: [0.05, 0.25, 0.75, 0.95, 0.99],
    });
    expect(coverage.map(({ lower, upper }) => [lower, upper])).toEqual([
      [0.05, 0.95],
      [0.25, 0.75],
    ]);
    expect(coverage[0]!.actual).toBeGreaterThan(coverage[1]!.actual);
  });

  test("reports folds, and ends at a signal", async () => {
    const values = made(120, (t, normal) => 50 + month(t) + normal());
    const controller = new AbortController();
    const seen: number[] = [];
    const running = backtestForecaster({
      ...quick,
      values,
      folds: 3,
      signal: controller.signal,
      onReport({ fold, step }) {
        seen.push(fold);
        if (fold === 1 && step === 3) controller.abort();
      },
    });
    await expect(running).rejects.toThrow();
    expect(seen.filter((fold) => fold === 1).length).toBe(3);
    expect(seen[0]).toBe(0);
  });

  test("of a series too short says what it needs", async () => {
    const running = backtestForecaster({ ...quick, values: new Float64Array(40) });
    await expect(running).rejects.toThrow(UserError);
    await expect(running).rejects.toThrow("needs at least 73 values");
  });
});
