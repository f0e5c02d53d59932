/** How tensors are written for people: x·Wᵀ + b, f∘c, σ(z[0:4]). */
import type { Tensor } from "../graph/tensor.js";

/** How tightly an expression binds: a sum, a product, an atom. */
const SUM = 1;
const PRODUCT = 2;
const ATOM = 3;

export interface Expression {
  readonly text: string;
  readonly binding: number;
}

const atom = (text: string): Expression => ({ text, binding: ATOM });
const within = ({ text, binding }: Expression, least: number): string => (binding >= least ? text : `(${text})`);

const functions: Readonly<Partial<Record<Tensor["op"], string>>> = {
  sigmoid: "σ",
  tanh: "tanh",
  exp: "exp",
  log: "log",
  sqrt: "√",
  abs: "abs",
  sign: "sign",
  erf: "erf",
  softplus: "softplus",
  log1p: "log1p",
  expm1: "expm1",
  floor: "floor",
  max: "max",
  min: "min",
  softmax: "softmax",
  logSoftmax: "logsoftmax",
  gather: "rows",
  scatter: "scatter",
  maxColumns: "largest",
  random: "random",
  crossEntropy: "crossentropy",
  crossEntropyGradient: "dcrossentropy",
};

/** Writes one op on its operands. `overTime`: rows are all steps of all sequences, so that sums over rows are sums over time. */
export function write(tensor: Tensor, operand: (input: Tensor) => Expression, overTime: boolean): Expression {
  const [a, b, c] = tensor.inputs;
  const { attributes } = tensor;
  const sigma = overTime ? "Σ_t " : "Σ_n ";
  switch (tensor.op) {
    case "constant":
      return atom(String(attributes.value));
    case "add":
      if (b!.op === "neg" && operand(b!).text.startsWith("−"))
        return { text: `${within(operand(a!), SUM)} − ${within(operand(b!.inputs[0]!), PRODUCT)}`, binding: SUM };
      return { text: `${within(operand(a!), SUM)} + ${within(operand(b!), SUM)}`, binding: SUM };
    case "sub":
      return { text: `${within(operand(a!), SUM)} − ${within(operand(b!), PRODUCT)}`, binding: SUM };
    case "neg":
      return { text: `−${within(operand(a!), PRODUCT)}`, binding: SUM };
    case "mul": {
      const square = a === b;
      if (square) return atom(`${within(operand(a!), ATOM)}²`);
      return { text: `${within(operand(a!), PRODUCT)}∘${within(operand(b!), PRODUCT)}`, binding: PRODUCT };
    }
    case "div":
      return { text: `${within(operand(a!), PRODUCT)} / ${within(operand(b!), ATOM)}`, binding: PRODUCT };
    case "matmul": {
      const left = within(operand(a!), ATOM) + (attributes.transposeA ? "ᵀ" : "");
      const right = within(operand(b!), ATOM) + (attributes.transposeB ? "ᵀ" : "");
      return { text: `${attributes.transposeA ? sigma : ""}${left}·${right}`, binding: PRODUCT };
    }
    case "transpose":
      return atom(`${within(operand(a!), ATOM)}ᵀ`);
    case "slice":
      return atom(`${within(operand(a!), ATOM)}[${attributes.start}:${attributes.start! + attributes.size!}]`);
    case "concat":
      return atom(`[${tensor.inputs.map((input) => operand(input).text).join(", ")}]`);
    case "sliceRows":
      return atom(`${within(operand(a!), ATOM)}[rows ${attributes.start}:${attributes.start! + attributes.size!}]`);
    case "padRows":
    case "expand":
    case "reshape":
    case "stopGradient":
      return operand(a!);
    case "sumRows":
      return { text: `${sigma}${within(operand(a!), PRODUCT)}`, binding: PRODUCT };
    case "sumColumns":
      return { text: `Σ_j ${within(operand(a!), PRODUCT)}`, binding: PRODUCT };
    case "sumAll":
      return { text: `Σ ${within(operand(a!), PRODUCT)}`, binding: PRODUCT };
    case "select":
      return atom(`(${operand(b!).text} where ${operand(a!).text} else ${operand(c!).text})`);
    case "less":
      return atom(`(${operand(a!).text} < ${operand(b!).text})`);
    case "lessEqual":
      return atom(`(${operand(a!).text} ≤ ${operand(b!).text})`);
    case "equal":
      return atom(`(${operand(a!).text} = ${operand(b!).text})`);
    default: {
      const inputs = tensor.op === "random" ? [] : tensor.inputs;
      return atom(`${functions[tensor.op] ?? tensor.op}(${inputs.map((input) => operand(input).text).join(", ")})`);
    }
  }
}

/** PyTorch's parameter names in the short form of equations: W_ih, b_hh, W_ih in a layer's own. */
export const shortName = (name: string): string => name.replace(/^weight_/, "W_").replace(/^bias_/, "b_");
