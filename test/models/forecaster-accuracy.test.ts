import { describe, expect, it } from "vitest";
import { type ForecasterOptions, restoreForecaster, trainForecaster } from "../../src/models/forecaster.js";
import { backtestForecaster } from "../../src/models/forecaster-backtest.js";
import { createRng } from "../../src/parameters/rng.js";

const quick = { members: 1, steps: 80, hidden: 12 } satisfies ForecasterOptions;
const rng = createRng(5);
const noise = (size: number): number => size * rng.normal();
const make = (length: number, value: (t: number) => number): Float64Array =>
  Float64Array.from({ length }, (_, t) => value(t));
const season = (t: number): number => Math.sin((2 * Math.PI * t) / 12);

const series = {
  "trend and season": make(132, (t) => 50 + 0.4 * t + 10 * season(t) + noise(1)),
  "season that grows with the level": make(132, (t) => Math.exp(3 + 0.01 * t) * (1 + 0.3 * season(t)) + noise(0.4)),
  "negative values": make(132, (t) => -20 + 8 * season(t) + noise(1)),
};

describe.each(Object.entries(series))("%s", (_name, values) => {
  it("is forecast better than naively", async () => {
    const result = await backtestForecaster({ ...quick, values, folds: 3, season: 12, horizon: 12 });
    expect(result.mae).toBeLessThan(Math.min(result.naive.mae, result.seasonalNaive.mae));
  });
});

describe("forecasters", () => {
  const values = series["trend and season"];

  it("give the same forecast for the same seed, and when restored from JSON and weights", async () => {
    const [one, two] = [await trainForecaster({ ...quick, values }), await trainForecaster({ ...quick, values })];
    const forecast = await one.forecast({ horizon: 30 });
    expect(await two.forecast({ horizon: 30 })).toEqual(forecast);
    const weights = await one.weights();
    expect(Object.keys(weights).length).toBeGreaterThan(0);
    const restored = await restoreForecaster(JSON.parse(JSON.stringify(one.toJSON())), weights);
    expect(Object.keys(await restored.weights())).toEqual(Object.keys(weights));
    expect(await restored.forecast({ horizon: 30 })).toEqual(forecast);
  });

  it("learn nothing from what comes after an origin", async () => {
    const changed = values.slice();
    changed.fill(1e6, 120);
    const forecasts: number[][] = [];
    for (const data of [values, changed]) {
      const { folds } = await backtestForecaster({ ...quick, values: data, folds: 1, horizon: 12 });
      forecasts.push(Array.from(folds[0]!.forecast));
    }
    expect(forecasts[1]).toEqual(forecasts[0]);
  });

  it("take short and constant series as they are", async () => {
    const constant = await trainForecaster({ ...quick, values: new Float64Array(40).fill(7) });
    expect(Array.from((await constant.forecast()).values)).toEqual(new Array(12).fill(7));
    const short = await trainForecaster({ ...quick, values: Float64Array.of(1, 2, 3) });
    expect((await short.forecast({ horizon: 3 })).values.every(Number.isFinite)).toBe(true);
  });

  it("refuse what they cannot use, naming it", async () => {
    await expect(trainForecaster({ values: Float64Array.of(1) })).rejects.toThrow(
      "at least 2 values, but the series has 1",
    );
    await expect(trainForecaster({ values: Float64Array.of(1, Number.NaN, 2) })).rejects.toThrow(/NaN/);
    await expect(trainForecaster({ values, quantiles: [1.5] })).rejects.toThrow("between 0 and 1, but is 1.5");
    const forecaster = await trainForecaster({ ...quick, values });
    await expect(restoreForecaster(forecaster.toJSON(), {})).rejects.toThrow(/lack/);
  });
});
