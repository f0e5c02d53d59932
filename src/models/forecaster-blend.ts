/**
 * From what the smoothing and the network say to the forecast: how far the network is trusted, and how wide the quantiles are, both
 * found on rows that the network has not learned from.
 * H horizon, Q quantile levels, the median among them; all in the units of z.
 */
import type { Encoder } from "./forecaster-encoder.js";

/** JSON. */
export interface Blend {
  /** w, 0 … 1: the network's share in the forecast, the smoothing has the rest. */
  readonly trust: number;
  /** [H]: the spread of z around the smoothing's forecast. */
  readonly spread: readonly number[];
  /** [Q]: the quantiles of z around the smoothing's forecast, in spreads; 0 for the median. */
  readonly shape: readonly number[];
  /** [Q]: what distances from the median are multiplied by, so that as many rows lie below as the level says. */
  readonly stretch: readonly number[];
}

/** The blended quantiles [H, Q] at one origin; `network` [H, Q] may be missing where it is not trusted at all. */
export function blended(
  { trust, spread, shape, stretch }: Blend,
  levels: readonly number[],
  plain: (h: number) => number,
  network: Float64Array | undefined,
): Float64Array {
  const width = levels.length;
  const middle = levels.indexOf(0.5);
  const made = new Float64Array(spread.length * width);
  for (let h = 0; h < spread.length; h++) {
    const of = (q: number): number =>
      (1 - trust) * (plain(h) + spread[h]! * shape[q]!) + (network ? trust * network[h * width + q]! : 0);
    const median = of(middle);
    for (let q = 0; q < width; q++) {
      const distance = q < middle ? Math.min(0, of(q) - median) : Math.max(0, of(q) - median);
      made[h * width + q] = median + (q === middle ? 0 : stretch[q]! * distance);
    }
  }
  return made;
}

/** The spread of z around the smoothing's forecast at the origins given, as far as rows before `end` tell. */
export function plainSpread(
  encoder: Encoder,
  z: Float64Array,
  origins: readonly number[],
  end: number,
  levels: readonly number[],
): Pick<Blend, "spread" | "shape"> {
  const spread: number[] = [];
  const shares: number[] = [];
  for (let h = 0; h < encoder.horizon; h++) {
    const errors = origins
      .filter((origin) => origin + h < end)
      .map((origin) => z[origin + h]! - encoder.plain(origin, h));
    const size = errors.reduce((sum, error) => sum + Math.abs(error), 0) / errors.length;
    // What lies further ahead is no better known.
    spread.push(Math.max(spread[h - 1] ?? 0, errors.length > 0 ? size : 0));
    if (spread[h]! > 0) shares.push(...errors.map((error) => error / spread[h]!));
  }
  shares.sort((a, b) => a - b);
  return {
    spread,
    shape: levels.map((level) => (level === 0.5 || shares.length === 0 ? 0 : quantileOf(shares, level))),
  };
}

/** The validation windows: actual z and what was said of it. */
export interface Trial {
  readonly encoder: Encoder;
  readonly z: Float64Array;
  readonly origins: readonly number[];
  /** [origins, H, Q]. */
  readonly network: Float64Array;
  readonly levels: readonly number[];
}

/**
 * The share w with the least mean absolute error of (1 − w)·smoothing + w·network.
 */
export function chooseTrust({ encoder, z, origins, network, levels }: Trial): number {
  const width = levels.length;
  const middle = levels.indexOf(0.5);
  const { horizon } = encoder;
  let best = 0;
  let least = Infinity;
  for (let step = 0; step <= 10; step++) {
    const trust = step / 10;
    let error = 0;
    for (const [i, origin] of origins.entries()) {
      for (let h = 0; h < horizon; h++) {
        const said = network[(i * horizon + h) * width + middle]!;
        error += Math.abs(z[origin + h]! - (1 - trust) * encoder.plain(origin, h) - trust * said);
      }
    }
    if (error < least) [best, least] = [trust, error];
  }
  return best;
}

/**
 * How the distances from the median must be stretched for the levels to come true on the trial's windows (split conformal prediction
 * with scaled scores, Lei et al. 2018), held back towards 1 where the trial has few forecasts that do not overlap.
 */
export function chooseStretch(
  { encoder, z, origins, network, levels }: Trial,
  blend: Omit<Blend, "stretch">,
): number[] {
  const width = levels.length;
  const middle = levels.indexOf(0.5);
  const { horizon } = encoder;
  const unstretched = { ...blend, stretch: levels.map(() => 1) };
  const forecasts = origins.map((origin, i) =>
    blended(
      unstretched,
      levels,
      (h) => encoder.plain(origin, h),
      network.subarray(i * horizon * width, (i + 1) * horizon * width),
    ),
  );
  const apart = (origins.at(-1)! - origins[0]! + horizon) / horizon;
  return levels.map((level, q) => {
    if (q === middle) return 1;
    const scores: number[] = [];
    for (const [i, origin] of origins.entries()) {
      for (let h = 0; h < horizon; h++) {
        const median = forecasts[i]![h * width + middle]!;
        const distance = forecasts[i]![h * width + q]! - median;
        if (distance !== 0) scores.push((z[origin + h]! - median) / distance);
      }
    }
    if (scores.length === 0) return 1;
    scores.sort((a, b) => a - b);
    const found = quantileOf(scores, Math.max(level, 1 - level));
    return Math.exp((apart / (apart + HELD_BACK)) * Math.log(Math.min(4, Math.max(0.25, found))));
  });
}

/** Forecasts apart at which the trial's word counts half. */
const HELD_BACK = 4;

/** The quantile of sorted numbers at this level, between neighbours in proportion. */
function quantileOf(sorted: readonly number[], level: number): number {
  const place = level * (sorted.length - 1);
  const below = Math.floor(place);
  const [a, b] = [sorted[below]!, sorted[Math.min(below + 1, sorted.length - 1)]!];
  return a + (place - below) * (b - a);
}
