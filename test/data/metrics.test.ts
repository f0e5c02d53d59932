import { describe, expect, test } from "vitest";
import { drift, naive, seasonalNaive } from "../../src/data/series/baselines.js";
import { coverage, mae, mape, mase, naiveScale, pinballLoss, rmse, smape } from "../../src/data/series/metrics.js";
import { refused } from "./refused.js";

const of = (...values: number[]) => Float64Array.from(values);
const actual = of(10, 20, -30, 40);
const forecast = of(12, 17, -30, 34); // errors -2, 3, 0, 6

describe("metrics, by hand", () => {
  test("MAE = (2 + 3 + 0 + 6) / 4", () => {
    expect(mae(actual, forecast)).toBe(2.75);
  });
  test("RMSE = √((4 + 9 + 0 + 36) / 4) = 3.5", () => {
    expect(rmse(actual, forecast)).toBe(3.5);
  });
  test("MAPE = 100 (2/10 + 3/20 + 0 + 6/40) / 4 = 12.5", () => {
    expect(mape(actual, forecast)).toBeCloseTo(12.5, 12);
  });
  test("sMAPE = 100 (4/22 + 6/37 + 0 + 12/74) / 4", () => {
    expect(smape(actual, forecast)).toBeCloseTo((100 * (4 / 22 + 6 / 37 + 12 / 74)) / 4, 12);
    expect(smape(of(5), of(0))).toBe(200);
    expect(smape(of(5, 5), of(-5, 5))).toBe(100);
    expect(smape(of(0, 2), of(0, 2))).toBe(0);
  });
  test("MASE over the training part's own naive error", () => {
    // |Δ1| of 1 3 2 6 7: 2 1 4 1, mean 2; |Δ2|: 1 3 5, mean 3.
    const train = of(1, 3, 2, 6, 7);
    expect(naiveScale(train)).toBe(2);
    expect(naiveScale(train, 2)).toBe(3);
    expect(mase(actual, forecast, train)).toBe(1.375);
    expect(mase(actual, forecast, train, 2)).toBeCloseTo(2.75 / 3, 14);
  });
  test("pinball at 0.9: under-forecasts cost 0.9, over-forecasts 0.1", () => {
    // y - f = -2, 3, 0, 6 → 0.2 + 2.7 + 0 + 5.4.
    expect(pinballLoss(actual, forecast, 0.9)).toBeCloseTo(8.3 / 4, 12);
    expect(pinballLoss(actual, forecast, 0.5)).toBe(2.75 / 2);
  });
  test("coverage counts the ends", () => {
    expect(coverage(of(1, 2, 3, 4), of(1, 0, 4, 0), of(5, 2, 9, 3))).toBe(0.5);
  });

  test("refuse what they are not defined for", () => {
    refused(() => mae(of(1, 2), of(1)), "A forecast of 1 value cannot be measured on 2 actual ones.");
    refused(() => rmse(of(), of()), "A forecast of no values cannot be measured.");
    refused(
      () => smape(of(1, 2), of(1, Number.NaN)),
      "The forecast must hold finite numbers, but value 2 of 2 is NaN.",
    );
    refused(
      () => mae(of(1, Infinity), of(1, 1)),
      "The actual values must hold finite numbers, but value 2 of 2 is Infinity.",
    );
    refused(() => mape(of(1, 0), of(1, 1)), "MAPE is undefined: actual value 2 of 2 is 0; use sMAPE or MASE.");
    refused(() => mape(of(-0), of(1)), "MAPE is undefined");
    refused(
      () => mase(of(1), of(1), of(4, 4, 4)),
      "MASE is undefined: the training part repeats itself exactly with season 1.",
    );
    refused(
      () => mase(of(1), of(1), of(1, 2), 2),
      "MASE with season 2 needs a training part of more than 2 values, but it has 2.",
    );
    refused(() => naiveScale(of(1, 2), 0), "The season must be a whole number of at least 1, but is 0.");
    for (const quantile of [0, 1, -0.1, Number.NaN]) {
      refused(() => pinballLoss(of(1), of(1), quantile), `A quantile must lie between 0 and 1, but is ${quantile}.`);
    }
    refused(() => coverage(of(1), of(3), of(2)), "The lower bound 1, 3, is above the upper, 2.");
    refused(() => coverage(of(1), of(3, 4), of(4, 5)), "A forecast of 2 values");
  });
});

describe("baselines, by hand", () => {
  const train = of(1, 5, 3, 7);
  test("naive, seasonal naive and drift", () => {
    expect([...naive(train, 3)]).toEqual([7, 7, 7]);
    expect([...seasonalNaive(train, 5, 3)]).toEqual([5, 3, 7, 5, 3]);
    expect([...seasonalNaive(train, 2, 4)]).toEqual([1, 5]);
    expect([...drift(train, 3)]).toEqual([9, 11, 13]);
  });
  test("refuse a series too short and a horizon that is none", () => {
    refused(() => naive(of(), 1), "This baseline needs 1 value to go on from, but there are 0.");
    refused(() => seasonalNaive(train, 1, 5), "needs 5 values to go on from, but there are 4");
    refused(() => drift(of(1), 1), "needs 2 values");
    refused(() => naive(train, 0), "The horizon must be a whole number of at least 1, but is 0.");
    refused(() => naive(of(1, Number.NaN), 1), "value 2 of 2 is NaN");
  });
});
