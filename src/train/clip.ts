/**
 * Gradient clipping (Pascanu, Mikolov & Bengio 2013), as PyTorch's `clip_grad_norm_` and `clip_grad_value_`.
 *
 *   norm = √Σ‖g‖² over all gradients,   g ← g·min(1, maxNorm/(norm + 1e-6))
 */
import { checkAboveZero } from "../errors.js";
import { constant, maximum, minimum, sqrt, square, sumAll } from "../graph/language.js";
import type { Tensor } from "../graph/tensor.js";

/** The Euclidean norm [1] of all gradients taken together; 0 for none. */
export const globalNorm = (gradients: readonly Tensor[]): Tensor => {
  const sums = gradients.map((gradient) => sumAll(square(gradient)));
  return sqrt(sums.length > 0 ? sums.reduce((sum, next) => sum.add(next)) : constant(0)).named("gradient norm");
};

/**
 * What all gradients are multiplied by, [1]: below 1 where their global norm is above `maxNorm`.
 * @throws UserError where `maxNorm` is not a number above 0
 */
export function clipCoefficient(norm: Tensor, maxNorm: number): Tensor {
  checkAboveZero("clipping: the largest norm", maxNorm);
  return minimum(constant(maxNorm).div(norm.add(1e-6)), 1);
}

/**
 * Each element brought into −maxValue … maxValue.
 * @throws UserError where `maxValue` is not a number above 0
 */
export function clipByValue(gradients: readonly Tensor[], maxValue: number): Tensor[] {
  checkAboveZero("clipping: the largest value", maxValue);
  return gradients.map((gradient) => minimum(maximum(gradient, -maxValue), maxValue));
}
