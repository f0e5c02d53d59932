/** Derivatives of the scalar functions. dy is the gradient of the output y, x(i) the inputs. */
import { constant, pointwise, type Tensor } from "../tensor.js";
import type { PointwiseTable } from "./rule.js";

const zero = constant(0);
const select = (condition: Tensor, a: Tensor, b: Tensor): Tensor => pointwise("select", condition, a, b);

export const pointwiseTable: PointwiseTable = {
  // ── arithmetic
  add: [({ dy }) => dy, ({ dy }) => dy],
  sub: [({ dy }) => dy, ({ dy }) => dy.neg()],
  mul: [({ dy, x }) => dy.mul(x(1)), ({ dy, x }) => dy.mul(x(0))],
  div: [({ dy, x }) => dy.div(x(1)), ({ dy, x, y }) => dy.mul(y()).div(x(1)).neg()],
  neg: [({ dy }) => dy.neg()],
  abs: [({ dy, x }) => dy.mul(pointwise("sign", x(0)))],

  // ── exponentials
  exp: [({ dy, y }) => dy.mul(y())],
  log: [({ dy, x }) => dy.div(x(0))],
  sqrt: [({ dy, y }) => dy.mul(0.5).div(y())],
  log1p: [({ dy, x }) => dy.div(x(0).add(1))],
  expm1: [({ dy, y }) => dy.mul(y().add(1))],

  // ── squashing functions: their derivatives in terms of their own output
  sigmoid: [({ dy, y }) => dy.mul(y().mul(constant(1).sub(y())))], // σ' = σ(1−σ)
  tanh: [({ dy, y }) => dy.mul(constant(1).sub(y().mul(y())))], // tanh' = 1−tanh²
  erf: [({ dy, x }) => dy.mul(pointwise("exp", x(0).mul(x(0)).neg()).mul(2 / Math.sqrt(Math.PI)))], // erf' = 2/√π · e^(−x²)
  softplus: [({ dy, x }) => dy.mul(pointwise("sigmoid", x(0)))], // of log(1 + eˣ): σ

  // ── choices: the gradient goes where the value came from; at a tie to the second operand
  max: [
    ({ dy, x }) => select(pointwise("less", x(1), x(0)), dy, zero),
    ({ dy, x }) => select(pointwise("less", x(1), x(0)), zero, dy),
  ],
  min: [
    ({ dy, x }) => select(pointwise("less", x(0), x(1)), dy, zero),
    ({ dy, x }) => select(pointwise("less", x(0), x(1)), zero, dy),
  ],
  select: [undefined, ({ dy, x }) => select(x(0), dy, zero), ({ dy, x }) => select(x(0), zero, dy)],

  // ── steps: no slope anywhere that matters
  sign: [undefined],
  floor: [undefined],
  less: [undefined, undefined],
  lessEqual: [undefined, undefined],
  equal: [undefined, undefined],
};
