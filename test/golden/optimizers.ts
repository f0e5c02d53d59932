/** From PyTorch's name and options of an optimiser to the toolkit's. */
import type { Optimizer } from "../../src/train/optimizer.js";
import { adagrad, adam, adamw, rmsprop, sgd } from "../../src/train/optimizers.js";
import { type Fields, flag, listOf, number, oneOf } from "./case.js";

const optimizers = {
  sgd: (options: Fields) =>
    sgd({
      ...common(options),
      momentum: options.maybe("momentum", number),
      dampening: options.maybe("dampening", number),
      nesterov: options.maybe("nesterov", flag),
    }),
  adagrad: (options: Fields) =>
    adagrad({
      ...common(options),
      learningRateDecay: options.maybe("lr_decay", number),
      initialAccumulator: options.maybe("initial_accumulator_value", number),
      epsilon: options.maybe("eps", number),
    }),
  rmsprop: (options: Fields) =>
    rmsprop({
      ...common(options),
      alpha: options.maybe("alpha", number),
      epsilon: options.maybe("eps", number),
      momentum: options.maybe("momentum", number),
      centered: options.maybe("centered", flag),
    }),
  adam: (options: Fields) => adam(adamOptions(options)),
  adamw: (options: Fields) => adamw(adamOptions(options)),
} as const;

const common = (options: Fields) => ({
  learningRate: options.get("lr", number),
  weightDecay: options.maybe("weight_decay", number),
});

const adamOptions = (options: Fields) => ({
  ...common(options),
  betas: options.maybe("betas", listOf(number)) as [number, number] | undefined,
  epsilon: options.maybe("eps", number),
  amsgrad: options.maybe("amsgrad", flag),
});

/** The optimiser of a case: `optimizer` and `options`, which are PyTorch's. */
export function optimizerOf(fields: Fields): Optimizer {
  const name = fields.get("optimizer", oneOf(Object.keys(optimizers) as (keyof typeof optimizers)[]));
  return optimizers[name](fields.within("options"));
}
