import { describe, expect, test } from "vitest";
import { backtest, type FoldResult } from "../../src/data/series/backtest.js";
import { drift, seasonalNaive } from "../../src/data/series/baselines.js";
import { UserError } from "../../src/errors.js";

const of = (...values: number[]) => Float64Array.from(values);
const range = (length: number) => Float64Array.from({ length }, (_, i) => i);

async function refused(run: Promise<unknown>, message: string) {
  const thrown = await run.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown, `nothing was thrown; expected: ${message}`).toBeInstanceOf(UserError);
  expect((thrown as UserError).message).toContain(message);
}

describe("backtest", () => {
  test("each fold trains on everything before its origin and nothing after", async () => {
    const seen: [number, number[], number][] = [];
    const reported: FoldResult[] = [];
    const values = range(20);
    const result = await backtest({
      values,
      horizon: 3,
      folds: 4,
      forecaster: async (train, horizon, fold) => {
        seen.push([fold.index, [...train], fold.origin]);
        const made = drift(train, horizon);
        train.fill(-1); // a copy: neither the series nor the baselines may notice
        return made;
      },
      onFold: (fold) => reported.push(fold),
    });
    expect(seen).toEqual([8, 11, 14, 17].map((origin, index) => [index, [...range(origin)], origin]));
    expect([...values]).toEqual([...range(20)]);
    expect(reported).toEqual(result.folds);
    expect(result.folds.map(({ index, origin }) => [index, origin])).toEqual([
      [0, 8],
      [1, 11],
      [2, 14],
      [3, 17],
    ]);
    expect([...(result.folds[3] as FoldResult).actual]).toEqual([17, 18, 19]);
    // A straight line: drift is exact, and naive is 1, 2 and 3 off.
    expect(result).toMatchObject({ mae: 0, rmse: 0, smape: 0, mase: 0 });
    expect(result.naive).toMatchObject({ mae: 2, mase: 2 });
    expect(result.naive.rmse).toBeCloseTo(Math.sqrt(14 / 3), 12);
  });

  test("another step, down to 1", async () => {
    const origins: number[] = [];
    await backtest({
      values: range(20),
      horizon: 4,
      folds: 3,
      step: 1,
      forecaster: (train, horizon, { origin }) => {
        origins.push(origin);
        return drift(train, horizon);
      },
    });
    expect(origins).toEqual([14, 15, 16]);
  });

  test("overall figures are over all values, MASE the mean of the folds'", async () => {
    // Season 2, folds at 4 and 6. Training parts 1 2 3 6 (|Δ2| 2 4: scale 3) and 1 2 3 6 4 8 (2 4 1 2: scale 9/4).
    const values = of(1, 2, 3, 6, 4, 8, 7, 6);
    const result = await backtest({
      values,
      horizon: 2,
      folds: 2,
      season: 2,
      forecaster: (_, __, { index }) => (index === 0 ? of(5, 10) : of(7, 6)),
    });
    const [first, second] = result.folds as [FoldResult, FoldResult];
    // Fold 1: actual 4 8, errors 1 2. Fold 2: actual 7 6, exact.
    expect(first).toMatchObject({ mae: 1.5, mase: 0.5 });
    expect(first.rmse).toBeCloseTo(Math.sqrt(2.5), 12);
    expect(second).toMatchObject({ mae: 0, rmse: 0, mase: 0 });
    expect(result.mae).toBe(0.75);
    expect(result.rmse).toBeCloseTo(Math.sqrt(5 / 4), 12);
    expect(result.smape).toBeCloseTo((100 * (2 / 9 + 4 / 18)) / 4, 12);
    expect(result.mase).toBe(0.25);
    // Naive: 6 6 on 4 8 (2 2), 8 8 on 7 6 (1 2). Seasonal: 3 6 on 4 8 (1 2), 4 8 on 7 6 (3 2).
    expect(first.naive).toMatchObject({ mae: 2, rmse: 2 });
    expect(result.naive.mae).toBe(7 / 4);
    expect(result.naive.mase).toBeCloseTo((2 / 3 + 1.5 / 2.25) / 2, 12);
    expect(result.seasonalNaive.mae).toBe(2);
    expect(result.seasonalNaive.rmse).toBeCloseTo(Math.sqrt(18 / 4), 12);
  });

  test("the seasonal-naive forecaster ties with its baseline", async () => {
    const values = range(60).map((i) => Math.sin(i) * 10 + (i % 12));
    const result = await backtest({
      values,
      horizon: 12,
      folds: 3,
      season: 12,
      forecaster: (train, horizon) => seasonalNaive(train, horizon, 12),
    });
    const { mae, rmse, smape, mase } = result;
    expect({ mae, rmse, smape, mase }).toEqual(result.seasonalNaive);
    expect(result.seasonalNaive).not.toEqual(result.naive);
  });

  test("where the training part repeats itself MASE is null and the rest is measured", async () => {
    const result = await backtest({
      values: of(5, 5, 5, 5, 5, 5),
      horizon: 2,
      folds: 2,
      forecaster: (_, horizon) => new Float64Array(horizon).fill(6),
    });
    expect(result).toMatchObject({ mae: 1, mase: null, naive: { mae: 0, mase: null } });
    expect(JSON.parse(JSON.stringify(result)).mase).toBeNull();
  });

  test("a series of exactly the needed length runs; one shorter says what it needs", async () => {
    const options = {
      horizon: 12,
      folds: 5,
      season: 12,
      forecaster: (train: Float64Array, h: number) => drift(train, h),
    };
    const result = await backtest({ ...options, values: range(73) });
    expect(result.folds[0]?.origin).toBe(13);
    await refused(
      backtest({ ...options, values: range(72) }),
      "A backtest of 5 folds with horizon 12, step 12 and season 12 needs at least 73 values, " +
        "13 to train on before the first origin and 60 after it, but the series has 72.",
    );
    await refused(
      backtest({ ...options, minimumTrain: 48, values: range(107) }),
      "needs at least 108 values, 48 to train",
    );
  });

  test("refuses bad options and bad forecasts, naming the fold", async () => {
    const good = {
      values: range(30),
      horizon: 3,
      folds: 2,
      forecaster: (train: Float64Array, h: number) => drift(train, h),
    };
    await refused(backtest({ ...good, horizon: 0 }), "The horizon must be a whole number of at least 1, but is 0.");
    await refused(backtest({ ...good, folds: 1.5 }), "The number of folds must be a whole number");
    await refused(backtest({ ...good, step: -1 }), "The step from origin to origin");
    await refused(backtest({ ...good, values: range(30).fill(Number.NaN, 4, 5) }), "value 5 of 30 is NaN");
    await refused(
      backtest({ ...good, forecaster: () => of(1, 2) }),
      "The forecaster gave 2 values for a horizon of 3 in fold 1 of 2.",
    );
    await refused(
      backtest({ ...good, forecaster: (_, h, { index }) => new Float64Array(h).fill(index === 1 ? Number.NaN : 0) }),
      "The forecast of fold 2 of 2 must hold finite numbers, but value 1 of 3 is NaN.",
    );
    const own = new Error("the network is on fire");
    await expect(backtest({ ...good, forecaster: () => Promise.reject(own) })).rejects.toBe(own);
  });
});
