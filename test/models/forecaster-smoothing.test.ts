import { describe, expect, test } from "vitest";
import { naive } from "../../src/data/series/baselines.js";
import { fitSmoothing, NO_SMOOTHING, smooth } from "../../src/models/forecaster-smoothing.js";
import { made, meanDistance, month } from "./made-series.js";

const ahead = (z: Float64Array, settings: Parameters<typeof smooth>[1], rows = 12): number[] => {
  const smoothed = smooth(z, settings);
  return Array.from({ length: rows }, (_, h) => smoothed.forecast(z.length, z.length + h));
};

describe("smoothing", () => {
  const noise = made(60, (_, normal) => 5 + normal());

  test("with α = 1 is the naive forecast", () => {
    expect(ahead(noise, NO_SMOOTHING)).toEqual([...naive(noise, 12)]);
  });

  test("with α = 0 is the mean", () => {
    const mean = noise.reduce((sum, v) => sum + v / 60, 0);
    for (const b of ahead(noise, { ...NO_SMOOTHING, levelRate: 0 })) expect(b).toBeCloseTo(mean, 10);
  });

  test("with α between weighs the last values by (1 − α)ᵏ, after the first few", () => {
    const z = Float64Array.of(0, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    expect(ahead(z, { ...NO_SMOOTHING, levelRate: 0.25 }, 1)[0]).toBeCloseTo(0.25 * 0.75, 12);
  });

  test.each([0, 0.3, 1])("continues what repeats itself exactly, γ = %d", (seasonRate) => {
    const z = made(41, month);
    const made12 = ahead(z, { season: 12, levelRate: 0.2, seasonRate, growthShare: 0 }, 30);
    made12.forEach((b, h) => {
      expect(b).toBeCloseTo(month(41 + h), 10);
    });
  });

  test("continues a line, where all growth goes on", () => {
    const z = made(50, (t) => 3 + 0.5 * t);
    ahead(z, { ...NO_SMOOTHING, growthShare: 1 }).forEach((b, h) => {
      expect(b).toBeCloseTo(3 + 0.5 * (50 + h), 10);
    });
    expect(ahead(z, { ...NO_SMOOTHING, growthShare: 0.5 })[3]).toBeCloseTo(27.5 + 4 * 0.25, 10);
  });

  test("γ = 1 follows a season that changes, γ = 0 the mean of all", () => {
    const z = made(72, (t) => (t < 36 ? month(t) : 2 * month(t)));
    const follows = ahead(z, { season: 12, levelRate: 0, seasonRate: 1, growthShare: 0 });
    const remembers = ahead(z, { season: 12, levelRate: 0, seasonRate: 0, growthShare: 0 });
    follows.forEach((b, h) => {
      expect(b).toBeCloseTo(2 * month(h), 1);
      expect(remembers[h]).toBeCloseTo(1.5 * month(h), 0);
    });
  });

  test("knows at each row only what came before", () => {
    const z = made(80, (t, normal) => month(t) + 0.1 * t + normal());
    const other = z.map((v, t) => (t < 50 ? v : -100));
    const settings = { season: 12, levelRate: 0.3, seasonRate: 0.3, growthShare: 1 };
    const [a, b] = [smooth(z, settings), smooth(other, settings)];
    for (let rows = 24; rows <= 50; rows++) {
      expect(b.forecast(rows, rows + 7)).toBe(a.forecast(rows, rows + 7));
      expect(b.season(rows, 3)).toBe(a.season(rows, 3));
      expect(b.level(rows)).toBe(a.level(rows));
    }
    expect(b.level(51)).not.toBe(a.level(51));
  });

  test("is fitted: the last value of a random walk, the mean of noise, the growth of a trend", () => {
    const walk = made(300, (_, normal, last) => last + normal());
    expect(fitSmoothing(walk, 1, 12, 24).levelRate).toBeGreaterThanOrEqual(0.7);
    const still = made(300, (_, normal) => normal());
    expect(fitSmoothing(still, 1, 12, 24).levelRate).toBeLessThanOrEqual(0.05);
    const line = made(200, (t, normal) => 0.3 * t + normal());
    expect(fitSmoothing(line, 1, 12, 24).growthShare).toBe(1);
  });

  test("beats the naive forecast on level and season together", () => {
    const z = made(132, (t, normal) => month(t) + 0.2 * t + normal());
    const train = z.slice(0, 120);
    const fitted = ahead(train, fitSmoothing(train, 12, 12, 36));
    expect(meanDistance(z.slice(120), fitted)).toBeLessThan(2);
    expect(meanDistance(z.slice(120), naive(train, 12))).toBeGreaterThan(4);
  });

  test.each([1, 2, 3, 13])("holds with %d values", (rows) => {
    const z = made(rows, (t) => t);
    for (const season of [1, 12]) {
      const made12 = ahead(z, fitSmoothing(z, season, 12, 1));
      expect(made12.every(Number.isFinite)).toBe(true);
    }
  });
});
