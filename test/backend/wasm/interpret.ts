/** Every kernel as the plainest float64 loop: what the wasm kernels are held against. */

import { randomKey, randomUniform } from "../../../src/graph/random.js";
import type { Kernel, Loop, Program, Statement, View } from "../../../src/program/program.js";

type Memory = Map<number, Float64Array>;

function accessor(memory: Memory, view: View, t: number) {
  const data = memory.get(view.buffer)!;
  const index = (r: number, c: number): number => view.offset + t * view.step + r * view.stride + c;
  return {
    get: (r: number, c: number): number => data[index(r, c)]!,
    set: (r: number, c: number, x: number): void => {
      data[index(r, c)] = x;
    },
  };
}

export const erf = (x: number): number => {
  if (Math.abs(x) > 5) return Math.sign(x);
  let [term, sum] = [x, x];
  for (let n = 1; n < 200; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
};

const operations: Record<string, (...x: number[]) => number> = {
  neg: (x) => -x!,
  abs: Math.abs as never,
  sign: Math.sign as never,
  exp: Math.exp as never,
  log: Math.log as never,
  sqrt: Math.sqrt as never,
  log1p: Math.log1p as never,
  expm1: Math.expm1 as never,
  sigmoid: (x) => 1 / (1 + Math.exp(-x!)),
  tanh: Math.tanh as never,
  erf: erf as never,
  softplus: (x) => Math.max(x!, 0) + Math.log1p(Math.exp(-Math.abs(x!))),
  floor: Math.floor as never,
  add: (a, b) => a! + b!,
  sub: (a, b) => a! - b!,
  mul: (a, b) => a! * b!,
  div: (a, b) => a! / b!,
  max: (a, b) => Math.max(a!, b!),
  min: (a, b) => Math.min(a!, b!),
  less: (a, b) => (a! < b! ? 1 : 0),
  lessEqual: (a, b) => (a! <= b! ? 1 : 0),
  equal: (a, b) => (a === b ? 1 : 0),
  select: (condition, a, b) => (condition !== 0 ? a! : b!),
};

function logSoftmaxRow(z: number[]): number[] {
  const largest = Math.max(...z);
  const total = z.reduce((sum, x) => sum + Math.exp(x - largest), 0);
  return z.map((x) => x - largest - Math.log(total));
}

function carryOut(memory: Memory, kernel: Kernel, t: number): void {
  const on = (view: View) => accessor(memory, view, t);
  const rowOf = (view: View, r: number): number[] => Array.from({ length: view.columns }, (_, c) => on(view).get(r, c));
  switch (kernel.kind) {
    case "chain": {
      const loads = kernel.loads.map(on);
      const results: { to: View; r: number; c: number; x: number }[] = [];
      for (let r = 0; r < kernel.rows; r++) {
        for (let c = 0; c < kernel.columns; c++) {
          const values = kernel.loads.map((view, i) => loads[i]!.get(r % view.rows, view.columns === 1 ? 0 : c));
          for (const instruction of kernel.code) {
            if (instruction.op === "constant") values.push(instruction.value);
            else if (instruction.op === "random") {
              const key = randomKey(values[instruction.seed]!, instruction.key);
              values.push(randomUniform(key, (t * kernel.rows + r) * kernel.columns + c));
            } else values.push(operations[instruction.op]!(...instruction.args.map((argument) => values[argument]!)));
          }
          for (const store of kernel.stores) {
            const x = values[store.value]!;
            results.push({ to: store.to, r, c, x: store.flush && Math.abs(x) < 2 ** -126 ? 0 : x });
          }
        }
      }
      for (const { to, r, c, x } of results) on(to).set(r, c, x);
      return;
    }
    case "product": {
      const k = kernel.transposeA ? kernel.a.rows : kernel.a.columns;
      const [a, b, out] = [on(kernel.a), on(kernel.b), on(kernel.out)];
      for (let i = 0; i < kernel.out.rows; i++) {
        for (let j = 0; j < kernel.out.columns; j++) {
          let sum = kernel.accumulate ? out.get(i, j) : 0;
          for (let p = 0; p < k; p++)
            sum += (kernel.transposeA ? a.get(p, i) : a.get(i, p)) * (kernel.transposeB ? b.get(j, p) : b.get(p, j));
          out.set(i, j, sum);
        }
      }
      return;
    }
    case "reduce": {
      const { input, out, axis, op, square } = kernel;
      const start = op === "sum" ? 0 : Number.NEGATIVE_INFINITY;
      const totals = new Map<string, number>();
      const from = on(input);
      for (let r = 0; r < input.rows; r++) {
        for (let c = 0; c < input.columns; c++) {
          const to = axis === "rows" ? `${r % out.rows},${c}` : axis === "columns" ? `${r},0` : "0,0";
          const x = from.get(r, c);
          const y = square ? x * x : x;
          const before = totals.get(to) ?? start;
          totals.set(to, op === "sum" ? before + y : Math.max(before, y));
        }
      }
      for (const [to, x] of totals) {
        const [r, c] = to.split(",").map(Number) as [number, number];
        on(out).set(r, c, kernel.accumulate ? on(out).get(r, c) + x : x);
      }
      return;
    }
    case "softmax":
      for (let r = 0; r < kernel.input.rows; r++) {
        const row = logSoftmaxRow(rowOf(kernel.input, r));
        for (const [c, x] of row.entries()) on(kernel.out).set(r, c, kernel.log ? x : Math.exp(x));
      }
      return;
    case "crossEntropy": {
      const { logits, target, weights, smoothing, scale, out } = kernel;
      const V = logits.columns;
      for (let r = 0; r < logits.rows; r++) {
        const y = on(target).get(r, 0);
        const inside = y >= 0 && y < V;
        const w = weights ? rowOf(weights, 0) : new Array<number>(V).fill(1);
        const q = w.map((wj, j) => (inside ? (j === y ? wj * (1 - smoothing) : 0) + (wj * smoothing) / V : 0));
        const lp = logSoftmaxRow(rowOf(logits, r));
        if (!scale)
          on(out).set(
            r,
            0,
            q.reduce((sum, qj, j) => sum - qj * lp[j]!, 0),
          );
        else {
          const s = on(scale).get(scale.rows === 1 ? 0 : r, 0);
          const total = q.reduce((sum, qj) => sum + qj, 0);
          for (const [j, qj] of q.entries()) on(out).set(r, j, s * (Math.exp(lp[j]!) * total - qj));
        }
      }
      return;
    }
    case "gather":
      for (let r = 0; r < kernel.out.rows; r++) {
        const row = on(kernel.index).get(r, 0);
        for (let c = 0; c < kernel.out.columns; c++) {
          on(kernel.out).set(r, c, row >= 0 && row < kernel.table.rows ? on(kernel.table).get(row, c) : 0);
        }
      }
      return;
    case "scatter":
      for (let r = 0; r < kernel.out.rows; r++)
        for (let c = 0; c < kernel.out.columns; c++) on(kernel.out).set(r, c, 0);
      for (let r = 0; r < kernel.input.rows; r++) {
        const row = on(kernel.index).get(r, 0);
        if (row < 0 || row >= kernel.out.rows) continue;
        for (let c = 0; c < kernel.input.columns; c++) {
          on(kernel.out).set(row, c, on(kernel.out).get(row, c) + on(kernel.input).get(r, c));
        }
      }
      return;
    case "transpose":
      for (let r = 0; r < kernel.input.rows; r++) {
        for (let c = 0; c < kernel.input.columns; c++) on(kernel.out).set(c, r, on(kernel.input).get(r, c));
      }
      return;
    case "fill":
      for (let r = 0; r < kernel.out.rows; r++)
        for (let c = 0; c < kernel.out.columns; c++) on(kernel.out).set(r, c, kernel.value);
      return;
  }
}

function loopOver(memory: Memory, loop: Loop): void {
  for (let i = 0; i < loop.steps; i++) {
    const t = loop.reverse ? loop.steps - 1 - i : i;
    for (const kernel of loop.body) carryOut(memory, kernel, t);
  }
}

function statement(memory: Memory, item: Statement): void {
  if (item.kind === "loop") loopOver(memory, item);
  else carryOut(memory, item, 0);
}

/** Runs a program over float64 copies of its buffers. */
export function interpret(program: Program, memory: Memory): "done" | "refused" {
  for (const item of program.compute) statement(memory, item);
  if (program.guards.some((guard) => !Number.isFinite(accessor(memory, guard, 0).get(0, 0)))) return "refused";
  for (const item of program.commit) statement(memory, item);
  return "done";
}
