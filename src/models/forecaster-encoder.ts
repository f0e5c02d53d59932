/**
 * What a forecaster's network sees of a window, and what it is to say. T = L + H steps: the L rows before an origin, then the H rows
 * after it, of which only what is known beforehand is given. N batch, D features a step, C covariates.
 *
 * A step's features:
 *   what a row stands above level and season, as they are known at the origin   (0 after the origin)
 *   the same of the row a season before                                         (with a season)
 *   tanh of the row's height, after the origin of the smoothing's forecast      (for a bounded series)
 *   the C covariates of the row
 *   0 before the origin, 1 after it; and h/H, how far after
 *
 * The target of step h is what z stands above the smoothing's forecast, both in units of their mean size.
 */
import type { Covariates } from "../data/series/covariates.js";
import type { Floats } from "../data/series/windows.js";
import type { Recipe } from "./forecaster-recipe.js";
import type { Smoothed } from "./forecaster-smoothing.js";

/** Units, from the training part. JSON. */
export interface Units {
  /** Of what a window's rows stand above their level. */
  readonly input: number;
  /** Of what z stands above the smoothing's forecast. */
  readonly target: number;
}

export interface EncoderOptions {
  readonly recipe: Recipe;
  /** H. */
  readonly horizon: number;
  readonly z: Float64Array;
  readonly smoothed: Smoothed;
  /** [rows, C], rows at least `horizon` more than z has. */
  readonly covariates: Covariates;
  readonly units: Units;
}

export interface Encoder {
  /** L + H. */
  readonly steps: number;
  readonly horizon: number;
  /** D. */
  readonly features: number;
  readonly rows: number;
  readonly units: Units;
  /** The smoothing's forecast of step h after `origin`, 0 ≤ h < H. */
  plain(origin: number, h: number): number;
  /** Writes a window's features into row `n` of inputs [T, N, D]. */
  input(origin: number, inputs: Floats, n: number, batch: number): void;
  /** Writes a window's targets into row `n` of [H, N, 2]: the number, and whether it is known, 1 or 0, from rows before `end`. */
  target(origin: number, end: number, targets: Floats, n: number, batch: number): void;
}

/** Beyond this many units a row is as good as infinitely far off. */
const FARTHEST = 6;
const clamp = (x: number): number => Math.max(-FARTHEST, Math.min(FARTHEST, x));

export function createEncoder({ recipe, horizon, z, smoothed, covariates, units }: EncoderOptions): Encoder {
  const { lookback, season: m, bounded } = recipe;
  const width = covariates.names.length;
  const features = 1 + (m > 1 ? 1 : 0) + (bounded ? 1 : 0) + width + 2;
  const steps = lookback + horizon;
  return {
    steps,
    horizon,
    features,
    rows: z.length,
    units,
    plain: (origin, h) => smoothed.forecast(origin, origin + h),
    input(origin, inputs, n, batch) {
      const level = smoothed.level(origin);
      const above = (row: number, phase: number): number =>
        clamp((z[row]! - level - smoothed.season(origin, phase)) / units.input);
      for (let step = 0; step < steps; step++) {
        const row = origin - lookback + step;
        const ahead = row - origin + 1;
        let at = (step * batch + n) * features;
        inputs[at++] = ahead > 0 ? 0 : above(row, row);
        if (m > 1) {
          const before = row - m * Math.max(1, Math.ceil(ahead / m));
          inputs[at++] = before < 0 ? 0 : above(before, row);
        }
        if (bounded) inputs[at++] = Math.tanh(ahead > 0 ? smoothed.forecast(origin, row) : z[row]!);
        for (let c = 0; c < width; c++) inputs[at++] = covariates.values[row * width + c]!;
        inputs[at++] = ahead > 0 ? 1 : 0;
        inputs[at++] = ahead > 0 ? ahead / horizon : 0;
      }
    },
    target(origin, end, targets, n, batch) {
      for (let h = 0; h < horizon; h++) {
        const row = origin + h;
        const known = row < end;
        const at = (h * batch + n) * 2;
        targets[at] = known ? (z[row]! - smoothed.forecast(origin, row)) / units.target : 0;
        targets[at + 1] = known ? 1 : 0;
      }
    },
  };
}

/** Mean sizes over the windows at `origins`, as a normal spread's standard deviation: 1.25 times the mean distance. */
export function measureUnits(
  { recipe, horizon, z, smoothed }: Pick<EncoderOptions, "recipe" | "horizon" | "z" | "smoothed">,
  origins: readonly number[],
): Units {
  const [inside, ahead] = [createMean(), createMean()];
  for (const origin of origins) {
    const level = smoothed.level(origin);
    for (let row = origin - recipe.lookback; row < origin; row++)
      inside.add(Math.abs(z[row]! - level - smoothed.season(origin, row)));
    for (let row = origin; row < Math.min(origin + horizon, z.length); row++)
      ahead.add(Math.abs(z[row]! - smoothed.forecast(origin, row)));
  }
  return { input: 1.25 * inside.mean() || 1, target: 1.25 * ahead.mean() || 1 };
}

function createMean(): { add(x: number): void; mean(): number } {
  let [sum, count] = [0, 0];
  return {
    add(x) {
      sum += x;
      count++;
    },
    mean: () => (count === 0 ? 0 : sum / count),
  };
}
