/**
 * Inverted dropout (Srivastava et al. 2014).
 *
 *   training:  y = m∘x / (1 − p),  m ~ Bernoulli(1 − p)
 *   otherwise: y = x
 */
import { checkRate } from "../errors.js";
import { dropped } from "../graph/language.js";
import { checkRows } from "./check.js";
import type { Layer } from "./layer.js";

/**
 * Each element is zero with probability p = `rate`, at every step another one. Input and output [.., D].
 * @throws UserError where `rate` is not at least 0 and below 1
 */
export function dropout(rate: number): Layer {
  checkRate("dropout: the rate", rate);
  return {
    kind: "dropout",
    apply(input, context) {
      checkRows("dropout", input);
      return context.training && rate > 0 ? dropped(input, rate, context.seed(), context.key()) : input;
    },
  };
}
