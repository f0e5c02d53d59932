/** Values of a graph computed tensor by tensor, as its definitions read: no program, no fusion, no plan. */

import { scalars } from "../../src/backend/reference/scalars.js";
import { concatStart } from "../../src/graph/ops/matrix.js";
import { varyingTensors } from "../../src/graph/partition.js";
import { isPointwise } from "../../src/graph/pointwise.js";
import { randomKey, randomUniform } from "../../src/graph/random.js";
import { columnsOf, rowsOf, sizeOf } from "../../src/graph/shape.js";
import type { Tensor } from "../../src/graph/tensor.js";
import type { Variable } from "../../src/graph/variable.js";

type Values = Map<Tensor, Float64Array>;
export type Memory = ReadonlyMap<Variable, Float64Array>;

/** A function from tensor to value, with the variables as they are now. */
export function oracle(memory: Memory): (tensor: Tensor) => Float64Array {
  const known: Values = new Map();
  const loops = new Map<Tensor, { sequences: Float64Array[]; finals: Float64Array[] }>();
  const value = (tensor: Tensor): Float64Array => {
    const found = known.get(tensor) ?? compute(tensor, value, memory, 0, loopOf);
    known.set(tensor, found);
    return found;
  };
  const loopOf = (node: Tensor): { sequences: Float64Array[]; finals: Float64Array[] } => {
    const found = loops.get(node) ?? runLoop(node, value, memory);
    loops.set(node, found);
    return found;
  };
  return value;
}

const refuseLoop = (): never => {
  throw new Error("a loop inside a loop");
};

type LoopOf = (node: Tensor) => { readonly sequences: Float64Array[]; readonly finals: Float64Array[] };

function runLoop(
  node: Tensor,
  outer: (tensor: Tensor) => Float64Array,
  memory: Memory,
): { sequences: Float64Array[]; finals: Float64Array[] } {
  const loop = node.attributes.loop!;
  const { steps, reverse, stepInputs, states, next, sequences } = loop;
  const varying = new Set(varyingTensors(new Set([...stepInputs, ...states]), [...next, ...sequences]));
  const kept = sequences.map((tensor) => new Float64Array(steps * sizeOf(tensor.shape)));
  let now = states.map((_, i) => outer(node.inputs[stepInputs.length + i]!));
  for (let i = 0; i < steps; i++) {
    const t = reverse ? steps - 1 - i : i;
    const here: Values = new Map();
    stepInputs.forEach((placeholder, k) => {
      const size = sizeOf(placeholder.shape);
      here.set(placeholder, outer(node.inputs[k]!).slice(t * size, (t + 1) * size));
    });
    states.forEach((state, k) => {
      here.set(state, now[k]!);
    });
    const value = (tensor: Tensor): Float64Array => {
      if (!varying.has(tensor) && !here.has(tensor)) return outer(tensor);
      const found = here.get(tensor) ?? compute(tensor, value, memory, t, refuseLoop);
      here.set(tensor, found);
      return found;
    };
    sequences.forEach((tensor, k) => {
      kept[k]!.set(value(tensor), t * sizeOf(tensor.shape));
    });
    now = next.map(value);
  }
  return { sequences: kept, finals: now };
}

