/**
 * Elementary functions over four float32 lanes, emitted inline: those of every recurrent net (others in `functions.ts`). All of
 * them are branch-free, hold over the whole float32 range (denormal arguments and results included) to 4 ULP at most, and
 * treat ±0, ±∞ and NaN as Math does.
 *
 * Scheme, after W. J. Cody and W. Waite, Software Manual for the Elementary Functions (1980): x = n·ln 2 + r with
 * |r| ≤ ½ ln 2 for the exponentials, x = 2^k·m with √½ ≤ m < √2 for the logarithms, and a polynomial in what is left.
 * The coefficients are in ../../minimax.ts.
 *
 * NaN travels by itself through arithmetic; pmin and pmax keep it when it is their first argument.
 */
import { EXP, EXPM1, LN2_HIGH, LN2_LOW } from "../../minimax.js";
import type { FunctionBuilder, Local } from "../assembler/assembler.js";
import { f32x4, i32x4, type V128, v128 } from "../assembler/instructions.js";

type Vector = Local<"v128">;

/** Adding 1.5·2²³ rounds to a whole number, and leaves it in the lowest bits. */
const ROUNDING = 12582912;
export const SIGN = 0x80000000;
export const EXPONENT_BIAS = 127;

/** c₀ + c₁x + c₂x² + … by Horner's scheme: the fewest instructions. */
export const polynomial = (f: FunctionBuilder, x: Vector, coefficients: readonly number[]): Vector =>
  coefficients.map((c) => f.constant(c)).reduceRight((sum, c) => f.let(f.madd(sum, x, c)));

/** x = n·ln 2 + r, and 2^(n + bias) as a number. */
export function reduceExponent(f: FunctionBuilder, x: Vector, bias = 0): { power: V128; r: Vector } {
  // What is added leaves n in the lowest bits, with the bias of a number's exponent.
  const shifter = f.constant(ROUNDING + EXPONENT_BIAS + bias);
  const shifted = f.let(f.madd(x, f.constant(Math.LOG2E), shifter));
  const n = f.let(f32x4.sub(shifted, shifter));
  const r = f.let(f.nmadd(n, f.constant(LN2_LOW), f.nmadd(n, f.constant(LN2_HIGH), x)));
  return { power: i32x4.shl(shifted, 23), r };
}

/** 2^k from the lowest bits of k, for −127 < k < 128. */
export const power2 = (f: FunctionBuilder, k: V128): V128 => i32x4.shl(i32x4.add(k, f.bits(EXPONENT_BIAS)), 23);

export const negativeAbs = (f: FunctionBuilder, x: V128): V128 => v128.or(x, f.bits(SIGN));

/** e^x for x ≤ 0 (or NaN), cheaper: the polynomial carries 2⁻⁶⁴, so that one factor reaches the smallest denormal. */
export function expNegative(f: FunctionBuilder, x: V128): Vector {
  const bounded = f.let(f32x4.pmax(x, f.constant(-104)));
  const { power, r } = reduceExponent(f, bounded, 64);
  const scaled = polynomial(
    f,
    r,
    EXP.map((c) => c * 2 ** -64),
  );
  return f.let(f32x4.mul(scaled, power));
}

/** As `expNegative`, but 0 where the result would be denormal: such results take hundreds of times as long. */
export function expNegativeNormal(f: FunctionBuilder, x: Vector): Vector {
  const lowest = f.constant(-87.3);
  const e = expNegative(f, f32x4.pmax(x, lowest));
  return f.let(v128.andnot(e, f32x4.lt(x, lowest)));
}

/** e^r − 1 for |r| ≤ ½ ln 2. */
export const expm1Near = (f: FunctionBuilder, r: Vector): Vector =>
  f.let(f.madd(f32x4.mul(r, r), polynomial(f, r, EXPM1), r));

/**
 * tanh|x| = (1 − e)/(1 + e) with e = e^(−2|x|) = s + s·p, where p = e^r − 1: as (1 − s − s·p)/(1 + s + s·p) it keeps its
 * relative accuracy near 0. The sign is put back.
 */
export function tanh(f: FunctionBuilder, x: Vector): Vector {
  const a = f.let(f32x4.pmin(v128.andnot(x, f.bits(SIGN)), f.constant(10)));
  const { power, r } = reduceExponent(f, f.let(f32x4.mul(a, f.constant(-2))));
  const p = expm1Near(f, r);
  const s = f.let(power);
  const one = f.constant(1);
  const numerator = f.nmadd(s, p, f32x4.sub(one, s));
  const denominator = f.madd(s, p, f32x4.add(one, s));
  return f.let(v128.or(f32x4.div(numerator, denominator), v128.and(x, f.bits(SIGN))));
}

/** 1/(1 + e^−x), as e/(1 + e) with e = e^x for negative x. */
export function sigmoid(f: FunctionBuilder, x: Vector): Vector {
  const e = expNegative(f, negativeAbs(f, x));
  const one = f.constant(1);
  // e ≤ 1, so the larger of e and (x negative ? 0 : 1) is what is wanted above the line.
  const numerator = f32x4.pmax(e, v128.andnot(one, i32x4.shrS(x, 31)));
  return f.let(f32x4.div(numerator, f32x4.add(e, one)));
}
