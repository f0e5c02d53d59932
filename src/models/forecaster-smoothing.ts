/**
 * Exponential smoothing with a season (Winters 1960) and a share of the mean growth: the plain forecast that a forecaster's
 * network starts from, as in the hybrid of Smyl (2020). z values, n of them; m the season; t a row, T the rows seen so far.
 *
 *   l_t = l_{t−1} + max(α, 1/(t+1))·(z_t − s_{t−m} − l_{t−1})        level
 *   s_t = s_{t−m} + max(γ, 1/k)·(z_t − l_t − s_{t−m})                season, k how often it has been seen
 *   b_{T+h} = l_T + s_{T+h−m⌈h/m⌉} + φ·δ_T·h                         forecast h rows ahead
 *
 * δ_T is the growth a row between the two halves of what has been seen. α = 1 without a season is the naive forecast, α = 0 the
 * mean, γ = 1 follows the last season. All states at T come from the rows before T alone.
 */

export interface SmoothingSettings {
  /** m: rows a season; 1 for none. */
  readonly season: number;
  /** α, 0 … 1. */
  readonly levelRate: number;
  /** γ, 0 … 1. */
  readonly seasonRate: number;
  /** φ, 0 … 1. */
  readonly growthShare: number;
}

/** The level is the last value: the naive forecast. */
export const NO_SMOOTHING: SmoothingSettings = { season: 1, levelRate: 1, seasonRate: 0, growthShare: 0 };

/** A series smoothed: its states after any number of rows. */
export interface Smoothed {
  readonly settings: SmoothingSettings;
  /** l after the first `rows` rows, at least 1. */
  level(rows: number): number;
  /** s of any `row`, past or to come, as it is known after the first `rows` rows. */
  season(rows: number, row: number): number;
  /** b of a row to come, after the first `rows` rows. */
  forecast(rows: number, row: number): number;
}

export function smooth(z: Float64Array, settings: SmoothingSettings): Smoothed {
  const { season: m, levelRate, seasonRate, growthShare } = settings;
  const n = z.length;
  const levels = new Float64Array(n + 1);
  // Entry m + t is s_t; the first m entries are what the season starts from.
  const seasons = new Float64Array(m + n);
  if (m > 1) seasons.set(firstSeason(z, m));
  const sums = new Float64Array(n + 1);
  let level = z[0]! - seasons[0]!;
  for (let t = 0; t < n; t++) {
    const before = seasons[t]!;
    level += Math.max(levelRate, 1 / (t + 1)) * (z[t]! - before - level);
    levels[t + 1] = level;
    const seen = Math.floor(t / m) + 1;
    // The first two seasons have made the start.
    const rate = m === 1 || t < 2 * m ? 0 : Math.max(seasonRate, 1 / seen);
    seasons[m + t] = before + rate * (z[t]! - level - before);
    sums[t + 1] = sums[t]! + z[t]!;
  }
  const growth = (rows: number): number => {
    const half = Math.floor(rows / 2) < m ? Math.floor(rows / 2) : m * Math.floor(rows / 2 / m);
    if (half < 2) return 0;
    const late = sums[rows]! - sums[rows - half]!;
    const early = sums[half]!;
    return (late - early) / half / (rows - half);
  };
  const season = (rows: number, row: number): number => {
    const back = (((rows - 1 - row) % m) + m) % m;
    return seasons[m + rows - 1 - back]!;
  };
  return {
    settings,
    level: (rows) => levels[rows]!,
    season,
    forecast: (rows, row) => levels[rows]! + season(rows, row) + growthShare * growth(rows) * (row - rows + 1),
  };
}

/** The mean of the first two seasons (or what there is of them), phase by phase, without their level and slope. */
function firstSeason(z: Float64Array, m: number): Float64Array {
  const rows = Math.min(z.length, 2 * m);
  const mean = (from: number, to: number): number => z.subarray(from, to).reduce((sum, v) => sum + v, 0) / (to - from);
  const slope = rows === 2 * m ? (mean(m, 2 * m) - mean(0, m)) / m : 0;
  const level = mean(0, rows);
  const start = new Float64Array(m);
  for (let t = 0; t < rows; t++) {
    const seen = Math.ceil((rows - (t % m)) / m);
    start[t % m]! += (z[t]! - level - slope * (t - (rows - 1) / 2)) / seen;
  }
  return start;
}

const LEVEL_RATES = [0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1];
const SEASON_RATES = [0, 0.1, 0.3, 0.6, 1];
const GROWTH_SHARES = [0, 0.5, 1];
/** Origins looked at for each setting: more would take longer and choose the same. */
const ORIGINS = 3000;

/**
 * The settings with the least mean absolute error over forecasts of 1 … `horizon` rows from every origin in the series, from row
 * `from` on.
 * @param season m, 1 for none
 */
export function fitSmoothing(z: Float64Array, season: number, horizon: number, from: number): SmoothingSettings {
  const n = z.length;
  const stride = Math.max(1, Math.floor((n - from) / ORIGINS));
  let best: SmoothingSettings = { ...NO_SMOOTHING, season };
  let least = Infinity;
  for (const levelRate of LEVEL_RATES) {
    for (const seasonRate of season > 1 ? SEASON_RATES : [0]) {
      for (const growthShare of GROWTH_SHARES) {
        const settings = { season, levelRate, seasonRate, growthShare };
        const error = errorOf(smooth(z, settings), z, horizon, from, stride);
        // Only a real gain moves away from the simpler settings, which come first.
        if (error < least * (1 - 1e-9)) [best, least] = [settings, error];
      }
    }
  }
  return best;
}

function errorOf(smoothed: Smoothed, z: Float64Array, horizon: number, from: number, stride: number): number {
  let sum = 0;
  let count = 0;
  for (let origin = Math.max(1, from); origin < z.length; origin += stride) {
    const end = Math.min(origin + horizon, z.length);
    for (let row = origin; row < end; row++) sum += Math.abs(z[row]! - smoothed.forecast(origin, row));
    count += end - origin;
  }
  return count > 0 ? sum / count : Infinity;
}
