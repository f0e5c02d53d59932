/**
 * Learning-rate schedules, as PyTorch's `lr_scheduler`. t counts updates from 0, γ₀ is the optimiser's own rate.
 *
 *   step         γ = γ₀·gammaᶠ, f = ⌊t/stepSize⌋
 *   exponential  γ = γ₀·gammaᵗ
 *   cosine       γ = min + (γ₀ − min)·(1 + cos(π·t/steps))/2                        (Loshchilov & Hutter 2017)
 *   one-cycle    up from max/divFactor to max, then down to (max/divFactor)/finalDivFactor   (Smith & Topin 2019)
 *   warm-up      γ = γ₀·(startFactor + (1 − startFactor)·t/steps), then another schedule from its own t = 0
 *   plateau      γ ← γ·factor each time the metric has not got better for more than `patience` values
 */
import { checkCount, checkName, checkOptions, checkRate, UserError } from "../errors.js";
import type { Schedule } from "./schedule.js";

/**
 * The rate times `gamma` after every `stepSize` updates. Default gamma 0.1.
 * @throws UserError for an option out of its range
 */
export function step(options: { readonly stepSize: number; readonly gamma?: number }): Schedule {
  checkOptions("step", options, "stepSize gamma");
  const { stepSize, gamma = 0.1 } = options;
  checkCount("step: stepSize", stepSize);
  checkFactor("step", "gamma", gamma);
  return { name: "step", rate: (t, base) => base * gamma ** Math.floor(t / stepSize) };
}

/**
 * The rate times `gamma` after every update.
 * @throws UserError for an option out of its range
 */
export function exponential(options: { readonly gamma: number }): Schedule {
  checkOptions("exponential", options, "gamma");
  const { gamma } = options;
  checkFactor("exponential", "gamma", gamma);
  return { name: "exponential", rate: (t, base) => base * gamma ** t };
}

/**
 * Half a cosine from the optimiser's rate to `minimum` (default 0) in `steps` updates; beyond, it swings back as PyTorch's does.
 * @throws UserError for an option out of its range
 */
export function cosine(options: { readonly steps: number; readonly minimum?: number }): Schedule {
  checkOptions("cosine", options, "steps minimum");
  const { steps, minimum = 0 } = options;
  checkCount("cosine: steps", steps);
  checkAtLeastZero("cosine", "minimum", minimum);
  return {
    name: "cosine",
    rate: (t, base) => minimum + ((base - minimum) * (1 + Math.cos((Math.PI * t) / steps))) / 2,
  };
}

/** Options of `oneCycle`. */
export interface OneCycleOptions {
  /** Updates in the whole cycle; beyond, the rate stays where it ended. */
  readonly totalSteps: number;
  /** The rate at the top; default the optimiser's own. */
  readonly maximum?: number;
  /** Part of the cycle that goes up; default 0.3. */
  readonly pctStart?: number;
  /** maximum / first rate; default 25. */
  readonly divFactor?: number;
  /** First rate / last rate; default 1e4. */
  readonly finalDivFactor?: number;
  /** The shape of each part; default "cosine". */
  readonly anneal?: "cosine" | "linear";
  /** Down to the first rate as it went up, then to the last one. Default false. */
  readonly threePhase?: boolean;
}

/**
 * One cycle: up from a small rate, then down to a smaller one.
 * @throws UserError for an option out of its range
 */
export function oneCycle(options: OneCycleOptions): Schedule {
  checkOptions("oneCycle", options, "totalSteps maximum pctStart divFactor finalDivFactor anneal threePhase");
  const { totalSteps, maximum, pctStart = 0.3, divFactor = 25, finalDivFactor = 1e4 } = options;
  const { anneal = "cosine", threePhase = false } = options;
  checkCount("oneCycle: totalSteps", totalSteps);
  if (maximum !== undefined) checkAtLeastZero("oneCycle", "maximum", maximum);
  if (!(pctStart >= 0 && pctStart <= (threePhase ? 0.5 : 1)))
    throw new UserError(`oneCycle: pctStart must be between 0 and ${threePhase ? 0.5 : 1}, not ${pctStart}`);
  checkFactor("oneCycle", "divFactor", divFactor);
  checkFactor("oneCycle", "finalDivFactor", finalDivFactor);
  checkName("oneCycle", "anneal", anneal, "cosine linear");
  const between = (from: number, to: number, part: number): number =>
    anneal === "linear" ? from + (to - from) * part : to + ((from - to) * (1 + Math.cos(Math.PI * part))) / 2;
  return {
    name: "oneCycle",
    rate(t, base) {
      const top = maximum ?? base;
      const first = top / divFactor;
      const last = first / finalDivFactor;
      const turn = pctStart * totalSteps - 1;
      const phases = threePhase
        ? [
            { end: turn, from: first, to: top },
            { end: 2 * turn, from: top, to: first },
            { end: totalSteps - 1, from: first, to: last },
          ]
        : [
            { end: turn, from: first, to: top },
            { end: totalSteps - 1, from: top, to: last },
          ];
      const at = Math.min(t, totalSteps - 1);
      const index = phases.findIndex(({ end }) => at <= end);
      const { end, from, to } = phases[index]!;
      const start = index === 0 ? 0 : phases[index - 1]!.end;
      return end === start ? to : between(from, to, (at - start) / (end - start));
    },
  };
}

