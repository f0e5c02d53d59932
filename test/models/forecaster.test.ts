import { describe, expect, test } from "vitest";
import { wasm } from "../../src/backend/wasm/index.js";
import { naive, seasonalNaive } from "../../src/data/series/baselines.js";
import { covariatesOf, sliceCovariates } from "../../src/data/series/covariates.js";
import { coverage } from "../../src/data/series/metrics.js";
import { UserError } from "../../src/errors.js";
import {
  type Forecaster,
  type ForecasterReport,
  restoreForecaster,
  trainForecaster,
} from "../../src/models/forecaster.js";
import { days, made, meanDistance, month, months } from "./made-series.js";

const quick = { hidden: 8, members: 1, steps: 80, batch: 16, learningRate: 0.01, backend: wasm() } as const;

async function forecastOf(values: Float64Array, options: Partial<Parameters<typeof trainForecaster>[0]> = {}) {
  const forecaster = await trainForecaster({ ...quick, values, ...options });
  const forecast = await forecaster.forecast();
  const config = forecaster.toJSON();
  forecaster.dispose();
  return { ...forecast, config };
}

async function problemOf(run: () => Promise<unknown>): Promise<string> {
  const thrown = await run().then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(UserError);
  return (thrown as UserError).message;
}

describe("the network", () => {
  // A wave of 29 rows: no season of 12 and no level explains it.
  const wave = made(240, (t, normal) => 50 + 20 * Math.sin((2 * Math.PI * t) / 29) + normal());
  const [past, coming] = [wave.slice(0, 228), wave.slice(228)];

  test.each(["gru", "lstm", "rnn"] as const)("%s learns what smoothing cannot", async (cell) => {
    const together = await forecastOf(past, { cell, hidden: 24, steps: 250 });
    const alone = await forecastOf(past, { cell, hidden: 24, steps: 250, smoothing: "none", trust: 1 });
    const smoothing = await forecastOf(past, { trust: 0 });
    expect(together.config.blend.trust).toBeGreaterThanOrEqual(0.8);
    expect(meanDistance(coming, smoothing.values)).toBeGreaterThan(10);
    expect(meanDistance(coming, together.values)).toBeLessThan(4);
    expect(meanDistance(coming, alone.values)).toBeLessThan(4);
  });

  test("is not trusted where there is nothing to learn", async () => {
    const walk = made(240, (_, normal, last) => last + normal());
    const { config, values } = await forecastOf(walk);
    expect(config.blend.trust).toBeLessThanOrEqual(0.2);
    expect(meanDistance(values, naive(walk, 12))).toBeLessThan(1);
  });

  test("is left out where the rows are too few for the horizon, or it has nothing to do, and why is said", async () => {
    const untrained = async (values: Float64Array, options: object = {}): Promise<string | undefined> => {
      const forecaster = await trainForecaster({ ...quick, hidden: 2, steps: 1, values, ...options });
      const { length } = Object.keys(await forecaster.weights());
      expect(length > 0).toBe(forecaster.untrained === undefined);
      expect((await forecaster.forecast()).values).toHaveLength(forecaster.toJSON().network.horizon);
      forecaster.dispose();
      return forecaster.untrained;
    };
    const seasonal = (rows: number): Float64Array => made(rows, (t, normal) => month(t) + normal());
    expect(await untrained(seasonal(120), { horizon: 200 })).toBe(
      "120 rows are too few to train a network for a horizon of 200 (a horizon of at most 82 would fit, or 244 rows)",
    );
    expect(await untrained(seasonal(120), { horizon: 83 })).toContain(
      "(a horizon of at most 82 would fit, or 121 rows)",
    );
    expect(await untrained(seasonal(120), { horizon: 82 })).toBeUndefined();
    expect(await untrained(seasonal(121), { horizon: 83 })).toBeUndefined();
    expect(await untrained(seasonal(9))).toBe(
      "9 rows are too few to train a network for a horizon of 12 (it takes 27 rows)",
    );
    expect(await untrained(made(99, () => 5))).toMatch(/^what the smoothing forecasts is always right/);
    expect(await untrained(seasonal(120), { trust: 0 })).toBe("the trust in a network is 0");
  });

  test("learns the year of daily figures from their dates", async () => {
    const dates = days(912);
    const daily = made(912, (t, normal) => 20 + month(new Date(dates[t]!).getUTCMonth()) + normal());
    // The last day is 30 June 2023: what comes is July's.
    const [train, actual] = [daily.slice(0, 911), made(12, () => 21)];
    const options = { steps: 250, hidden: 16, season: 7, batch: 32 };
    const known = await forecastOf(train, { ...options, dates: dates.slice(0, 911) });
    expect(known.config.recipe.calendar).toContain("day-of-year");
    expect(known.dates?.[0]).toBe(dates[911]);
    const unknown = await forecastOf(train, options);
    expect(meanDistance(known.values, actual)).toBeLessThan(0.5 * meanDistance(unknown.values, actual));
  });

  test("a week's season is found by dates alone", async () => {
    const week = [0, 1, 2, 1, 0, 8, 9];
    const daily = made(200, (t, normal) => 20 + week[t % 7]! + 0.5 * normal());
    const { config, values } = await forecastOf(daily.slice(0, 188), { dates: days(188) });
    expect(config.recipe.season).toBe(7);
    expect(meanDistance(values, daily.slice(188))).toBeLessThan(0.7);
  });

  test("learns what known covariates do", async () => {
    const action = made(240, (t) => ((t * 7919) % 13 < 4 ? 1 : 0));
    const sales = made(240, (t, normal) => 30 + 10 * action[t]! + normal());
    const covariates = covariatesOf([["action", action]]);
    const forecaster = await trainForecaster({
      ...quick,
      values: sales.slice(0, 228),
      covariates: sliceCovariates(covariates, 0, 228),
      steps: 150,
    });
    const forecast = await forecaster.forecast({ covariates: sliceCovariates(covariates, 228, 240) });
    expect(meanDistance(forecast.values, sales.slice(228))).toBeLessThan(2);
    expect(await problemOf(() => forecaster.forecast())).toBe(
      'This forecaster learned with the covariates "action": give their values for the rows to come (forecast({ covariates })).',
    );
    const other = covariatesOf([["price", action.slice(228)]]);
    expect(await problemOf(() => forecaster.forecast({ covariates: other }))).toContain('"action", not "price"');
    const short = sliceCovariates(covariates, 228, 236);
    expect(await problemOf(() => forecaster.forecast({ covariates: short }))).toContain("12 rows");
    forecaster.dispose();
  });
});

