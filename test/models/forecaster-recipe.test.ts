import { describe, expect, test } from "vitest";
import { readCalendar } from "../../src/data/series/calendar.js";
import {
  calendarCycles,
  findSeason,
  isBounded,
  isFloored,
  isSeasonal,
  prefersLog,
} from "../../src/models/forecaster-recipe.js";
import { days, made, month, months } from "./made-series.js";

const seeds = [1, 2, 3, 4, 5];

describe("what is decided about a series", () => {
  test.each(seeds)("logarithms for what grows by factors (seed %d)", (seed) => {
    const factors = made(90, (t, normal) => (20 + 0.5 * t) * (1 + 0.04 * month(t)) * Math.exp(0.04 * normal()), seed);
    expect(prefersLog(factors, 12)).toBe(true);
    const growth = made(90, (_, normal, last) => (last || 20) * Math.exp(0.015 + 0.03 * normal()), seed);
    expect(prefersLog(growth, 12)).toBe(true);
  });

  test.each(seeds)("none for what grows by sums, or is not above 0 (seed %d)", (seed) => {
    const sums = made(90, (t, normal) => 100 + t + month(t) + 3 * normal(), seed);
    expect(prefersLog(sums, 12)).toBe(false);
    const factors = made(90, (t, normal) => (20 + 0.5 * t) * Math.exp(0.1 * normal()), seed);
    factors[40] = 0;
    expect(prefersLog(factors, 12)).toBe(false);
    expect(prefersLog(new Float64Array(50).fill(7), 12)).toBe(false);
    expect(prefersLog(Float64Array.of(1, 2), 12)).toBe(false);
    const steep = made(90, (_, normal, last) => (last || 20) * Math.exp(0.05 + 0.03 * normal()), seed);
    expect(prefersLog(steep, 1)).toBe(true);
  });

  test.each(seeds)("a season where there is one (seed %d)", (seed) => {
    const seasonal = made(80, (t, normal) => 0.3 * t + month(t) + 3 * normal(), seed);
    expect(isSeasonal(seasonal, 12)).toBe(true);
    expect(isSeasonal(seasonal, 7)).toBe(false);
    expect(isSeasonal(seasonal, 1)).toBe(false);
    expect(isSeasonal(seasonal.slice(0, 31), 12)).toBe(false);
  });

  test("a season in noise and random walks as seldom as the test's 5 % says", () => {
    const found = (row: Parameters<typeof made>[1]) =>
      Array.from({ length: 200 }, (_, seed) => isSeasonal(made(120, row, seed), 12)).filter(Boolean).length;
    expect(found((_, normal, last) => last + normal())).toBeLessThan(24);
    expect(found((_, normal) => normal())).toBeLessThan(24);
    expect(isSeasonal(new Float64Array(100).fill(3), 12)).toBe(false);
  });

  test("the season asked for, else the calendar's, else none", () => {
    const weekly = made(200, (t, normal) => 3 * [0, 1, 2, 1, 0, 5, 4][t % 7]! + normal());
    const calendar = readCalendar(days(200));
    expect(findSeason(weekly, 7, undefined)).toBe(7);
    expect(findSeason(weekly, 12, undefined)).toBe(1);
    expect(findSeason(weekly, 12, calendar)).toBe(7);
    const noise = made(200, (_, normal) => normal(), 3);
    expect(findSeason(noise, 12, calendar)).toBe(1);
  });

  test("whether a series keeps to one range", () => {
    expect(isBounded(made(200, (_, normal) => normal()))).toBe(true);
    expect(isBounded(made(200, (t, normal) => 0.05 * t + normal()))).toBe(false);
    expect(isFloored(Float64Array.of(3, 0, 2))).toBe(true);
    expect(isFloored(Float64Array.of(3, 0, -2))).toBe(false);
    expect(isFloored(Float64Array.of(3, 1, 2))).toBe(false);
  });

  const hours = (rows: number, count = 1) =>
    Array.from({ length: rows }, (_, i) => new Date(Date.UTC(2024, 0, 1, i * count)).toISOString().slice(0, 16));
  const weekdays = (rows: number) => days(rows).filter((day) => ![0, 6].includes(new Date(day).getUTCDay()));
  test.each([
    ["months with their season", months(60), 12, []],
    ["months without a season", months(60), 1, ["month"]],
    ["less than two years", months(20), 1, []],
    ["days of two years", days(731), 12, ["day-of-week", "day-of-year"]],
    ["days of a year", days(365), 1, ["day-of-week"]],
    ["days with a week's season", days(200), 7, []],
    ["weekdays", weekdays(300), 1, ["day-of-week"]],
    ["weekdays with a week's season", weekdays(300), 5, []],
    ["hours", hours(400), 1, ["hour-of-day", "day-of-week"]],
    ["hours with a day's season", hours(400), 24, ["day-of-week"]],
    ["twelve hours", hours(40, 12), 1, ["hour-of-day", "day-of-week"]],
  ] as const)("the calendar's cycles: %s", (_, dates, season, cycles) => {
    expect(calendarCycles(readCalendar(dates), season)).toEqual(cycles);
  });

  test("no cycles without dates", () => {
    expect(calendarCycles(undefined, 1)).toEqual([]);
  });
});