/** Options of `warmUp`. */
export interface WarmUpOptions {
  /** Updates until the full rate is reached. */
  readonly steps: number;
  /** Where it starts, as part of the full rate; default 1/3. */
  readonly startFactor?: number;
  /** What follows; its first update is the one after the warm-up. Default: the full rate for good. */
  readonly after?: Schedule;
}

/**
 * A linear rise to the optimiser's rate, then another schedule.
 * @throws UserError for an option out of its range
 */
export function warmUp(options: WarmUpOptions): Schedule {
  checkOptions("warmUp", options, "steps startFactor after");
  const { steps, startFactor = 1 / 3, after } = options;
  checkCount("warmUp: steps", steps);
  if (!(startFactor >= 0 && startFactor <= 1))
    throw new UserError(`warmUp: startFactor must be between 0 and 1, not ${startFactor}`);
  return {
    name: after ? `warmUp, then ${after.name}` : "warmUp",
    rate(t, base, metrics) {
      if (t < steps) return base * (startFactor + ((1 - startFactor) * t) / steps);
      return after ? after.rate(t - steps, base, metrics) : base;
    },
  };
}

/** Options of `plateau`. */
export interface PlateauOptions {
  /** What the rate is multiplied by; default 0.1. */
  readonly factor?: number;
  /** Metrics without improvement that are borne; the next one lowers the rate. Default 10. */
  readonly patience?: number;
  /** A metric is better when it is below best·(1 − threshold). Default 1e-4. */
  readonly threshold?: number;
  /** Metrics after a reduction during which none is counted; default 0. */
  readonly cooldown?: number;
  /** The rate never falls below; default 0. */
  readonly minimum?: number;
  /** A smaller change of the rate than this is not made; default 1e-8. */
  readonly epsilon?: number;
}

/**
 * Lowers the rate when the validation loss has stopped falling: PyTorch's ReduceLROnPlateau, mode "min", relative threshold.
 * The rate follows from the metrics so far alone.
 * @throws UserError for an option out of its range
 */
export function plateau(options: PlateauOptions = {}): Schedule {
  checkOptions("plateau", options, "factor patience threshold cooldown minimum epsilon");
  const { factor = 0.1, patience = 10, threshold = 1e-4, cooldown = 0, minimum = 0, epsilon = 1e-8 } = options;
  checkRate("plateau: factor", factor);
  for (const [name, value] of Object.entries({ patience, threshold, cooldown, minimum, epsilon }))
    checkAtLeastZero("plateau", name, value);
  return {
    name: "plateau",
    rate(_, base, metrics) {
      let rate = base;
      let best = Number.POSITIVE_INFINITY;
      let [bad, resting] = [0, 0];
      for (const metric of metrics) {
        if (metric < best * (1 - threshold)) [best, bad] = [metric, 0];
        else bad++;
        if (resting > 0) [resting, bad] = [resting - 1, 0];
        if (bad <= patience) continue;
        const lower = Math.max(rate * factor, minimum);
        if (rate - lower > epsilon) rate = lower;
        [resting, bad] = [cooldown, 0];
      }
      return rate;
    },
  };
}

function checkFactor(schedule: string, name: string, value: number): void {
  if (!(value > 0 && Number.isFinite(value)))
    throw new UserError(`${schedule}: ${name} must be a number above 0, not ${value}`);
}

function checkAtLeastZero(schedule: string, name: string, value: number): void {
  if (!(value >= 0 && Number.isFinite(value)))
    throw new UserError(`${schedule}: ${name} must be a number of at least 0, not ${value}`);
}