describe("a forecaster of", () => {
  const cases: [what: string, row: Parameters<typeof made>[1], rows: number][] = [
    ["trend", (t, normal) => 50 + 0.7 * t + 3 * normal(), 132],
    ["trend and season", (t, normal) => 100 + 0.8 * t + 2 * month(t) + 3 * normal(), 132],
    ["growing seasons", (t, normal) => (20 + 0.5 * t) * (1 + 0.04 * month(t)) * Math.exp(0.04 * normal()), 132],
    ["falling below 0", (t, normal) => -40 + 3 * month(t) - 0.3 * t + 4 * normal(), 132],
    ["60 values", (t, normal) => 30 + 1.5 * month(t) + 0.2 * t + 2 * normal(), 60],
    ["noise", (_, normal) => 10 + 2 * normal(), 132],
  ];
  test.each(cases)("%s beats the naive and the seasonal-naive forecast", async (_, row, rows) => {
    // Five series each: a single forecast is luck.
    let [error, best] = [0, 0];
    for (let seed = 1; seed <= 5; seed++) {
      const values = made(rows, row, seed);
      const [train, actual] = [values.slice(0, rows - 12), values.slice(rows - 12)];
      error += meanDistance(actual, (await forecastOf(train, { steps: 40 })).values);
      best += Math.min(meanDistance(actual, naive(train, 12)), meanDistance(actual, seasonalNaive(train, 12, 12)));
    }
    expect(error).toBeLessThan(0.95 * best);
  });

  test("a constant is that constant", async () => {
    for (const constant of [5, 0, -3.25]) {
      const { values, quantiles } = await forecastOf(new Float64Array(60).fill(constant));
      for (const v of [values, ...quantiles.map((quantile) => quantile.values)])
        expect([...v]).toEqual(new Array(12).fill(constant));
    }
  });

  test("a season that repeats itself exactly goes on so", async () => {
    const { values } = await forecastOf(made(60, month));
    values.forEach((v, h) => {
      expect(v).toBeCloseTo(month(60 + h), 6);
    });
  });

  test.each([2, 3, 7, 14, 25, 37])("%d values", async (rows) => {
    const values = made(rows, (t, normal) => 10 + t + normal());
    const { values: forecast, quantiles } = await forecastOf(values, { steps: 20 });
    expect(forecast.length).toBe(12);
    expect([...forecast, ...quantiles.flatMap((quantile) => [...quantile.values])].every(Number.isFinite)).toBe(true);
    expect(meanDistance(forecast, naive(values, 12))).toBeLessThan(20);
  });

  test("counts stays at 0 or above", async () => {
    const counts = made(120, (t, normal) => Math.max(0, Math.round(1 + month(t) / 4 + normal())));
    const { quantiles } = await forecastOf(counts);
    expect(quantiles.every(({ values }) => values.every((v) => v >= 0))).toBe(true);
  });

  test("very large and very small numbers", async () => {
    for (const size of [1e-200, 1e200]) {
      const values = made(80, (t, normal) => size * (5 + month(t) / 10 + 0.1 * normal()));
      const { values: forecast } = await forecastOf(values, { steps: 20 });
      expect(meanDistance(forecast, seasonalNaive(values, 12, 12)) / size).toBeLessThan(0.5);
    }
  });
});

