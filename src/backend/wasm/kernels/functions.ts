/** Elementary functions that few programs use. Scheme and accuracy are those of `math.ts`. */
import { EXP } from "../../minimax.js";
import { ERF_FAR, ERF_NEAR } from "../../minimax-erf.js";
import type { FunctionBuilder, Local } from "../assembler/assembler.js";
import { f32x4, i32x4, v128 } from "../assembler/instructions.js";
import {
  expm1Near,
  expNegative,
  logEdges,
  logOf,
  negativeAbs,
  polynomial,
  power2,
  ROUNDING,
  reduceExponent,
  SIGN,
  splitExponent,
} from "./math.js";

type Vector = Local<"v128">;

/** Below this, log(1+x) and e^x − 1 are x to half an ULP. */
const TINY = 2 ** -24;

/** e^x. */
export function exp(f: FunctionBuilder, x: Vector): Vector {
  const bounded = f.let(f32x4.pmin(f32x4.pmax(x, f.constant(-104)), f.constant(89)));
  const { shifted, r } = reduceExponent(f, bounded);
  // 2^n in two factors: n runs from −150 to 128.
  const n = f.let(i32x4.sub(shifted, f.constant(ROUNDING)));
  const half = f.let(i32x4.shrS(n, 1));
  const scaled = f32x4.mul(polynomial(f, r, EXP), power2(f, half));
  return f.let(f32x4.mul(scaled, power2(f, i32x4.sub(n, half))));
}

/** e^x − 1. */
export function expm1(f: FunctionBuilder, x: Vector): Vector {
  const bounded = f.let(f32x4.pmin(f32x4.pmax(x, f.constant(-18)), f.constant(89)));
  const { shifted, r } = reduceExponent(f, bounded, -1);
  // Half of the result, since 2^n overflows before it does: 2^(n−1)·(p + 1) − ½.
  const scale = f.let(power2(f, shifted));
  const halfResult = f.let(f.madd(scale, expm1Near(f, r), f32x4.sub(scale, f.constant(0.5))));
  const tiny = f32x4.lt(f32x4.abs(x), f.constant(TINY));
  return f.let(v128.bitselect(x, f32x4.add(halfResult, halfResult), tiny));
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
