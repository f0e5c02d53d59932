import { beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../../src/errors.js";
import { trainForecaster } from "../../src/models/forecaster.js";
import { forecasterConfig } from "../../src/models/forecaster-config.js";
import type { ForecasterConfig } from "../../src/models/forecaster-state.js";
import { made, month, months } from "./made-series.js";

type Json = { [key: string]: Json | string | number | boolean | null | Json[] };

let config: ForecasterConfig;
const copy = (): Json => JSON.parse(JSON.stringify(config));

beforeAll(async () => {
  const values = made(60, (t) => 10 + month(t));
  const forecaster = await trainForecaster({ values, dates: months(60), trust: 0 });
  config = forecaster.toJSON();
  forecaster.dispose();
});

function set(json: Json, path: string, value: unknown): Json {
  const keys = path.split(".");
  const last = keys.pop()!;
  const place = keys.reduce((at, key) => at[key] as Json, json);
  if (value === undefined) delete place[last];
  else place[last] = value as Json;
  return json;
}

describe("a forecaster's configuration", () => {
  test("is read as it was written", () => {
    expect(forecasterConfig(copy())).toEqual(config);
  });

  test("loses what does not belong to it", () => {
    expect(forecasterConfig({ ...copy(), more: 1 })).toEqual(config);
  });

  test.each([
    ["format", "text"],
    ["version", 2],
    ["trained", "yes"],
    ["network", []],
    ["network.cell", "elman"],
    ["network.cell", "constructor"],
    ["network.hidden", 0],
    ["network.hidden", 1e300],
    ["network.layers", 1.5],
    ["network.members", undefined],
    ["network.horizon", 13],
    ["network.dropout", 2],
    ["network.levels", [0.1, 0.9]],
    ["network.levels", [0.9, 0.5, 0.1]],
    ["network.levels", [0, 0.5, 0.9]],
    ["recipe", null],
    ["recipe.log", 1],
    ["recipe.season", -1],
    ["recipe.lookback", 60],
    ["recipe.calendar", ["month", "moon"]],
    ["recipe.smoothing.levelRate", 1.1],
    ["recipe.smoothing.season", 0],
    ["transform", { kind: "difference", lag: 1 }],
    ["transform", { kind: "pipeline", steps: [{ kind: "standard", mean: 0, deviation: 0 }] }],
    ["covariateTransforms", [{ kind: "log" }]],
    ["series.values", [1]],
    ["series.values", "1, 2"],
    ["series.values", [1, null]],
    ["series.dates", ["2020-01"]],
    ["series.dates", new Array(60).fill(7)],
    ["series.covariateNames", ["x"]],
    ["series.covariates", [1]],
    ["units.input", 0],
    ["units.target", undefined],
    ["blend.trust", 1.5],
    ["blend.spread", [1, 2]],
    ["blend.shape", [0, 0]],
    ["blend.stretch", ["1", "1", "1"]],
  ])("with %s %j is refused in one sentence", (path, value) => {
    let thrown: unknown;
    try {
      forecasterConfig(set(copy(), path, value));
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(UserError);
    expect((thrown as UserError).message).toMatch(/^[^\n]{10,300}\.$/);
  });

  test.each([undefined, null, 7, "x", [], {}])("%j is none", (json) => {
    expect(() => forecasterConfig(json)).toThrow(UserError);
  });
});
