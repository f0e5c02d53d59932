/** Elementary functions that few programs use. Scheme and accuracy are those of `math.ts`. */
import { EXP, LN2_HIGH, LN2_LOW } from "../../minimax.js";
import { ERF_FAR, ERF_NEAR, LOG } from "../../minimax-rare.js";
import type { FunctionBuilder, Local } from "../assembler/assembler.js";
import { f32x4, i32x4, type V128, v128 } from "../assembler/instructions.js";
import {
  EXPONENT_BIAS,
  expm1Near,
  expNegative,
  negativeAbs,
  polynomial,
  power2,
  reduceExponent,
  SIGN,
} from "./math.js";

type Vector = Local<"v128">;

/** Below this, log(1+x) and e^x − 1 are x to half an ULP. */
const TINY = 2 ** -24;
const SQRT_HALF_BITS = 0x3f3504f3;
const MIN_NORMAL = 2 ** -126;

/** e^x. */
export function exp(f: FunctionBuilder, x: Vector): Vector {
  const bounded = f.let(f32x4.pmin(f32x4.pmax(x, f.constant(-104)), f.constant(89)));
  const { power, r } = reduceExponent(f, bounded);
  // 2^n in two factors: n runs from −150 to 128.
  const n = f.let(i32x4.sub(i32x4.shrS(power, 23), f.bits(EXPONENT_BIAS)));
  const half = f.let(i32x4.shrS(n, 1));
  const scaled = f32x4.mul(polynomial(f, r, EXP), power2(f, half));
  return f.let(f32x4.mul(scaled, power2(f, i32x4.sub(n, half))));
}

/** e^x − 1. */
export function expm1(f: FunctionBuilder, x: Vector): Vector {
  const bounded = f.let(f32x4.pmin(f32x4.pmax(x, f.constant(-18)), f.constant(89)));
  const { power, r } = reduceExponent(f, bounded, -1);
  // Half of the result, since 2^n overflows before it does: 2^(n−1)·(p + 1) − ½.
  const scale = f.let(power);
  const halfResult = f.let(f.madd(scale, expm1Near(f, r), f32x4.sub(scale, f.constant(0.5))));
  const tiny = f32x4.lt(f32x4.abs(x), f.constant(TINY));
  return f.let(v128.bitselect(x, f32x4.add(halfResult, halfResult), tiny));
}

/** x = 2^k·m, for normal x > 0. */
function splitExponent(f: FunctionBuilder, x: Vector): { k: Vector; m: Vector } {
  const above = f.let(i32x4.sub(x, f.bits(SQRT_HALF_BITS)));
  const k = f.let(i32x4.shrS(above, 23));
  const m = f.let(i32x4.add(v128.and(above, f.bits(0x007fffff)), f.bits(SQRT_HALF_BITS)));
  return { k, m };
}

/** k·ln 2 + log(1 + r). */
function logOf(f: FunctionBuilder, k: Vector, r: Vector): Vector {
  const square = f.let(f32x4.mul(r, r));
  const cubic = f32x4.mul(f32x4.mul(r, square), polynomial(f, r, LOG));
  const low = f.madd(k, f.constant(LN2_LOW), cubic);
  const correction = f.nmadd(square, f.constant(0.5), low);
  return f.let(f.madd(k, f.constant(LN2_HIGH), f32x4.add(r, correction)));
}

/** `y`, but +∞ at +∞, −∞ at `pole`, and NaN below it and for NaN. */
function logEdges(f: FunctionBuilder, x: Vector, y: V128, pole: number): Vector {
  const infinite = v128.bitselect(x, y, f32x4.eq(x, f.constant(Infinity)));
  const atPole = v128.bitselect(f.constant(-Infinity), infinite, f32x4.eq(x, f.constant(pole)));
  return f.let(v128.or(atPole, v128.not(f32x4.ge(x, f.constant(pole)))));
}

/** Natural logarithm. */
export function log(f: FunctionBuilder, x: Vector): Vector {
  const denormal = f.let(f32x4.lt(x, f.constant(MIN_NORMAL)));
  const normal = f.let(v128.bitselect(f32x4.mul(x, f.constant(2 ** 23)), x, denormal));
  const { k, m } = splitExponent(f, normal);
  const exponent = f.let(f32x4.sub(f32x4.convert(k), v128.and(denormal, f.constant(23))));
  return logEdges(f, x, logOf(f, exponent, f.let(f32x4.sub(m, f.constant(1)))), 0);
}

/** log(1 + x) for −1 < x < ∞ (or NaN). */
function log1pFinite(f: FunctionBuilder, x: Vector): Vector {
  const one = f.constant(1);
  const u = f.let(f32x4.add(one, x));
  // What the rounding of 1 + x lost (Knuth's two-sum), given back at the scale of m.
  const back = f.let(f32x4.sub(u, one));
  const lost = f32x4.add(f32x4.sub(one, f32x4.sub(u, back)), f32x4.sub(x, back));
  const { k, m } = splitExponent(f, u);
  const scale = power2(f, i32x4.sub(f.bits(0), i32x4.minS(k, f.bits(64))));
  return logOf(f, f.let(f32x4.convert(k)), f.let(f.madd(f.let(lost), scale, f32x4.sub(m, one))));
}

/** log(1 + x). */
export function log1p(f: FunctionBuilder, x: Vector): Vector {
  const y = logEdges(f, x, log1pFinite(f, x), -1);
  return f.let(v128.bitselect(x, y, f32x4.lt(f32x4.abs(x), f.constant(TINY))));
}

/** log(1 + e^x) = max(x, 0) + log(1 + e^−|x|). */
export function softplus(f: FunctionBuilder, x: Vector): Vector {
  const e = expNegative(f, negativeAbs(f, x));
  return f.let(f32x4.add(f32x4.pmax(x, f.constant(0)), log1pFinite(f, e)));
}

/** The error function: x + x·P(x²) below 0.9, 1 − e^(Q|x|) above. */
export function erf(f: FunctionBuilder, x: Vector): Vector {
  const a = f.let(f32x4.pmin(f32x4.abs(x), f.constant(4)));
  const near = f.let(f.madd(x, polynomial(f, f.let(f32x4.mul(a, a)), ERF_NEAR), x));
  const far = f32x4.sub(f.constant(1), expNegative(f, polynomial(f, a, ERF_FAR)));
  const signed = v128.bitselect(x, far, f.bits(SIGN));
  return f.let(v128.bitselect(signed, near, f32x4.ge(a, f.constant(0.9))));
}
