/** The suite `schedules`: PyTorch's learning rates, step by step. No backend takes part. */
import type { Schedule } from "../../src/train/schedule.js";
import { cosine, exponential, oneCycle, plateau, step } from "../../src/train/schedules.js";
import { count, type Fields, flag, type GoldenCase, number, oneOf } from "./case.js";
import type { Comparison, Outcome } from "./compare.js";

/** From PyTorch's options to a schedule. */
const schedules: Readonly<Record<string, (options: Fields) => Schedule>> = {
  step: (options) => step({ stepSize: options.get("step_size", count), gamma: options.maybe("gamma", number) }),
  exponential: (options) => exponential({ gamma: options.get("gamma", number) }),
  cosine: (options) => cosine({ steps: options.get("t_max", count), minimum: options.maybe("eta_min", number) }),
  one_cycle: (options) =>
    oneCycle({
      maximum: options.get("max_lr", number),
      totalSteps: options.get("total_steps", count),
      pctStart: options.maybe("pct_start", number),
      divFactor: options.maybe("div_factor", number),
      finalDivFactor: options.maybe("final_div_factor", number),
      threePhase: options.maybe("three_phase", flag),
      anneal: ({ cos: "cosine", linear: "linear" } as const)[
        options.maybe("anneal_strategy", oneOf(["cos", "linear"])) ?? "cos"
      ],
    }),
  plateau: (options) =>
    plateau({
      factor: options.maybe("factor", number),
      patience: options.maybe("patience", number),
      threshold: options.maybe("threshold", number),
      cooldown: options.maybe("cooldown", number),
      minimum: options.maybe("min_lr", number),
      epsilon: options.maybe("eps", number),
    }),
};

export async function runSchedules({ fields, tensors }: GoldenCase): Promise<Outcome> {
  const named = fields.within("schedules");
  if (named.names.length === 0) throw new Error("the case names no schedule");
  const comparisons = named.names.map((name): Comparison => {
    const make = schedules[name];
    if (!make) throw new Error(`there is no schedule "${name}"`);
    const options = named.within(name);
    const base = options.get("lr", number);
    const schedule = make(options);
    const expected = tensors.floats(name);
    // The rate of a step knows the metrics of the steps before it.
    const metrics = name === "plateau" ? [...tensors.floats("plateau_metric", [expected.length])] : [];
    const actual = Array.from(expected, (_, t) => schedule.rate(t, base, metrics.slice(0, t)));
    return { tensor: name, actual, expected };
  });
  fields.finish();
  tensors.finish();
  return { comparisons, demand: undefined };
}
