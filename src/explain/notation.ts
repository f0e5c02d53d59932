/**
 * Tensors as formulas. Every row of a matrix [N, D] is one column vector of the formula: x·Wᵀ in the graph is W·x here, and the
 * product of two such matrices over their rows is a sum of outer products, Σₜ a·bᵀ.
 */
import { columnsOf } from "../graph/shape.js";
import type { Tensor } from "../graph/tensor.js";
import type { Sizes } from "./sizes.js";

/** How loosely a formula holds together; a looser one in a tighter place gets brackets. */
const [tight, product, hadamard, quotient, signed, sum, choice] = [0, 1, 2, 3, 4, 5, 6] as const;

export interface Formula {
  /** Without the sign. */
  readonly text: string;
  readonly looseness: number;
  /** Signs are carried outward, so that −a·(−b) reads a·b. */
  readonly negative: boolean;
}

export interface Reading {
  readonly sizes: Sizes;
  /** The formula of an input: its name, or what it is made of. */
  of(input: Tensor): Formula;
  /** The tensor behind an input that has no name of its own. */
  unnamed(input: Tensor): Tensor | undefined;
}

const made = (looseness: number, text: string, negative = false): Formula => ({ text, looseness, negative });
export const word = (text: string): Formula => made(tight, text);
/** A formula as it is printed. */
export const spoken = ({ text, looseness, negative }: Formula): string =>
  negative ? `−${looseness > quotient ? `(${text})` : text}` : text;
const bracketed = ({ text, looseness }: Formula, limit: number): string => (looseness > limit ? `(${text})` : text);
const opposite = (formula: Formula): Formula => ({ ...formula, negative: !formula.negative });

function plus(a: Formula, b: Formula): Formula {
  if (a.negative && b.negative) return opposite(plus(opposite(a), opposite(b)));
  if (a.negative) return plus(b, a);
  if (b.negative) return made(sum, `${bracketed(a, sum)} − ${bracketed(b, quotient)}`);
  if (a.text === b.text) return made(hadamard, `2·${bracketed(a, product)}`);
  return made(sum, `${bracketed(a, sum)} + ${bracketed(b, sum)}`);
}

/** The formula of a tensor by its op. */
export function formula(tensor: Tensor, reading: Reading): Formula {
  const { op, inputs, attributes } = tensor;
  const { sizes, of, unnamed } = reading;
  const [a, b, c] = inputs as [Tensor, Tensor, Tensor];
  const plain = (input: Tensor): string => spoken(of(input));
  const call = (name: string): Formula => word(`${name}(${inputs.map(plain).join(", ")})`);
  const numberIn = (input: Tensor): number | undefined => unnamed(input)?.attributes.value;
  const range = (): string => `${sizes.size(attributes.start!)}:${sizes.size(attributes.start! + attributes.size!)}`;
  /** Of a function that −1 goes through. */
  const linear = (input: Tensor, looseness: number, write: (value: Formula) => string): Formula => {
    const value = of(input);
    return made(looseness, write({ ...value, negative: false }), value.negative);
  };
  switch (op) {
    case "constant": {
      const { value = 0 } = attributes;
      return made(tight, sizes.number(Math.abs(value)), value < 0);
    }
    case "random":
      return word("uniform()");

    // ── arithmetic
    case "add":
      return plus(of(a), of(b));
    case "sub":
      return plus(of(a), opposite(of(b)));
    case "neg":
      return opposite(of(a));
    case "mul": {
      const [left, right] = [of(a), of(b)];
      const negative = left.negative !== right.negative;
      if (left.text === right.text) return made(tight, `${bracketed(left, tight)}²`, negative);
      for (const [factor, other] of [
        [a, right],
        [b, left],
      ] as const) {
        const number = numberIn(factor);
        if (number === 1 || number === -1) return { ...other, negative };
        if (number !== undefined)
          return made(hadamard, `${sizes.number(Math.abs(number))}·${bracketed(other, product)}`, negative);
      }
      return made(hadamard, `${bracketed(left, hadamard)}∘${bracketed(right, hadamard)}`, negative);
    }
    case "div": {
      const total = unnamed(a);
      if (total?.op === "sumColumns" && numberIn(b) === columnsOf(total.inputs[0]!.shape))
        return linear(total.inputs[0]!, tight, ({ text }) => `mean(${text})`);
      const [left, right] = [of(a), of(b)];
      return made(
        quotient,
        `${bracketed(left, hadamard)} / ${bracketed(right, product)}`,
        left.negative !== right.negative,
      );
    }

    // ── functions
    case "sigmoid":
      return call("σ");
    case "sqrt":
      return word(`√${of(a).looseness === tight && !of(a).negative ? plain(a) : `(${plain(a)})`}`);
    case "abs":
      return word(`|${of(a).text}|`);
    case "logSoftmax":
      return call("log softmax");
    case "maxColumns":
      return call("max");

    // ── choices
    case "less":
    case "lessEqual":
    case "equal":
      return word(`[${comparison(tensor, reading, true)}]`);
    case "select": {
      const condition = (holds: boolean): string => {
        const compared = unnamed(a);
        return compared ? comparison(compared, reading, holds) : `${plain(a)} ${holds ? "≠" : "="} 0`;
      };
      if (numberIn(c) === 0) return linear(b, hadamard, (yes) => `${bracketed(yes, hadamard)}∘[${condition(true)}]`);
      if (numberIn(b) === 0) return linear(c, hadamard, (no) => `${bracketed(no, hadamard)}∘[${condition(false)}]`);
      return made(choice, `${condition(true)} ? ${plain(b)} : ${plain(c)}`);
    }

    // ── products and sums
    case "matmul":
      return matrixProduct(tensor, reading);
    case "sumRows":
      return linear(a, signed, (value) => `${sizes.overTime(a) ? "Σₜ" : "Σₙ"} ${bracketed(value, hadamard)}`);
    case "sumColumns":
      return linear(a, signed, (value) => `Σⱼ ${bracketed(value, hadamard)}`);
    case "sumAll":
      return linear(a, signed, (value) => `Σ ${bracketed(value, hadamard)}`);

    // ── parts
    case "transpose":
      return linear(a, tight, (value) => `${bracketed(value, tight)}ᵀ`);
    case "slice": {
      const columns = a.shape.length > 1 && !sizes.perRow(a) ? ":, " : "";
      return linear(a, tight, (value) => `${bracketed(value, tight)}[${columns}${range()}]`);
    }
    case "sliceRows":
      return linear(a, tight, (value) => `${bracketed(value, tight)}[${range()}]`);
    case "padRows":
      return linear(a, tight, ({ text }) => `pad(${text})`);
    case "concat":
      return word(`[${inputs.map(plain).join(", ")}]`);
    case "gather":
      return linear(a, tight, (table) => `${bracketed(table, tight)}[${plain(b)}]`);
    case "expand":
    case "reshape":
    case "stopGradient":
      return of(a);
    default:
      return call(op);
  }
}

