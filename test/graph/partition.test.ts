/** Before, inside, after: what leaves the time loop, read off the lowered program. */
import { describe, expect, it } from "vitest";
import type { Cell } from "../../src/cells/cell.js";
import { gru } from "../../src/cells/gru.js";
import { lstm } from "../../src/cells/lstm.js";
import { rnn } from "../../src/cells/rnn.js";
import {
  current,
  gather,
  layerNormalize,
  linear,
  softmax,
  sumAll,
  tanh,
  unroll,
  zeros,
} from "../../src/graph/language.js";
import { gradients } from "../../src/graph/sweep.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { variable } from "../../src/graph/variable.js";
import { lower } from "../../src/program/lower.js";
import type { Kernel, Loop, Program } from "../../src/program/program.js";

const [T, N, D, H] = [7, 3, 2, 5];

interface Placed {
  readonly forward: Loop;
  readonly backward: Loop;
  /** Kernels outside the loops. */
  readonly outside: readonly Kernel[];
}

function placed(loss: Tensor, wrt: readonly Tensor[]): Placed {
  const results = [loss, ...gradients(loss, wrt)].map((tensor, i) => ({
    variable: variable(`r${i}`, tensor.shape),
    tensor,
  }));
  const program: Program = lower({ name: "step", results });
  const loops = program.compute.filter((statement) => statement.kind === "loop");
  expect(loops.map(({ reverse }) => reverse)).toEqual([false, true]);
  return {
    forward: loops[0]!,
    backward: loops[1]!,
    outside: program.compute.filter((statement): statement is Kernel => statement.kind !== "loop"),
  };
}

const count = (kernels: readonly Kernel[], kind: Kernel["kind"]): number =>
  kernels.filter((kernel) => kernel.kind === kind).length;

/** Rows, depth and columns of each product. */
const products = (kernels: readonly Kernel[]): string[] =>
  kernels
    .filter((kernel) => kernel.kind === "product")
    .map(({ a, transposeA, out }) => `${out.rows}×${transposeA ? a.rows : a.columns}×${out.columns}`)
    .sort();

function trainStep(cell: Cell): Placed {
  const x = current(variable("x", [T, N, D]));
  const parameters = Object.fromEntries(
    Object.entries(cell.parameters(D)).map(([name, shape]) => [name, current(variable(name, shape))]),
  );
  const { outputs } = unroll<{ x: Tensor }, Record<string, Tensor>, { y: Tensor }>({
    inputs: { x },
    state: Object.fromEntries(Object.entries(cell.state).map(([key, size]) => [key, zeros([N, size])])),
    step(at, state) {
      const next = cell.step(at.x, state, parameters);
      return { state: next, outputs: { y: next[cell.output]! } };
    },
  });
  return placed(sumAll(outputs.y.mul(outputs.y)), [x, ...Object.values(parameters)]);
}

describe("one recurrent product a step, in each direction", () => {
  const cells: readonly [string, Cell, number, number][] = [
    ["rnn", rnn(H), H, 1],
    ["rnn (relu)", rnn(H, { nonlinearity: "relu" }), H, 1],
    ["lstm", lstm(H), 4 * H, 1],
    ["lstm with peepholes", lstm(H, { peepholes: true }), 4 * H, 1],
    ["gru", gru(H), 3 * H, 1],
  ];
  for (const [name, cell, gates, inLoop] of cells)
    it(name, () => {
      const { forward, backward, outside } = trainStep(cell);
      expect(count(forward.body, "product")).toBe(inLoop);
      expect(count(backward.body, "product")).toBe(inLoop);
      // x·W_ih before; dx, dW_ih and dW_hh after: each once over all T·N rows
      expect(products(outside)).toEqual(
        [`${T * N}×${D}×${gates}`, `${T * N}×${gates}×${D}`, `${gates}×${T * N}×${D}`, `${gates}×${T * N}×${H}`].sort(),
      );
      expect(count(forward.body, "reduce") + count(backward.body, "reduce")).toBe(0);
      expect(count(outside, "transpose")).toBe(0);
    });

  it("two where the cell has two: gru with reset before, lstm with projection", () => {
    for (const cell of [gru(H, { reset: "before" }), lstm(H, { projection: 4 })]) {
      const { forward, backward, outside } = trainStep(cell);
      expect([count(forward.body, "product"), count(backward.body, "product")]).toEqual([2, 2]);
      expect(count(outside, "product")).toBe(5);
    }
  });

  it("keeps the pointwise work in few chains", () => {
    for (const [cell, most] of [
      [rnn(H), 1],
      [lstm(H), 2],
    ] as const) {
      const { forward, backward } = trainStep(cell);
      expect(count(forward.body, "chain")).toBeLessThanOrEqual(most);
      expect(count(backward.body, "chain")).toBeLessThanOrEqual(most);
    }
  });
});

