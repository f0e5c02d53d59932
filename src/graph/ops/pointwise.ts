/** The scalar functions with their derivatives. dy is the gradient of the output y, x(i) the inputs. */
import { constant, pointwise, type Tensor } from "../tensor.js";
import type { PointwiseTable } from "./rule.js";

const zero = constant(0);
const select = (condition: Tensor, a: Tensor, b: Tensor): Tensor => pointwise("select", condition, a, b);

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

export const pointwiseTable: PointwiseTable = {
  // ── arithmetic
  add: { evaluate: (a, b) => a + b, derivative: [({ dy }) => dy, ({ dy }) => dy] },
  sub: { evaluate: (a, b) => a - b, derivative: [({ dy }) => dy, ({ dy }) => dy.neg()] },
  mul: { evaluate: (a, b) => a * b, derivative: [({ dy, x }) => dy.mul(x(1)), ({ dy, x }) => dy.mul(x(0))] },
  div: {
    evaluate: (a, b) => a / b,
    derivative: [({ dy, x }) => dy.div(x(1)), ({ dy, x, y }) => dy.mul(y()).div(x(1)).neg()],
  },
  neg: { evaluate: (a) => -a, derivative: [({ dy }) => dy.neg()] },
  abs: { evaluate: Math.abs, derivative: [({ dy, x }) => dy.mul(pointwise("sign", x(0)))] },

  // ── exponentials
  exp: { evaluate: Math.exp, derivative: [({ dy, y }) => dy.mul(y())] },
  log: { evaluate: Math.log, derivative: [({ dy, x }) => dy.div(x(0))] },
  sqrt: { evaluate: Math.sqrt, derivative: [({ dy, y }) => dy.mul(0.5).div(y())] },
  log1p: { evaluate: Math.log1p, derivative: [({ dy, x }) => dy.div(x(0).add(1))] },
  expm1: { evaluate: Math.expm1, derivative: [({ dy, y }) => dy.mul(y().add(1))] },

  // ── squashing functions: their derivatives in terms of their own output
  sigmoid: { evaluate: sigmoid, derivative: [({ dy, y }) => dy.mul(y().mul(constant(1).sub(y())))] }, // σ' = σ(1−σ)
  tanh: { evaluate: Math.tanh, derivative: [({ dy, y }) => dy.mul(constant(1).sub(y().mul(y())))] }, // tanh' = 1−tanh²
  erf: {
    evaluate: erf, // erf' = 2/√π · e^(−x²)
    derivative: [({ dy, x }) => dy.mul(pointwise("exp", x(0).mul(x(0)).neg()).mul(2 / Math.sqrt(Math.PI)))],
  },
  softplus: {
    evaluate: (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))), // log(1 + eˣ), whose derivative is σ
    derivative: [({ dy, x }) => dy.mul(pointwise("sigmoid", x(0)))],
  },

  // ── choices: the gradient goes where the value came from; at a tie to the second operand
  max: {
    evaluate: (a, b) => Math.max(a, b),
    derivative: [
      ({ dy, x }) => select(pointwise("less", x(1), x(0)), dy, zero),
      ({ dy, x }) => select(pointwise("less", x(1), x(0)), zero, dy),
    ],
  },
  min: {
    evaluate: (a, b) => Math.min(a, b),
    derivative: [
      ({ dy, x }) => select(pointwise("less", x(0), x(1)), dy, zero),
      ({ dy, x }) => select(pointwise("less", x(0), x(1)), zero, dy),
    ],
  },
  select: {
    evaluate: (condition, a, b) => (condition !== 0 ? a : b),
    derivative: [undefined, ({ dy, x }) => select(x(0), dy, zero), ({ dy, x }) => select(x(0), zero, dy)],
  },

  // ── steps: no slope anywhere that matters
  sign: { evaluate: Math.sign, derivative: [undefined] },
  floor: { evaluate: Math.floor, derivative: [undefined] },
  less: { evaluate: (a, b) => (a < b ? 1 : 0), derivative: [undefined, undefined] },
  lessEqual: { evaluate: (a, b) => (a <= b ? 1 : 0), derivative: [undefined, undefined] },
  equal: { evaluate: (a, b) => (a === b ? 1 : 0), derivative: [undefined, undefined] },
};
