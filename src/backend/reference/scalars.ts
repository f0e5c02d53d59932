/** The scalar functions in float64. */
import type { PointwiseName } from "../../graph/pointwise.js";

/** erf to float64 accuracy: the Maclaurin series below 2, the continued fraction of erfc above (Abramowitz & Stegun 7.1.6, 7.1.14). */
export function erf(x: number): number {
  const size = Math.abs(x);
  if (Number.isNaN(x) || size === 0) return x;
  if (size > 6) return Math.sign(x);
  if (size < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= (2 * x * x) / (2 * n + 1);
      sum += term;
    }
    return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  }
  let fraction = size;
  for (let n = 60; n >= 1; n--) fraction = size + n / 2 / fraction;
  return Math.sign(x) * (1 - Math.exp(-x * x) / (Math.sqrt(Math.PI) * fraction));
}

/** σ(x) = 1 / (1 + e⁻ˣ), in the form that does not overflow. */
function sigmoid(x: number): number {
  if (x >= 0) return 1 / (1 + Math.exp(-x));
  const e = Math.exp(x);
  return e / (1 + e);
}

/** Of up to three operands. */
export const scalars: { readonly [Name in PointwiseName]: (a: number, b: number, c: number) => number } = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  neg: (a) => -a,
  abs: Math.abs,
  exp: Math.exp,
  log: Math.log,
  sqrt: Math.sqrt,
  log1p: Math.log1p,
  expm1: Math.expm1,
  sigmoid,
  tanh: Math.tanh,
  erf,
  softplus: (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))), // log(1 + eˣ)
  max: (a, b) => Math.max(a, b),
  min: (a, b) => Math.min(a, b),
  select: (condition, a, b) => (condition !== 0 ? a : b),
  sign: Math.sign,
  floor: Math.floor,
  less: (a, b) => (a < b ? 1 : 0),
  lessEqual: (a, b) => (a <= b ? 1 : 0),
  equal: (a, b) => (a === b ? 1 : 0),
};