describe("what leaves the loop", () => {
  const shared = {
    x: current(variable("x", [T, N, D])),
    w: current(variable("w", [H, D])),
    u: current(variable("u", [H, H])),
    v: current(variable("v", [65, H])),
    gain: current(variable("gain", [H])),
  };
  const { x, w, u, v, gain } = shared;

  it("an output layer written inside the step runs after it, and its derivative before the backward loop", () => {
    const { outputs } = unroll({
      inputs: { x },
      state: { h: zeros([N, H]) },
      step: (at, { h }) => {
        const next = tanh(linear(at.x, w).add(linear(h, u)));
        return { state: { h: next }, outputs: { y: softmax(linear(next, v)) } };
      },
    });
    const { forward, backward, outside } = placed(sumAll(outputs.y.mul(outputs.y)), [x, w, u, v]);
    expect([count(forward.body, "product"), count(backward.body, "product")]).toEqual([1, 1]);
    expect(count(forward.body, "softmax") + count(backward.body, "softmax")).toBe(0);
    expect(products(outside)).toContain(`${T * N}×${H}×65`); // y
    expect(products(outside)).toContain(`${T * N}×65×${H}`); // dh
    expect(products(outside)).toContain(`65×${T * N}×${H}`); // dv
  });

  it("normalisation of the input's part runs before, of the state's part inside", () => {
    const build = (of: (at: Tensor, h: Tensor) => Tensor): Placed => {
      const { outputs } = unroll({
        inputs: { x },
        state: { h: zeros([N, H]) },
        step: (at, { h }) => {
          const next = tanh(of(at.x, h));
          return { state: { h: next }, outputs: { y: next } };
        },
      });
      return placed(sumAll(outputs.y), [x, w, u, gain]);
    };
    const before = build((at, h) => layerNormalize(linear(at, w), gain).add(linear(h, u)));
    expect(count(before.forward.body, "reduce")).toBe(0);
    expect(count(before.backward.body, "reduce")).toBe(0);
    const inside = build((at, h) => linear(at, w).add(layerNormalize(linear(h, u), gain)));
    expect(count(inside.forward.body, "reduce")).toBeGreaterThan(0);
  });

  it("a lookup of the input's index runs once, and so does the sum into its table", () => {
    const id = current(variable("id", [T, N, 1], "index"));
    const table = current(variable("table", [65, H]));
    const { outputs } = unroll({
      inputs: { id },
      state: { h: zeros([N, H]) },
      step: (at, { h }) => {
        const next = tanh(gather(table, at.id).add(linear(h, u)));
        return { state: { h: next }, outputs: { y: next } };
      },
    });
    const { forward, backward, outside } = placed(sumAll(outputs.y), [table, u]);
    expect(count(forward.body, "gather") + count(backward.body, "scatter")).toBe(0);
    expect([count(outside, "gather"), count(outside, "scatter")]).toEqual([1, 1]);
  });

  it("nothing that the state needs", () => {
    const { partition } = unroll({
      inputs: { x },
      state: { h: zeros([N, H]) },
      step: (at, { h }) => ({ state: { h: tanh(linear(at.x, w).add(linear(h, u))) } }),
    });
    const ops = (part: ReadonlySet<Tensor>): string[] => [...part].map(({ op }) => op).sort();
    expect(ops(partition.before)).toEqual(["matmul"]);
    expect(ops(partition.inside)).toEqual(["add", "matmul", "tanh"]);
    expect(ops(partition.after)).toEqual([]);
  });

  it("no cheap op by itself: it stays with its neighbours", () => {
    const { partition } = unroll({
      inputs: { x },
      state: { h: zeros([N, D]) },
      step: (at, { h }) => ({ state: { h: tanh(at.x).mul(2).add(h) }, outputs: { y: h.mul(at.x) } }),
    });
    expect([partition.before.size, partition.after.size]).toEqual([0, 0]);
  });
});
