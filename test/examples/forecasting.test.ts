import { expect, test } from "vitest";
import { main } from "../../examples/forecasting.js";
import { printed } from "./printed.js";

const output = printed();

test("the forecaster beats the naive forecasts of airline passengers", async () => {
  const { result, forecast } = await main({ folds: 2, steps: 60, members: 1 });
  expect(result.mae).toBeLessThan(0.75 * result.seasonalNaive.mae);
  expect(result.mae).toBeLessThan(result.naive.mae);
  expect(forecast.dates?.[0]).toBe("1961-01");
  for (let h = 0; h < 12; h++) {
    const values = forecast.quantiles.map((quantile) => quantile.values[h]!);
    expect(values).toEqual([...values].sort((a, b) => a - b));
  }
  expect(output()).toMatch(/seasonal naive +\d/);
});