describe("quantiles", () => {
  const noise = made(420, (_, normal) => 10 + 2 * normal());

  test("rise with their levels and cover what they say", async () => {
    const { quantiles, values } = await forecastOf(noise.slice(0, 300), {
      horizon: 60,
      lookback: 12,
      quantiles: [0.9, 0.25, 0.1, 0.75],
    });
    expect(quantiles.map(({ level }) => level)).toEqual([0.1, 0.25, 0.5, 0.75, 0.9]);
    expect(quantiles[2]!.values).toEqual(values);
    for (let h = 0; h < 60; h++)
      for (let q = 1; q < 5; q++) expect(quantiles[q]!.values[h]).toBeGreaterThanOrEqual(quantiles[q - 1]!.values[h]!);
    const share = (q: number) => coverage(noise.slice(300, 360), quantiles[q]!.values, quantiles[4 - q]!.values);
    expect(share(0)).toBeGreaterThan(0.65);
    expect(share(0)).toBeLessThan(0.95);
    expect(share(1)).toBeGreaterThan(0.3);
    expect(share(1)).toBeLessThan(0.7);
  });

  test("of a random walk widen with the distance, also beyond the trained horizon", async () => {
    const forecaster = await trainForecaster({ ...quick, values: made(200, (_, normal, last) => last + normal()) });
    const { quantiles } = await forecaster.forecast({ horizon: 40 });
    const width = (h: number) => quantiles[2]!.values[h]! - quantiles[0]!.values[h]!;
    expect(width(0)).toBeGreaterThan(1);
    expect(width(11)).toBeGreaterThan(1.5 * width(0));
    expect(width(23)).toBeGreaterThan(1.2 * width(11));
    expect(width(39)).toBeGreaterThan(width(23));
    forecaster.dispose();
  });
});

