/**
 * The two 16-bit float formats as bit patterns. JavaScript has no array for them on Node 20 and 22,
 * so they travel as `Float32Array`, which holds every value of both exactly.
 * - binary16 (F16): 1 sign, 5 exponent and 10 fraction bits (IEEE 754-2008).
 * - bfloat16 (BF16): the upper half of a float32.
 */

const bytes = /* @__PURE__ */ new ArrayBuffer(4);
const float = /* @__PURE__ */ new Float32Array(bytes);
const bits = /* @__PURE__ */ new Uint32Array(bytes);

/** The value of a binary16 bit pattern (0 to 0xffff); exact. */
export function fromHalf(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

/** The binary16 bit pattern nearest to a float32 value: ties to even, beyond 65504 to infinity, NaN to 0x7e00. */
export function toHalf(value: number): number {
  float[0] = value;
  const pattern = bits[0]!;
  const sign = (pattern >>> 16) & 0x8000;
  const magnitude = pattern & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65520 and above round to infinity
  // Below 2^-14 the result is subnormal, a multiple of 2^-24; adding 2^52 rounds a double to an integer, ties to even.
  if (magnitude < 0x38800000) return sign | (Math.abs(float[0]) * 2 ** 24 + 2 ** 52 - 2 ** 52);
  return sign | ((magnitude + 0xfff + ((magnitude >>> 13) & 1) - 0x38000000) >>> 13);
}

/** The value of a bfloat16 bit pattern (0 to 0xffff); exact. */
export function fromBfloat(pattern: number): number {
  bits[0] = pattern << 16;
  return float[0]!;
}

/** The bfloat16 bit pattern nearest to a float32 value: ties to even, NaN stays NaN. */
export function toBfloat(value: number): number {
  float[0] = value;
  const pattern = bits[0]!;
  if ((pattern & 0x7fffffff) > 0x7f800000) return (pattern >>> 16) | 0x40; // rounding could turn a NaN into infinity
  return (pattern + 0x7fff + ((pattern >>> 16) & 1)) >>> 16;
}
