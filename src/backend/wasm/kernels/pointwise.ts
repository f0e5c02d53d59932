/** The scalar functions of the language over four lanes. A value is made when it is first asked for, and once. */
import { type BinaryName, binaryNames, type UnaryName, unaryNames } from "../../../graph/pointwise.js";
import { mix } from "../../../graph/random.js";
import type { Instruction } from "../../../program/program.js";
import type { FunctionBuilder } from "../assembler/assembler.js";
import { f32x4, type I32, i32, i32x4, type V128, v128 } from "../assembler/instructions.js";
import type { Vector } from "./emission.js";
import * as math from "./math.js";

/** One value of a chain, in the forms in which it may be wanted. */
export interface Lanes {
  float(): Vector;
  /** All bits set where the value is not 0 (NaN is not 0). */
  nonZero(): V128;
  /** Set for constants. */
  readonly constant?: number;
  /** Set for a product that nothing else uses: it may be fused into a sum. */
  readonly factors?: readonly [Lanes, Lanes];
}

/** What `random` needs: mix(counter) of the four elements, and its key as a vector. */
export interface RandomSource {
  mixedCounter(): Vector;
  key(instruction: Extract<Instruction, { op: "random" }>): Vector;
}

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}

export function floatLanes(f: FunctionBuilder, make: () => V128, more: Partial<Lanes> = {}): Lanes {
  const float = once(() => f.let(make()));
  return { float, nonZero: once(() => f.let(f32x4.ne(float(), f.constant(0)))), ...more };
}

/** A comparison: kept as a mask for as long as nothing wants it as 1 or 0. */
function maskLanes(f: FunctionBuilder, make: () => V128): Lanes {
  const mask = once(() => f.let(make()));
  return { nonZero: mask, float: once(() => f.let(v128.and(mask(), f.constant(1)))) };
}

const unary: Record<UnaryName, (f: FunctionBuilder, x: Vector) => V128> = {
  neg: (_, x) => f32x4.neg(x),
  abs: (_, x) => f32x4.abs(x),
  // ±1 where x is neither 0 nor NaN, x itself elsewhere.
  sign: (f, x) => {
    const one = v128.or(v128.and(x, f.bits(0x80000000)), f.constant(1));
    return v128.bitselect(one, x, f32x4.gt(f32x4.abs(x), f.constant(0)));
  },
  exp: math.exp,
  log: math.log,
  sqrt: (_, x) => f32x4.sqrt(x),
  log1p: math.log1p,
  expm1: math.expm1,
  sigmoid: math.sigmoid,
  tanh: math.tanh,
  erf: math.erf,
  softplus: math.softplus,
  floor: (_, x) => f32x4.floor(x),
};

/** Math.max and Math.min take several machine instructions; beside a constant one or two do. */
function extremum(f: FunctionBuilder, op: "max" | "min", a: Lanes, b: Lanes): V128 {
  const [x, c] = a.constant === undefined ? [a, b.constant] : [b, a.constant];
  const simple = c !== undefined && !Number.isNaN(c) && !Object.is(c, -0) && x.constant === undefined;
  if (!simple) return f32x4[op](a.float(), b.float());
  if (op === "min") return f32x4.pmin(x.float(), f.constant(c));
  const max = f32x4.pmax(x.float(), f.constant(c));
  return c === 0 ? f32x4.add(max, f.constant(0)) : max; // −0 + 0 = 0
}

function sum(f: FunctionBuilder, a: Lanes, b: Lanes): V128 {
  if (a.factors) return f.madd(a.factors[0].float(), a.factors[1].float(), b.float());
  if (b.factors) return f.madd(b.factors[0].float(), b.factors[1].float(), a.float());
  return f32x4.add(a.float(), b.float());
}

function difference(f: FunctionBuilder, a: Lanes, b: Lanes): V128 {
  if (b.factors) return f.nmadd(b.factors[0].float(), b.factors[1].float(), a.float());
  return f32x4.sub(a.float(), b.float());
}

function binary(f: FunctionBuilder, op: BinaryName, a: Lanes, b: Lanes, usedOnce: boolean): Lanes {
  switch (op) {
    case "add":
      return floatLanes(f, () => sum(f, a, b));
    case "sub":
      return floatLanes(f, () => difference(f, a, b));
    case "mul":
      return floatLanes(f, () => f32x4.mul(a.float(), b.float()), f.relaxed && usedOnce ? { factors: [a, b] } : {});
    case "div":
      return floatLanes(f, () => f32x4.div(a.float(), b.float()));
    case "max":
    case "min":
      return floatLanes(f, () => extremum(f, op, a, b));
    case "less":
      return maskLanes(f, () => f32x4.lt(a.float(), b.float()));
    case "lessEqual":
      return maskLanes(f, () => f32x4.le(a.float(), b.float()));
    case "equal":
      return maskLanes(f, () => f32x4.eq(a.float(), b.float()));
  }
}

const MULTIPLIERS = [0x7feb352d, 0x846ca68b] as const;

/** `mix` of graph/random.ts over four lanes. */
export function mixLanes(f: FunctionBuilder, x: V128): Vector {
  const [first, second] = MULTIPLIERS;
  const folded = (y: Vector, bits: number): V128 => v128.xor(y, i32x4.shrU(y, bits));
  const a = f.let(i32x4.mul(folded(f.let(x), 16), f.bits(first)));
  const b = f.let(i32x4.mul(folded(a, 15), f.bits(second)));
  return f.let(folded(b, 16));
}

/** randomKey(seed, key) = mix(seed ^ mix(key)) in every lane. */
export const keyLanes = (f: FunctionBuilder, seed: I32, key: number): Vector =>
  mixLanes(f, i32x4.splat(i32.xor(seed, i32.const(mix(key)))));

function uniform(f: FunctionBuilder, source: RandomSource, instruction: Extract<Instruction, { op: "random" }>): V128 {
  const bits = mixLanes(f, v128.xor(source.mixedCounter(), source.key(instruction)));
  return f32x4.mul(f32x4.convert(i32x4.shrU(bits, 8)), f.constant(2 ** -24));
}

const isUnary = (op: string): op is UnaryName => (unaryNames as readonly string[]).includes(op);
const isBinary = (op: string): op is BinaryName => (binaryNames as readonly string[]).includes(op);

/** The values of a chain: the loads, then one for each instruction. `uses` counts who wants each. */
export function evaluate(
  f: FunctionBuilder,
  loads: readonly Lanes[],
  code: readonly Instruction[],
  uses: readonly number[],
  random: RandomSource,
): Lanes[] {
  const values = [...loads];
  for (const instruction of code) {
    const usedOnce = uses[values.length] === 1;
    values.push(lanesOf(f, instruction, values, usedOnce, random));
  }
  return values;
}

function lanesOf(
  f: FunctionBuilder,
  instruction: Instruction,
  values: readonly Lanes[],
  usedOnce: boolean,
  random: RandomSource,
): Lanes {
  if (instruction.op === "constant") {
    const { value } = instruction;
    return floatLanes(f, () => f.constant(value), { constant: Math.fround(value), float: () => f.constant(value) });
  }
  if (instruction.op === "random") return floatLanes(f, () => uniform(f, random, instruction));
  const { op } = instruction;
  const [a, b, c] = instruction.args.map((argument) => values[argument]!);
  if (isUnary(op)) return floatLanes(f, () => unary[op](f, a!.float()));
  if (isBinary(op)) return binary(f, op, a!, b!, usedOnce);
  return floatLanes(f, () => v128.bitselect(b!.float(), c!.float(), a!.nonZero()));
}
