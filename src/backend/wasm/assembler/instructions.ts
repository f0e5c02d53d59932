/**
 * The instructions that kernels use, as typed expressions: `f32x4.add(a, b)` is the code that leaves a sum on the stack. An expression
 * is code, not a value: used twice it is computed twice, so what is needed again goes into a local (`f.let`).
 */
import { bitsOf, bytes, type Code, int32, signed, unsigned } from "./encoding.js";

export type ValueType = "i32" | "f32" | "f64" | "v128";

/** Code that leaves one value of the type on the stack. */
export interface Value<T extends ValueType> {
  readonly type: T;
  readonly code: Code;
}

export type I32 = Value<"i32">;
export type F32 = Value<"f32">;
export type F64 = Value<"f64">;
export type V128 = Value<"v128">;

export const value = <T extends ValueType>(type: T, code: Code): Value<T> => ({ type, code });
export const unary =
  <A extends ValueType, R extends ValueType>(result: R, opcode: Code) =>
  (a: Value<A>): Value<R> =>
    value(result, a.code + opcode);
const binary =
  <A extends ValueType, B extends ValueType, R extends ValueType>(result: R, opcode: Code) =>
  (a: Value<A>, b: Value<B>): Value<R> =>
    value(result, a.code + b.code + opcode);

/** An instruction of the vector set: prefix 0xfd and its number. */
const simd = (opcode: number): Code => bytes(0xfd) + unsigned(opcode);

const ALIGNMENT = bytes(2);
/** Alignment (as a power of two) and constant offset in bytes. The alignment is a hint only; 4 bytes always hold. */
export const memoryOperand = (offset: number): Code => ALIGNMENT + unsigned(offset);
const load =
  <R extends ValueType>(result: R, opcode: Code) =>
  (address: I32, offset = 0): Value<R> =>
    value(result, address.code + opcode + memoryOperand(offset));

const i = (opcode: number) => binary<"i32", "i32", "i32">("i32", bytes(opcode));
const CONST_I32 = bytes(0x41);
export const i32 = {
  const: (n: number): I32 => value("i32", CONST_I32 + signed(n)),
  load: load("i32", bytes(0x28)),
  eqz: unary<"i32", "i32">("i32", bytes(0x45)),
  eq: i(0x46),
  ne: i(0x47),
  ltU: i(0x49),
  gtS: i(0x4a),
  add: i(0x6a),
  sub: i(0x6b),
  mul: i(0x6c),
  and: i(0x71),
  xor: i(0x73),
  shl: i(0x74),
  shrU: i(0x76),
};

/** a where the condition is not 0, else b. */
export const choose = (condition: I32, a: I32, b: I32): I32 =>
  value("i32", a.code + b.code + condition.code + bytes(0x1b));

/** `base + bytes`, without an addition of nothing. */
export const plus = (base: I32, bytes: number): I32 => (bytes === 0 ? base : i32.add(base, i32.const(bytes)));

export const f32 = {
  const: (x: number): F32 => value("f32", bytes(0x43) + int32(bitsOf(x))),
  load: load("f32", bytes(0x2a)),
  ne: binary<"f32", "f32", "i32">("i32", bytes(0x5c)),
  sub: binary<"f32", "f32", "f32">("f32", bytes(0x93)),
  demote: unary<"f64", "f32">("f32", bytes(0xb6)),
};

export const f64 = {
  add: binary<"f64", "f64", "f64">("f64", bytes(0xa0)),
};

const ternary =
  (opcode: number, code = simd(opcode)) =>
  (a: V128, b: V128, c: V128): V128 =>
    value("v128", a.code + b.code + c.code + code);
const CONST_V128 = simd(0x0c);
const SHUFFLE = simd(0x0d);
/** The four bytes of a 32-bit lane, as a shuffle names them. */
const laneBytes = [0, 1, 2, 3, 4, 5, 6, 7].map((lane) => bytes(4 * lane, 4 * lane + 1, 4 * lane + 2, 4 * lane + 3));

/** Lane tricks of every width. Masks have all bits of a lane set or none. */
const v = (opcode: number) => binary<"v128", "v128", "v128">("v128", simd(opcode));
const u = (opcode: number) => unary<"v128", "v128">("v128", simd(opcode));
export const v128 = {
  load: load("v128", simd(0x00)),
  load32Splat: load("v128", simd(0x09)),
  /** The lowest lane from memory, zeros above. */
  load32Zero: load("v128", simd(0x5c)),
  /** Four 32-bit lanes given by their bits. */
  const: (bits: readonly [number, number, number, number]): V128 =>
    value("v128", CONST_V128 + bits.map(int32).join("")),
  /** Lanes 0–3 come from a, 4–7 from b. */
  shuffle32: (a: V128, b: V128, [w, x, y, z]: readonly [number, number, number, number]): V128 =>
    value("v128", a.code + b.code + SHUFFLE + laneBytes[w]! + laneBytes[x]! + laneBytes[y]! + laneBytes[z]!),
  not: u(0x4d),
  and: v(0x4e),
  /** a and not b. */
  andnot: v(0x4f),
  or: v(0x50),
  xor: v(0x51),
  /** a where the mask's bits are set, b elsewhere. */
  bitselect: ternary(0x52),
};

const shift =
  (opcode: number, code = simd(opcode)) =>
  (a: V128, bits: number): V128 =>
    value("v128", a.code + i32.const(bits).code + code);
export const i32x4 = {
  splat: unary<"i32", "v128">("v128", simd(0x11)),
  add: v(0xae),
  sub: v(0xb1),
  mul: v(0xb5),
  shl: shift(0xab),
  shrS: shift(0xac),
  shrU: shift(0xad),
  minS: v(0xb6),
  /** float32 to int32, saturating; NaN gives 0. */
  truncate: u(0xf8),
};

export const f32x4 = {
  eq: v(0x41),
  ne: v(0x42),
  lt: v(0x43),
  gt: v(0x44),
  le: v(0x45),
  ge: v(0x46),
  floor: u(0x68),
  abs: u(0xe0),
  neg: u(0xe1),
  sqrt: u(0xe3),
  add: v(0xe4),
  sub: v(0xe5),
  mul: v(0xe6),
  div: v(0xe7),
  /** As Math.min and Math.max: NaN wins, −0 < +0. Several machine instructions each. */
  min: v(0xe8),
  max: v(0xe9),
  /** b < a ? b : a, and a < b ? b : a: one machine instruction; a NaN in `a` wins. */
  pmin: v(0xea),
  pmax: v(0xeb),
  convert: u(0xfa),
  /** a·b + c, rounded once or twice as the machine likes. Needs relaxed SIMD. */
  relaxedMadd: ternary(0x105),
  /** c − a·b. Needs relaxed SIMD. */
  relaxedNmadd: ternary(0x106),
};

const LANE_F64 = simd(0x21);
export const f64x2 = {
  lane: (a: V128, lane: number): F64 => value("f64", a.code + LANE_F64 + unsigned(lane)),
  /** The two lowest float32 lanes as float64. */
  promoteLow: u(0x5f),
  add: v(0xf0),
  mul: v(0xf2),
};
