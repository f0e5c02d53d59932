import { describe, expect, test } from "vitest";
import { columnOf, covariatesOf, joinCovariates, sliceCovariates } from "../../src/data/series/covariates.js";
import { calendarFeatures, seasonFeatures } from "../../src/data/series/features.js";
import { refused } from "./refused.js";

const close = (actual: Float64Array, expected: number[]) => {
  expect(actual.length).toBe(expected.length);
  expected.forEach((value, i) => {
    expect(actual[i]).toBeCloseTo(value, 12);
  });
};

describe("calendar features", () => {
  test("months go round the year", () => {
    const table = calendarFeatures(["2020-01", "2020-04", "2020-07", "2020-10", "2021-01"], ["month"]);
    expect(table.names).toEqual(["month-sin", "month-cos"]);
    expect(table.rows).toBe(5);
    close(table.values, [0, 1, 1, 0, 0, -1, -1, 0, 0, 1]);
    close(columnOf(calendarFeatures(["2020-02", "2020-03"], ["month"]), 0), [0.5, Math.sqrt(3) / 2]);
  });

  test("days go round the week from Monday, and round the year whether 365 or 366 long", () => {
    // 2024-01-01 was a Monday.
    const week = calendarFeatures(["2024-01-01", "2024-01-02", "2024-01-03"], ["day-of-week"]);
    close(columnOf(week, 0), [0, Math.sin((2 * Math.PI) / 7), Math.sin((4 * Math.PI) / 7)]);
    const sunday = calendarFeatures(["2023-12-31"], ["day-of-week", "day-of-year"]);
    close(
      sunday.values,
      [(6 / 7) * 2, (6 / 7) * 2, (364 / 365) * 2, (364 / 365) * 2].map((turns, i) =>
        i % 2 === 0 ? Math.sin(turns * Math.PI) : Math.cos(turns * Math.PI),
      ),
    );
    const leap = calendarFeatures(["2024-12-31"], ["day-of-year"]);
    close(leap.values, [Math.sin((2 * Math.PI * 365) / 366), Math.cos((2 * Math.PI * 365) / 366)]);
  });

  test("hours go round the day", () => {
    close(calendarFeatures(["2024-01-01 06:00", "2024-01-01 12:00"], ["hour-of-day"]).values, [1, 0, 0, -1]);
  });

  test("take dates with gaps, and refuse what is no date or no feature", () => {
    expect(calendarFeatures(["2020-01", "2020-02", "2020-09"], ["month"]).rows).toBe(3);
    refused(() => calendarFeatures(["one", "two"], ["month"]), 'Calendar features need dates, but "one" is none.');
    refused(
      () => calendarFeatures(["2020-01", "2020-02"], ["moon" as "month"]),
      'There is no calendar feature "moon": there are "month", "day-of-week", "day-of-year" and "hour-of-day".',
    );
  });
});

describe("season features", () => {
  test("are sine and cosine of the index, continued by a forecast's", () => {
    const table = seasonFeatures(4, { season: 4 });
    expect(table.names).toEqual(["season-sin", "season-cos"]);
    close(table.values, [0, 1, 1, 0, 0, -1, -1, 0]);
    const all = seasonFeatures(30, { season: 12, harmonics: 3 });
    expect(all.names).toEqual([
      "season-1-sin",
      "season-1-cos",
      "season-2-sin",
      "season-2-cos",
      "season-3-sin",
      "season-3-cos",
    ]);
    const later = seasonFeatures(10, { season: 12, harmonics: 3, start: 20 });
    expect(later).toEqual(sliceCovariates(all, 20, 30));
    close(columnOf(all, 2).slice(0, 4), [0, Math.sqrt(3) / 2, Math.sqrt(3) / 2, 0]);
    close(
      columnOf(seasonFeatures(3, { season: 365.25, start: 730 }), 0),
      [730, 731, 732].map((t) => Math.sin((2 * Math.PI * t) / 365.25)),
    );
  });

  test("are as exact late as early", () => {
    const late = seasonFeatures(12, { season: 12, start: 12_000_000_000 });
    expect(late).toEqual(seasonFeatures(12, { season: 12 }));
  });

  test("refuse a season of 1, and more harmonics than a season can tell apart", () => {
    refused(() => seasonFeatures(5, { season: 1 }), "A season must be longer than 1 row, but is 1.");
    refused(() => seasonFeatures(5, { season: 12, harmonics: 7 }), "has at most 6 harmonics, but 7 are asked for");
    refused(() => seasonFeatures(5, { season: 12, start: -1 }), "The first index must be a whole number of at least 0");
  });
});

describe("covariates", () => {
  test("stand side by side, row by row", () => {
    const a = covariatesOf([["a", Float64Array.of(1, 2)]]);
    const b = covariatesOf([
      ["b", Float64Array.of(3, 4)],
      ["1", Float64Array.of(5, 6)],
    ]);
    const joined = joinCovariates(a, b);
    expect(joined.names).toEqual(["a", "b", "1"]);
    expect([...joined.values]).toEqual([1, 3, 5, 2, 4, 6]);
    expect([...columnOf(joined, 2)]).toEqual([5, 6]);
    expect([...sliceCovariates(joined, 1, 2).values]).toEqual([2, 4, 6]);
    expect(joinCovariates()).toEqual({ names: [], rows: 0, values: new Float64Array(0) });
    refused(() => joinCovariates(a, a), 'Two covariates are called "a".');
    refused(() => joinCovariates(a, sliceCovariates(b, 0, 1)), 'The covariate "b" has 1 row, but 2 are needed.');
    refused(() => covariatesOf([["a", Float64Array.of(1, Number.NaN)]]), 'The covariate "a" must hold finite numbers');
    refused(() => sliceCovariates(a, 1, 3), "Rows 1 to 3 do not lie in covariates of 2 rows.");
  });
});
