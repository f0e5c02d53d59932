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
export const ROUNDING = 12582912;
export const SIGN = 0x80000000;
const ONE_BITS = 0x3f800000;

/**
 * c₀ + c₁x + c₂x² + … by Estrin's scheme: neighbours in pairs, then the pairs in x², and so on. Half as deep as Horner's,
 * and depth is what counts: a chain of functions is as slow as its longest line of dependent operations.
 */
export function polynomial(f: FunctionBuilder, x: Vector, coefficients: readonly number[]): Vector {
  let terms: Vector[] = coefficients.map((c) => f.constant(c));
  let power = x;
  while (terms.length > 1) {
    const paired: Vector[] = [];
    for (let i = 0; i < terms.length; i += 2) {
      const high = terms[i + 1];
      paired.push(high ? f.let(f.madd(high, power, terms[i]!)) : terms[i]!);
    }
    terms = paired;
    if (terms.length > 1) power = f.let(f32x4.mul(power, power));
  }
  return terms[0]!;
}

/** x = n·ln 2 + r. `shifted` holds n + bias in its lowest bits. `scaled`, times `scale`, is x where it is known sooner. */
export function reduceExponent(
  f: FunctionBuilder,
  x: Vector,
  bias = 0,
  scaled = x,
  scale = 1,
): { shifted: Vector; r: Vector } {
  const shifter = f.constant(ROUNDING + bias);
  const shifted = f.let(f.madd(scaled, f.constant(Math.LOG2E * scale), shifter));
  const n = f.let(f32x4.sub(shifted, shifter));
  const r = f.let(f.nmadd(n, f.constant(LN2_LOW), f.nmadd(n, f.constant(LN2_HIGH), x)));
  return { shifted, r };
}

/** 2^k from the lowest bits of k, for −127 < k < 128. */
export const power2 = (f: FunctionBuilder, k: V128): V128 => i32x4.add(i32x4.shl(k, 23), f.bits(ONE_BITS));

export const negativeAbs = (f: FunctionBuilder, x: V128): V128 => v128.or(x, f.bits(SIGN));

/** e^x for x ≤ 0 (or NaN), cheaper: the polynomial carries 2⁻⁶⁴, so that one factor reaches the smallest denormal. */
export function expNegative(f: FunctionBuilder, x: V128): Vector {
  const bounded = f.let(f32x4.pmax(x, f.constant(-104)));
  const { shifted, r } = reduceExponent(f, bounded, 64);
  const scaled = polynomial(
    f,
    r,
    EXP.map((c) => c * 2 ** -64),
  );
  return f.let(f32x4.mul(scaled, power2(f, shifted)));
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
  const a = f.let(f32x4.pmin(f32x4.abs(x), f.constant(10)));
  const { shifted, r } = reduceExponent(f, f.let(f32x4.mul(a, f.constant(-2))), 0, a, -2);
  const p = expm1Near(f, r);
  const s = f.let(power2(f, shifted));
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
