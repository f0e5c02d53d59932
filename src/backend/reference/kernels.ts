/** The kernels of the reference backend: plain loops in float64, one element at a time. This is what every other backend must equal. */
import { randomKey, randomUniform } from "../../graph/random.js";
import type {
  Chain,
  CrossEntropy,
  Gather,
  Kernel,
  Product,
  Reduce,
  Scatter,
  Softmax,
  View,
} from "../../program/program.js";
import { scalars } from "./scalars.js";

/** A view at one moment: reading and writing element (r, c). */
interface Matrix {
  readonly rows: number;
  readonly columns: number;
  get(r: number, c: number): number;
  set(r: number, c: number, value: number): void;
}

/** Carries out kernels on one array per buffer. */
export function runKernel(kernel: Kernel, memory: readonly Float64Array[], t: number): void {
  const at = (view: View): Matrix => {
    const data = memory[view.buffer]!;
    const start = view.offset + t * view.step;
    return {
      rows: view.rows,
      columns: view.columns,
      get: (r, c) => data[start + r * view.stride + c]!,
      set: (r, c, value) => {
        data[start + r * view.stride + c] = value;
      },
    };
  };
  switch (kernel.kind) {
    case "chain":
      chain(kernel, at, t);
      break;
    case "product":
      product(kernel, at);
      break;
    case "reduce":
      reduce(kernel, at);
      break;
    case "softmax":
      softmax(kernel, at);
      break;
    case "crossEntropy":
      crossEntropy(kernel, at);
      break;
    case "gather":
      gather(kernel, at);
      break;
    case "scatter":
      scatter(kernel, at);
      break;
    case "transpose": {
      const [input, out] = [at(kernel.input), at(kernel.out)];
      each(input, (r, c) => out.set(c, r, input.get(r, c)));
      break;
    }
    case "fill": {
      const out = at(kernel.out);
      each(out, (r, c) => out.set(r, c, kernel.value));
      break;
    }
    case "allReduce":
    case "barrier":
      throw new Error(`${kernel.label}: the reference backend is one thread`);
  }
}

type At = (view: View) => Matrix;

function each(
  { rows, columns }: { readonly rows: number; readonly columns: number },
  visit: (r: number, c: number) => void,
): void {
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) visit(r, c);
}

function chain({ rows, columns, loads, code, stores }: Chain, at: At, t: number): void {
  const from = loads.map(at);
  const to = stores.map((store) => at(store.to));
  const values = new Float64Array(loads.length + code.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      from.forEach((load, i) => {
        values[i] = load.get(r % load.rows, load.columns === 1 ? 0 : c);
      });
      code.forEach((instruction, i) => {
        let value: number;
        if (instruction.op === "constant") value = instruction.value;
        else if (instruction.op === "random")
          value = randomUniform(randomKey(values[instruction.seed]!, instruction.key), (t * rows + r) * columns + c);
        else {
          const [a, b, d] = instruction.args;
          value = scalars[instruction.op](
            values[a!]!,
            b === undefined ? 0 : values[b]!,
            d === undefined ? 0 : values[d]!,
          );
        }
        values[loads.length + i] = value;
      });
      stores.forEach((store, i) => {
        to[i]!.set(r, c, values[store.value]!);
      });
    }
  }
}

function product({ transposeA, transposeB, accumulate, ...views }: Product, at: At): void {
  const [a, b, out] = [at(views.a), at(views.b), at(views.out)];
  const depth = transposeA ? a.rows : a.columns;
  each(out, (r, c) => {
    let sum = accumulate ? out.get(r, c) : 0;
    for (let k = 0; k < depth; k++)
      sum += (transposeA ? a.get(k, r) : a.get(r, k)) * (transposeB ? b.get(c, k) : b.get(k, c));
    out.set(r, c, sum);
  });
}

function reduce({ op, axis, square, accumulate, ...views }: Reduce, at: At): void {
  const [input, out] = [at(views.input), at(views.out)];
  if (!accumulate) each(out, (r, c) => out.set(r, c, op === "sum" ? 0 : -Infinity));
  each(input, (r, c) => {
    const [row, column] = axis === "rows" ? [r % out.rows, c] : axis === "columns" ? [r, 0] : [0, 0];
    const value = square ? input.get(r, c) ** 2 : input.get(r, c);
    out.set(row, column, op === "sum" ? out.get(row, column) + value : Math.max(out.get(row, column), value));
  });
}

/** log Σ eˣ of a row as `max + logSum`: put together, the second would be lost beside a large first. */
function logSumExp(x: Matrix, r: number): { readonly max: number; readonly logSum: number } {
  let max = -Infinity;
  for (let c = 0; c < x.columns; c++) max = Math.max(max, x.get(r, c));
  let sum = 0;
  for (let c = 0; c < x.columns; c++) sum += Math.exp(x.get(r, c) - max);
  return { max, logSum: Math.log(sum) };
}

function softmax({ log, ...views }: Softmax, at: At): void {
  const [input, out] = [at(views.input), at(views.out)];
  for (let r = 0; r < input.rows; r++) {
    const { max, logSum } = logSumExp(input, r);
    for (let c = 0; c < input.columns; c++) {
      const x = input.get(r, c) - max - logSum;
      out.set(r, c, log ? x : Math.exp(x));
    }
  }
}

function crossEntropy({ smoothing, ...views }: CrossEntropy, at: At): void {
  const [logits, target, out] = [at(views.logits), at(views.target), at(views.out)];
  const weights = views.weights && at(views.weights);
  const scale = views.scale && at(views.scale);
  const classes = logits.columns;
  for (let r = 0; r < logits.rows; r++) {
    const y = target.get(r, 0);
    const counts = y >= 0 && y < classes;
    const q = (c: number): number =>
      counts ? (weights ? weights.get(0, c) : 1) * ((c === y ? 1 - smoothing : 0) + smoothing / classes) : 0;
    const { max, logSum } = logSumExp(logits, r);
    let loss = 0;
    let mass = 0;
    for (let c = 0; c < classes; c++) {
      if (q(c) !== 0) loss -= q(c) * (logits.get(r, c) - max - logSum);
      mass += q(c);
    }
    if (!scale) out.set(r, 0, loss);
    else
      for (let c = 0; c < classes; c++)
        out.set(r, c, scale.get(r % scale.rows, 0) * (Math.exp(logits.get(r, c) - max - logSum) * mass - q(c)));
  }
}

function gather(views: Gather, at: At): void {
  const [table, index, out] = [at(views.table), at(views.index), at(views.out)];
  each(out, (r, c) => {
    const row = index.get(r, 0);
    out.set(r, c, row >= 0 && row < table.rows ? table.get(row, c) : 0);
  });
}

function scatter(views: Scatter, at: At): void {
  const [input, index, out] = [at(views.input), at(views.index), at(views.out)];
  each(out, (r, c) => out.set(r, c, 0));
  each(input, (r, c) => {
    const row = index.get(r, 0);
    if (row >= 0 && row < out.rows) out.set(row, c, out.get(row, c) + input.get(r, c));
  });
}
