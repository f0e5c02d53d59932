/**
 * The functions that kernels call, in WGSL. Elementary functions are our own: the language bounds its built-in ones loosely (tanh by
 * 1e-5), a driver may make NaN of tanh(89), and may assume that no NaN occurs, so that `x != x` is false for one. NaN is therefore
 * told by its bits, and put back where a bound or a comparison would lose it.
 *
 * Scheme as in Cody and Waite, Software Manual for the Elementary Functions (1980), without its last digits: results are within
 * 6 units in the last place of float32, 0 where they would be denormal on devices that have none.
 */
import { EXP, EXPM1, LN2_HIGH, LN2_LOW } from "../../minimax.js";
import { ERF_FAR, ERF_NEAR, LOG } from "../../minimax-rare.js";
import { literal } from "./literal.js";

/** c₀ + c₁x + c₂x² + …, the highest term innermost. */
function polynomial(x: string, coefficients: readonly number[]): string {
  const [first, ...rest] = [...coefficients].reverse().map(literal) as [string, ...string[]];
  return rest.reduce((sum, c) => `(${c} + ${x} * ${sum})`, first);
}

const SQRT_HALF_BITS = "0x3f3504f3";

/** By name; a function may call those above it. */
const functions = {
  isNan: `fn isNan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }`,
  isFinite: `fn isFinite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u; }`,
  isZero: `fn isZero(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) == 0u; }`,
  // By way of a call, since the language refuses an infinity in a constant expression.
  fromBits: `fn fromBits(bits: u32) -> f32 { return bitcast<f32>(bits); }`,
  // A conversion of what is too large may give anything, and one of what is not finite.
  toHalf: `fn toHalf(x: f32) -> f16 {
  let bits = ((bitcast<u32>(x) >> 16u) & 0x8000u) | select(0x7c00u, 0x7e00u, isNan(x));
  return select(bitcast<vec2<f16>>(bits).x, f16(clamp(x, -65504.0, 65504.0)), isFinite(x));
}`,
  maximum: `fn maximum(a: f32, b: f32) -> f32 { return select(max(a, b), a + b, isNan(a) || isNan(b)); }`,
  minimum: `fn minimum(a: f32, b: f32) -> f32 { return select(min(a, b), a + b, isNan(a) || isNan(b)); }`,
  signOf: `fn signOf(x: f32) -> f32 { return select(sign(x), x, isNan(x)); }`,
  power2: `fn power2(k: i32) -> f32 { return bitcast<f32>(u32(k + 127) << 23u); }`,
  // x = n·ln 2 + r
  remainder: `fn remainder(x: f32, n: f32) -> f32 { return (x - n * ${literal(LN2_HIGH)}) - n * ${literal(LN2_LOW)}; }`,
  expm1Near: `fn expm1Near(r: f32) -> f32 { return r + r * r * ${polynomial("r", EXPM1)}; }`,
  exponential: `fn exponential(x: f32) -> f32 {
  let bounded = clamp(x, -104.0, 89.0);
  let n = round(bounded * ${literal(Math.LOG2E)});
  let r = remainder(bounded, n);
  let k = i32(n);
  // 2^n in two factors: n runs from -150 to 128.
  let y = (${polynomial("r", EXP)} * power2(k >> 1u)) * power2(k - (k >> 1u));
  return select(y, x, isNan(x));
}`,
  expm1: `fn expm1(x: f32) -> f32 {
  let bounded = clamp(x, -18.0, 89.0);
  let n = round(bounded * ${literal(Math.LOG2E)});
  // Half of the result, since 2^n overflows before it does.
  let scale = power2(i32(n) - 1);
  let half = scale * expm1Near(remainder(bounded, n)) + (scale - 0.5);
  return select(half + half, x, isNan(x) || abs(x) < ${literal(2 ** -24)});
}`,
  // tanh|x| = (1 - e)/(1 + e) with e = e^(-2|x|) = s + s·p: as (1 - s - s·p)/(1 + s + s·p) it keeps its accuracy near 0.
  hyperbolicTangent: `fn hyperbolicTangent(x: f32) -> f32 {
  let a = min(abs(x), 10.0);
  let n = round(a * ${literal(-2 * Math.LOG2E)});
  let s = power2(i32(n));
  let sp = s * expm1Near(remainder(-2.0 * a, n));
  let y = ((1.0 - s) - sp) / ((1.0 + s) + sp);
  return select(select(y, -y, x < 0.0), x, isNan(x));
}`,
  logistic: `fn logistic(x: f32) -> f32 {
  let e = exponential(-abs(x));
  return select(1.0, e, x < 0.0) / (1.0 + e);
}`,
  // k·ln 2 + log(1 + r)
  logOf: `fn logOf(k: f32, r: f32) -> f32 {
  let square = r * r;
  return k * ${literal(LN2_HIGH)} + (r + (k * ${literal(LN2_LOW)} + r * square * ${polynomial("r", LOG)} - 0.5 * square));
}`,
  // x = 2^k·m with √½ ≤ m < √2, for normal x > 0
  logNormal: `fn logNormal(x: f32, k: f32) -> f32 {
  let above = bitcast<i32>(x) - ${SQRT_HALF_BITS};
  return logOf(k + f32(above >> 23u), bitcast<f32>((above & 0x007fffff) + ${SQRT_HALF_BITS}) - 1.0);
}`,
  logarithm: `fn logarithm(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  if (bits == 0x7f800000u) { return x; }
  if ((bits & 0x7fffffffu) == 0u) { return fromBits(0xff800000u); }
  if (bits > 0x7f800000u) { return fromBits(0x7fc00000u); }
  let denormal = bits < 0x00800000u;
  return logNormal(select(x, x * 8388608.0, denormal), select(0.0, -23.0, denormal));
}`,
  log1p: `fn log1p(x: f32) -> f32 {
  if (x > -0.29 && x < 0.41) { return logOf(0.0, x); }
  return logarithm(1.0 + x);
}`,
  softplus: `fn softplus(x: f32) -> f32 {
  let y = max(x, 0.0) + log1p(exponential(-abs(x)));
  return select(y, x, isNan(x));
}`,
  errorFunction: `fn errorFunction(x: f32) -> f32 {
  let a = min(abs(x), 4.0);
  let square = a * a;
  let near = x + x * ${polynomial("square", ERF_NEAR)};
  let far = 1.0 - exponential(${polynomial("a", ERF_FAR)});
  return select(select(select(far, -far, x < 0.0), near, a < 0.9), x, isNan(x));
}`,
  // As in graph/random.ts.
  mix: `fn mix32(x: u32) -> u32 {
  let a = (x ^ (x >> 16u)) * 0x7feb352du;
  let b = (a ^ (a >> 15u)) * 0x846ca68bu;
  return b ^ (b >> 16u);
}`,
  uniform: `fn uniformOf(key: u32, counter: u32) -> f32 { return f32(mix32(mix32(counter) ^ key) >> 8u) * ${literal(2 ** -24)}; }`,
} as const satisfies Record<string, string>;

const nameIn = (text: string): string => /^fn (\w+)/.exec(text)![1]!;
const library = Object.values<string>(functions).map((text) => ({ call: `${nameIn(text)}(`, text }));

/** The functions that a text calls, and those that they call. */
export function functionsFor(text: string): string {
  let body = text;
  const found: string[] = [];
  for (const { call, text: definition } of [...library].reverse()) {
    if (!body.includes(call)) continue;
    found.unshift(definition);
    body += definition;
  }
  return found.join("\n");
}
