/** A number as float32 text. */
export function literal(value: number): string {
  const x = Math.fround(value);
  if (Number.isNaN(x)) return "fromBits(0x7fc00000u)";
  if (!Number.isFinite(x)) return x > 0 ? "fromBits(0x7f800000u)" : "fromBits(0xff800000u)";
  if (Object.is(x, -0)) return "fromBits(0x80000000u)";
  return x < 0 ? `(-${literal(-x)})` : `${x}f`;
}