/** "p < q", or its opposite. */
function comparison(condition: Tensor, { of, unnamed }: Reading, holds: boolean): string {
  const signs: Readonly<Record<string, readonly [string, string]>> = {
    less: ["<", "≥"],
    lessEqual: ["≤", ">"],
    equal: ["=", "≠"],
  };
  const pair = signs[condition.op];
  if (!pair) return `${spoken(of(condition))} ${holds ? "≠" : "="} 0`;
  const sign = pair[holds ? 0 : 1]!;
  const [a, b] = condition.inputs.map((input) => spoken(of(input)));
  // x > 0 reads better than 0 < x
  const turned: Readonly<Record<string, string>> = { "<": ">", "≥": "≤", "≤": "≥", ">": "<" };
  return unnamed(condition.inputs[0]!)?.op === "constant" ? `${b} ${turned[sign] ?? sign} ${a}` : `${a} ${sign} ${b}`;
}

function matrixProduct(
  { inputs, attributes: { transposeA, transposeB } }: Tensor,
  { sizes, unnamed, of }: Reading,
): Formula {
  const [a, b] = inputs as [Tensor, Tensor];
  const negative = of(a).negative !== of(b).negative;
  const straight = (input: Tensor): string => bracketed(of(input), product);
  const turned = (input: Tensor): string => {
    const behind = unnamed(input);
    return behind?.op === "transpose" ? bracketed(of(behind.inputs[0]!), product) : `${bracketed(of(input), tight)}ᵀ`;
  };
  const vectors = [sizes.perRow(a), sizes.perRow(b)];
  if (vectors[0] && vectors[1] && transposeA && !transposeB)
    return made(signed, `${sizes.overTime(a) ? "Σₜ" : "Σₙ"} ${straight(a)}·${turned(b)}`, negative);
  if (vectors[0] && !vectors[1] && !transposeA)
    return made(product, `${transposeB ? straight(b) : turned(b)}·${straight(a)}`, negative);
  if (!vectors[0] && !vectors[1])
    return made(product, `${transposeA ? turned(a) : straight(a)}·${transposeB ? turned(b) : straight(b)}`, negative);
  return word(`matmul(${spoken(of(a))}${transposeA ? "ᵀ" : ""}, ${spoken(of(b))}${transposeB ? "ᵀ" : ""})`);
}

/** Ops worth a line of their own where they run: products, sums, softmax, lookups. */
export const isCostly = ({ op }: Tensor): boolean =>
  [
    "matmul",
    "sumRows",
    "sumColumns",
    "sumAll",
    "maxColumns",
    "softmax",
    "logSoftmax",
    "crossEntropy",
    "crossEntropyGradient",
    "gather",
    "scatter",
  ].includes(op);

/** How much a reader has to take in: 0 for a name or a part of one, 1 for a function of it, 10 for anything costly. */
export function effort(tensor: Tensor, { unnamed }: Pick<Reading, "unnamed">): number {
  if (isCostly(tensor) || tensor.op === "concat") return 10;
  const inner = tensor.inputs
    .map(unnamed)
    .reduce((total, input) => total + (input ? effort(input, { unnamed }) : 0), 0);
  const free = [
    "slice",
    "sliceRows",
    "expand",
    "reshape",
    "transpose",
    "neg",
    "stopGradient",
    "less",
    "lessEqual",
    "equal",
  ].includes(tensor.op);
  return tensor.inputs.length === 0 || free ? inner : inner + 1;
}
