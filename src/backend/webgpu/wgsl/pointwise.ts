/** The scalar functions of the language in WGSL, and the straight-line code of a fused chain. */
import {
  type BinaryName,
  binaryNames,
  type TernaryName,
  type UnaryName,
  unaryNames,
} from "../../../graph/pointwise.js";
import { mix } from "../../../graph/random.js";
import type { Instruction } from "../../../program/program.js";
import { literal } from "./literal.js";

const unary: Record<UnaryName, (x: string) => string> = {
  neg: (x) => `-${x}`,
  abs: (x) => `abs(${x})`,
  sign: (x) => `signOf(${x})`,
  exp: (x) => `exponential(${x})`,
  log: (x) => `logarithm(${x})`,
  sqrt: (x) => `sqrt(${x})`,
  log1p: (x) => `log1p(${x})`,
  expm1: (x) => `expm1(${x})`,
  sigmoid: (x) => `logistic(${x})`,
  tanh: (x) => `hyperbolicTangent(${x})`,
  erf: (x) => `errorFunction(${x})`,
  softplus: (x) => `softplus(${x})`,
  floor: (x) => `floor(${x})`,
};

type Comparison = Extract<BinaryName, "less" | "lessEqual" | "equal">;
const arithmetic: Record<Exclude<BinaryName, Comparison>, (a: string, b: string) => string> = {
  add: (a, b) => `${a} + ${b}`,
  sub: (a, b) => `${a} - ${b}`,
  mul: (a, b) => `${a} * ${b}`,
  div: (a, b) => `${a} / ${b}`,
  max: (a, b) => `maximum(${a}, ${b})`,
  min: (a, b) => `minimum(${a}, ${b})`,
};
const comparison: Record<Comparison, string> = { less: "<", lessEqual: "<=", equal: "==" };
const ternary: Record<TernaryName, (condition: string, a: string, b: string) => string> = {
  select: (condition, a, b) => `select(${b}, ${a}, ${condition})`,
};

const isUnary = (op: string): op is UnaryName => (unaryNames as readonly string[]).includes(op);
const isBinary = (op: string): op is BinaryName => (binaryNames as readonly string[]).includes(op);
const isComparison = (op: BinaryName): op is Comparison => op in comparison;

export interface RandomSource {
  /** The number of an element, for the generator. */
  readonly counter: string;
  /** The whole number that a load holds. */
  seed(load: number): string;
  /** The node's own number, mixed. */
  key(mixed: number): string;
}

export interface Evaluated {
  /** Declarations, one a line. */
  readonly lines: readonly string[];
  /** The name of each value. */
  readonly values: readonly string[];
}

/** The values of a chain: the loads, then one for each instruction, named with `prefix`. */
export function evaluate(
  loads: readonly string[],
  code: readonly Instruction[],
  random: RandomSource,
  prefix = "x",
): Evaluated {
  const lines: string[] = [];
  const values = [...loads];
  /** Values that are known as conditions. */
  const conditions = new Map<number, string>();
  for (const instruction of code) {
    const name = `${prefix}${values.length}`;
    const define = (text: string): void => void lines.push(`let ${name} = ${text};`);
    if (instruction.op === "constant") define(literal(instruction.value));
    else if (instruction.op === "random") {
      const key = `mix32(${random.seed(instruction.seed)} ^ ${random.key(mix(instruction.key))})`;
      define(`uniformOf(${key}, ${random.counter})`);
    } else {
      const { op, args } = instruction;
      const [a, b, c] = args.map((argument) => values[argument]!) as [string, string, string];
      if (isUnary(op)) define(unary[op](a));
      else if (!isBinary(op)) define(ternary[op](conditions.get(args[0]!) ?? `!isZero(${a})`, b, c));
      else if (!isComparison(op)) define(arithmetic[op](a, b));
      else {
        const condition = `${name}c`;
        conditions.set(values.length, condition);
        lines.push(`let ${condition} = ${a} ${comparison[op]} ${b};`);
        define(`select(0.0, 1.0, ${condition})`);
      }
    }
    values.push(name);
  }
  return { lines, values };
}