function compute(
  tensor: Tensor,
  value: (tensor: Tensor) => Float64Array,
  memory: Memory,
  t: number,
  loopOf: LoopOf,
): Float64Array {
  const { op, inputs, shape, attributes } = tensor;
  const [rows, columns] = [rowsOf(shape), columnsOf(shape)];
  const { start = 0 } = attributes;
  /** Element (r, c) of the i-th input, repeated where it is smaller. */
  const at = (i: number): ((r: number, c: number) => number) => {
    const data = value(inputs[i]!);
    const [inputRows, inputColumns] = [rowsOf(inputs[i]!.shape), columnsOf(inputs[i]!.shape)];
    return (r, c) => data[(r % inputRows) * inputColumns + (inputColumns === 1 ? 0 : c)]!;
  };
  const fill = (element: (r: number, c: number) => number): Float64Array =>
    Float64Array.from({ length: rows * columns }, (_, i) => element(Math.floor(i / columns), i % columns));
  const inputRows = inputs[0] ? rowsOf(inputs[0].shape) : 0;
  const inputColumns = inputs[0] ? columnsOf(inputs[0].shape) : 0;
  if (isPointwise(op)) {
    const operands = inputs.map((_, i) => at(i));
    return fill((r, c) => {
      const [a = 0, b = 0, d = 0] = operands.map((operand) => operand(r, c));
      return scalars[op](a, b, d);
    });
  }
  const sum = (count: number, term: (i: number) => number): number =>
    Array.from({ length: count }, (_, i) => term(i)).reduce((total, each) => total + each, 0);
  switch (op) {
    case "variable":
      return Float64Array.from(memory.get(attributes.variable!)!);
    case "constant":
      return fill(() => attributes.value!);
    case "random": {
      const key = randomKey(value(inputs[0]!)[0]!, attributes.key!);
      return fill((r, c) => randomUniform(key, (t * rows + r) * columns + c));
    }
    case "expand":
      return fill(at(0));
    case "matmul": {
      const [a, b] = [at(0), at(1)];
      const { transposeA, transposeB } = attributes;
      return fill((r, c) =>
        sum(
          transposeA ? inputRows : inputColumns,
          (k) => (transposeA ? a(k, r) : a(r, k)) * (transposeB ? b(c, k) : b(k, c)),
        ),
      );
    }
    case "transpose":
      return fill((r, c) => at(0)(c, r));
    case "slice":
      return fill((r, c) => value(inputs[0]!)[r * inputColumns + start + c]!);
    case "concat":
      return fill((r, c) => {
        const part = inputs.findLastIndex((_, i) => concatStart(inputs, i) <= c);
        return value(inputs[part]!)[r * columnsOf(inputs[part]!.shape) + c - concatStart(inputs, part)]!;
      });
    case "sliceRows": {
      const perStep = sizeOf(inputs[0]!.shape) / inputs[0]!.shape[0]!;
      return value(inputs[0]!).slice(start * perStep, start * perStep + sizeOf(shape));
    }
    case "padRows": {
      const out = new Float64Array(sizeOf(shape));
      out.set(value(inputs[0]!), (start * sizeOf(shape)) / shape[0]!);
      return out;
    }
    case "reshape":
    case "stopGradient":
      return value(inputs[0]!);
    case "sumRows":
      return fill((r, c) => sum(inputRows / rows, (k) => value(inputs[0]!)[(k * rows + r) * columns + c]!));
    case "sumColumns":
      return fill((r) => sum(inputColumns, (k) => value(inputs[0]!)[r * inputColumns + k]!));
    case "maxColumns":
      return fill((r) => Math.max(...value(inputs[0]!).subarray(r * inputColumns, (r + 1) * inputColumns)));
    case "sumAll":
      return fill(() => value(inputs[0]!).reduce((total, each) => total + each, 0));
    case "softmax":
    case "logSoftmax":
      return fill((r, c) => {
        const row = value(inputs[0]!).subarray(r * columns, (r + 1) * columns);
        const result = row[c]! - logSumExp(row);
        return op === "softmax" ? Math.exp(result) : result;
      });
    case "crossEntropy":
    case "crossEntropyGradient": {
      const gradient = op === "crossEntropyGradient";
      const classes = inputColumns;
      const target = value(inputs[1]!);
      const weightsInput = inputs[gradient ? 3 : 2];
      const weights = weightsInput && value(weightsInput);
      const smoothing = attributes.smoothing ?? 0;
      return fill((r, column) => {
        const row = value(inputs[0]!).subarray(r * classes, (r + 1) * classes);
        const y = target[r]!;
        const q = (c: number): number =>
          y >= 0 && y < classes
            ? (weights ? weights[c]! : 1) * ((c === y ? 1 - smoothing : 0) + smoothing / classes)
            : 0;
        const total = logSumExp(row);
        if (!gradient) return sum(classes, (c) => (q(c) === 0 ? 0 : -q(c) * (row[c]! - total)));
        return at(2)(r, 0) * (Math.exp(row[column]! - total) * sum(classes, q) - q(column));
      });
    }
    case "gather": {
      const index = value(inputs[1]!);
      return fill((r, c) => {
        const row = index[r]!;
        return row >= 0 && row < inputRows ? value(inputs[0]!)[row * columns + c]! : 0;
      });
    }
    case "scatter": {
      const out = new Float64Array(sizeOf(shape));
      value(inputs[1]!).forEach((row, r) => {
        if (row >= 0 && row < rows)
          for (let c = 0; c < columns; c++) out[row * columns + c]! += value(inputs[0]!)[r * columns + c]!;
      });
      return out;
    }
    case "loopOutput": {
      const { kind, index } = attributes.output!;
      const results = loopOf(inputs[0]!);
      return kind === "final" ? results.finals[index]! : results.sequences[index]!;
    }
    default:
      throw new Error(`the oracle does not know ${op}`);
  }
}

function logSumExp(row: Float64Array): number {
  const largest = Math.max(...row);
  return largest + Math.log(row.reduce((total, each) => total + Math.exp(each - largest), 0));
}