describe("a trained forecaster", () => {
  const values = made(100, (t, normal) => 60 + month(t) + 0.1 * t + normal());

  async function restored(forecaster: Forecaster) {
    return restoreForecaster(JSON.parse(JSON.stringify(forecaster)), await forecaster.weights(), { backend: wasm() });
  }

  test("comes back from its JSON and weights, and forecasts the same to the last bit", async () => {
    const covariates = covariatesOf([["x", made(100, (t) => t % 5)]]);
    const coming = covariatesOf([["x", made(36, (t) => t % 5)]]);
    const first = await trainForecaster({ ...quick, members: 2, trust: 0.7, values, dates: months(100), covariates });
    const second = await restored(first);
    const [a, b] = [first, second].map((forecaster) => forecaster.forecast({ horizon: 30, covariates: coming }));
    expect(await b).toEqual(await a);
    expect((await a!).dates).toEqual(months(130).slice(100));
    expect(second.toJSON()).toEqual(first.toJSON());
    first.dispose();
    second.dispose();
  });

  test("comes back without a network, where the series was too short for one", async () => {
    const first = await trainForecaster({ ...quick, values: values.slice(0, 12) });
    expect(await first.weights()).toEqual({});
    expect(await (await restored(first)).forecast()).toEqual(await first.forecast());
  });

  test("refuses weights that are not its own", async () => {
    const forecaster = await trainForecaster({ ...quick, steps: 10, trust: 1, values });
    const [json, weights] = [forecaster.toJSON(), await forecaster.weights()];
    const head = "member1.head.weight";
    const { [head]: tensor, ...rest } = weights;
    const problem = (changed: typeof weights) => problemOf(() => restoreForecaster(json, changed));
    expect(await problem(rest)).toContain(`lack ${head}`);
    expect(await problem({ ...rest, [head]: { shape: [1, 2], data: [1, 2] } })).toContain(
      `${head} of the forecaster has shape`,
    );
    expect(await problem({ ...weights, more: tensor! })).toContain('no weight "more"');
    const data = Float64Array.from(tensor!.data);
    data[1] = Number.NaN;
    expect(await problem({ ...weights, [head]: { ...tensor!, data } })).toContain(
      `${head} of the forecaster must hold finite`,
    );
    forecaster.dispose();
  });

  test("goes on from its own forecast beyond the trained horizon", async () => {
    const forecaster = await trainForecaster({ ...quick, values, horizon: 6 });
    const long = await forecaster.forecast({ horizon: 31 });
    const short = await forecaster.forecast();
    expect(long.values.length).toBe(31);
    expect([...long.values.slice(0, 6)]).toEqual([...short.values]);
    const actual = made(31, (t) => 60 + month(100 + t) + 0.1 * (100 + t));
    expect(meanDistance(long.values, actual)).toBeLessThan(2);
    forecaster.dispose();
  });

  test("is the same for the same seed, another for another", async () => {
    const options = { trust: 1, steps: 20 };
    const [a, b, c] = [
      await forecastOf(values, options),
      await forecastOf(values, options),
      await forecastOf(values, { ...options, seed: 2 }),
    ];
    expect(b.values).toEqual(a.values);
    expect(c.values).not.toEqual(a.values);
  });

  test("reports each update, first those of the trial, then those of the training", async () => {
    const reports: ForecasterReport[] = [];
    const forecaster = await trainForecaster({
      ...quick,
      trust: 1,
      epochs: 2,
      steps: undefined,
      values,
      onReport: (report) => reports.push(report),
    });
    forecaster.dispose();
    const steps = reports.at(-1)!.steps;
    expect(reports.map(({ step }) => step)).toEqual(Array.from({ length: steps }, (_, i) => i + 1));
    const trial = reports.filter(({ phase }) => phase === "validation").length;
    expect(reports.slice(trial).every(({ phase }) => phase === "training")).toBe(true);
    // 64 windows less those whose targets are held out, then all: two epochs of batches of 16.
    expect([trial, steps - trial]).toEqual([4, 8]);
    expect(reports.every(({ loss, gradientNorm }) => loss > 0 && gradientNorm >= 0)).toBe(true);
  });

  test("ends early at a signal, and is whole", async () => {
    const controller = new AbortController();
    let steps = 0;
    const forecaster = await trainForecaster({
      ...quick,
      values,
      signal: controller.signal,
      onReport({ step }) {
        steps = step;
        if (step === 5) controller.abort();
      },
    });
    expect(steps).toBe(5);
    expect((await (await restored(forecaster)).forecast()).values).toEqual((await forecaster.forecast()).values);
    forecaster.dispose();
  });

  test.each([
    [{ values: Float64Array.of(1) }, "at least 2 values"],
    [{ values: Float64Array.of(1, Number.NaN, 2) }, "value 2 of 3 is NaN"],
    [{ dates: ["2020-01"] }, "100 values want as many dates, not 1"],
    [{ covariates: covariatesOf([["x", new Float64Array(3)]]) }, "as many rows of covariates, not 3"],
    [{ horizon: 0 }, "The option horizon must be a whole number"],
    [{ season: 1.5 }, "The option season must be a whole number"],
    [{ hidden: -1 }, "The option hidden must be a whole number"],
    [{ quantiles: [0.1, 1] }, "must lie between 0 and 1, but is 1"],
    [{ epochs: 3 }, "steps or epochs, not both"],
    [{ trust: 2 }, "trust in the network"],
    [{ cell: "elman" as "rnn" }, 'no cell "elman"'],
    [{ transform: "log", values: made(60, (t) => t - 5) }, "log transform needs values above 0"],
    [{ learningRate: -1 }, "learning"],
    [{ dropout: 1 }, "dropout"],
  ] as const)("refuses %o", async (options, message) => {
    expect(await problemOf(() => trainForecaster({ ...quick, values, ...options }))).toContain(message);
  });
});
