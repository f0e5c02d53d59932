/** The scalar functions of the language over four lanes. A value is made when it is first asked for, and once. */
import { type BinaryName, binaryNames, type UnaryName, unaryNames } from "../../../graph/pointwise.js";
import type { Instruction, Shard } from "../../../program/program.js";
import type { FunctionBuilder } from "../assembler/assembler.js";
import { f32x4, type V128, v128 } from "../assembler/instructions.js";
import type { RandomInstruction, Rare, Vector } from "./emission.js";
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

type CommonName = Exclude<UnaryName, keyof Rare>;
const unary: Record<CommonName, (f: FunctionBuilder, x: Vector) => V128> = {
  neg: (_, x) => f32x4.neg(x),
  abs: (_, x) => f32x4.abs(x),
  // ±1 where x is neither 0 nor NaN, x itself elsewhere.
  sign: (f, x) => {
    const one = v128.or(v128.and(x, f.bits(0x80000000)), f.constant(1));
    return v128.bitselect(one, x, f32x4.gt(f32x4.abs(x), f.constant(0)));
  },
  sqrt: (_, x) => f32x4.sqrt(x),
  sigmoid: math.sigmoid,
  tanh: math.tanh,
  floor: (_, x) => f32x4.floor(x),
};

const isCommon = (op: UnaryName): op is CommonName => op in unary;

/** Whether an instruction wants what is loaded on demand. */
export const isRare = ({ op }: Instruction): boolean => op === "random" || (isUnary(op) && !isCommon(op));

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

export const isRandom = (instruction: Instruction): instruction is RandomInstruction => instruction.op === "random";

/** Where random numbers are for a worker's rows: how many, of how many. */
export const batchOf = (code: readonly Instruction[]): Shard | undefined =>
  code.flatMap((instruction) => (isRandom(instruction) ? (instruction.batch ?? []) : []))[0];

const isUnary = (op: string): op is UnaryName => (unaryNames as readonly string[]).includes(op);
const isBinary = (op: string): op is BinaryName => (binaryNames as readonly string[]).includes(op);

/** What stands behind the values of a chain: how often each is wanted, and what its instructions need. */
export interface Means {
  readonly uses: readonly number[];
  readonly random: ((instruction: RandomInstruction) => V128) | undefined;
  readonly rare: Rare | undefined;
  /** A value that need not be made. */
  readonly given: (value: number) => Lanes | false;
}

/** The values of a chain: the loads, then one for each instruction. */
export function evaluate(
  f: FunctionBuilder,
  loads: readonly Lanes[],
  code: readonly Instruction[],
  means: Means,
): Lanes[] {
  const values = [...loads];
  for (const instruction of code) values.push(means.given(values.length) || lanesOf(f, instruction, values, means));
  return values;
}

function lanesOf(
  f: FunctionBuilder,
  instruction: Instruction,
  values: readonly Lanes[],
  { uses, random, rare }: Means,
): Lanes {
  if (instruction.op === "constant") {
    const { value } = instruction;
    return floatLanes(f, () => f.constant(value), { constant: Math.fround(value), float: () => f.constant(value) });
  }
  if (instruction.op === "random") return floatLanes(f, () => random!(instruction));
  const { op } = instruction;
  const [a, b, c] = instruction.args.map((argument) => values[argument]!);
  if (isUnary(op)) return floatLanes(f, () => (isCommon(op) ? unary[op] : rare![op])(f, a!.float()));
  if (isBinary(op)) return binary(f, op, a!, b!, uses[values.length] === 1);
  return floatLanes(f, () => v128.bitselect(b!.float(), c!.float(), a!.nonZero()));
}
