/** Fusion and the memory plan: how many kernels, how much memory, who shares it. */
import { describe, expect, it } from "vitest";
import {
  concat,
  constant,
  current,
  linear,
  matmul,
  reshape,
  sigmoid,
  slice,
  softmax,
  sumAll,
  tanh,
  unroll,
  zeros,
} from "../../src/graph/language.js";
import type { Shape } from "../../src/graph/shape.js";
import { gradients } from "../../src/graph/sweep.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { variable } from "../../src/graph/variable.js";
import { lower } from "../../src/program/lower.js";
import { planMemory } from "../../src/program/passes/plan.js";
import type { Buffer, Kernel, Program, Statement, View } from "../../src/program/program.js";
import { checkForm } from "./arena.js";
import { programOf } from "./traced.js";

const input = (name: string, shape: Shape): Tensor => current(variable(name, shape));
const kinds = (program: Program): string[] => program.compute.map(({ kind }) => kind);

describe("fusion", () => {
  const [x, y] = [input("x", [4, 6]), input("y", [4, 6])];

  it("makes one chain of pointwise neighbours, repeated operands and constants included", () => {
    const program = programOf(
      tanh(
        x
          .mul(y)
          .add(input("b", [6]))
          .sub(input("column", [4, 1]))
          .mul(3),
      ).div(2),
    );
    expect(kinds(program)).toEqual(["chain"]);
    expect(program.plan.size).toBe(0);
  });

  it("stores in one chain all that is wanted of it", () => {
    const [a, b] = [tanh(x), sigmoid(y)];
    const program = programOf(a, b, a.mul(b));
    expect(kinds(program)).toEqual(["chain"]);
    expect(program.compute[0]).toMatchObject({ stores: [{}, {}, {}] });
  });

  it("computes the same only once", () => {
    const program = programOf(
      tanh(x).add(tanh(x)),
      sumAll(matmul(x, y, { transposeB: true }).add(matmul(x, y, { transposeB: true }))),
    );
    expect(kinds(program).filter((kind) => kind === "product")).toHaveLength(1);
    const chain = program.compute.find((statement) => statement.kind === "chain")!;
    expect(chain.kind === "chain" && chain.code.filter(({ op }) => op === "tanh")).toHaveLength(1);
  });

  it("does not reach across an op that needs the whole", () => {
    const program = programOf(softmax(tanh(x)).mul(2));
    expect(kinds(program)).toEqual(["chain", "softmax", "chain"]);
  });

  it("keeps to one period of repetition in a chain", () => {
    const rows = input("rows", [8, 3]);
    const by4 = reshape(rows, [2, 4, 3]).add(input("four", [4, 3]));
    const by2 = reshape(rows, [4, 2, 3]).add(input("two", [2, 3]));
    const program = programOf(reshape(by4, [8, 3]).mul(reshape(by2, [8, 3])), by4.add(1), by2.add(1));
    for (const statement of program.compute)
      if (statement.kind === "chain") {
        const periods = new Set(
          statement.loads.map((load) => load.rows).filter((n) => n !== 1 && n !== statement.rows),
        );
        expect(periods.size).toBeLessThanOrEqual(1);
      }
  });

  it("splits what would need too many operands", () => {
    const many = Array.from({ length: 60 }, (_, i) => input(`x${i}`, [4, 6]));
    const program = programOf(many.reduce((sum, next) => sum.add(next)));
    expect(program.compute.length).toBeGreaterThan(1);
    for (const statement of program.compute)
      expect(statement.kind === "chain" && statement.loads.length).toBeLessThan(32);
  });

  it("writes the parts of a concatenation where they belong, and copies only what lies elsewhere", () => {
    const program = programOf(concat([tanh(x), x, matmul(x, input("w", [6, 6]))]));
    expect(kinds(program).sort()).toEqual(["chain", "chain", "product"]);
    const copies = program.compute.filter((statement) => statement.kind === "chain" && statement.code.length === 0);
    expect(copies).toHaveLength(1);
  });

  it("stores of an update nothing but the variables it writes", () => {
    const [w, m] = [variable("w", [4, 6]), variable("m", [4, 6])];
    const gradient = matmul(x, input("square", [6, 6]));
    const next = current(m).mul(0.9).add(gradient.mul(0.1));
    const program = lower({
      name: "update",
      results: [{ variable: variable("norm", [1]), tensor: sumAll(gradient) }],
      commit: [
        { variable: m, tensor: next },
        { variable: w, tensor: current(w).sub(next.mul(0.01)) },
      ],
    });
    checkForm(program);
    const stores = program.commit.flatMap((statement) => (statement.kind === "chain" ? statement.stores : []));
    expect(program.commit).toHaveLength(1);
    expect(stores.map(({ to }) => program.buffers[to.buffer]!.name).sort()).toEqual(["m", "w"]);
  });

  it("squares inside the sum", () => {
    const program = programOf(sumAll(x.mul(x)));
    expect(program.compute).toMatchObject([{ kind: "reduce", square: true }]);
  });

  it("slices without copying", () => {
    const program = programOf(tanh(slice(x, 0, 3)).mul(sigmoid(slice(x, 3, 3))));
    expect(kinds(program)).toEqual(["chain"]);
  });
});

describe("the memory plan", () => {
  const x = input("x", [8, 16]);
  const w = input("w", [16, 16]);
  const tower = (layers: number): Tensor => {
    let h = x;
    for (let i = 0; i < layers; i++) h = tanh(matmul(h, w));
    return h;
  };

  it("of a deep network forward does not grow with its depth", () => {
    const sizes = [4, 8, 32].map((layers) => programOf(tower(layers)).plan.size);
    expect(sizes[0]).toBeLessThanOrEqual(3 * 8 * 16);
    expect(new Set(sizes).size).toBe(1);
  });

  it("of its training keeps each layer's output and slope and little more", () => {
    const layers = 16;
    const loss = sumAll(tower(layers));
    const program = programOf(loss, ...gradients(loss, [w]));
    expect(program.plan.size).toBeGreaterThanOrEqual((layers - 1) * 8 * 16);
    expect(program.plan.size).toBeLessThanOrEqual((2 * layers + 3) * 8 * 16 + 3 * 16 * 16);
  });

  it("shares nothing with `keep`, and places everything on 64-byte borders", () => {
    const result = { variable: variable("r", [8, 16]), tensor: tower(8) };
    const kept = lower({ name: "kept", results: [result], keep: true });
    const places = kept.buffers
      .filter(({ kind, id }) => kind === "temporary" && kept.plan.offsets.has(id))
      .map(({ id, size }) => [kept.plan.offsets.get(id)!, kept.plan.offsets.get(id)! + size] as const)
      .sort((a, b) => a[0] - b[0]);
    expect(places.length).toBeGreaterThan(8);
    places.forEach(([from], i) => {
      expect(from % 16).toBe(0);
      if (i > 0) expect(from).toBeGreaterThanOrEqual(places[i - 1]![1]);
    });
  });

  it("of a loop lets a state live through all steps and a step's own values share", () => {
    const sequence = input("sequence", [50, 8, 16]);
    const { state } = unroll({
      inputs: { x: sequence },
      state: { h: zeros([8, 16]) },
      step: (at, { h }) => ({ state: { h: tanh(linear(softmax(linear(h, w)).add(at.x), w)) } }),
    });
    const program = programOf(state.h);
    // no history: a few matrices of one step, not of fifty
    expect(program.plan.size).toBeLessThanOrEqual(6 * 8 * 16);
  });

  it("is right by hand", () => {
    const buffer = (id: number, size: number): Buffer => ({
      id,
      size,
      type: "float",
      name: `${id}`,
      kind: "temporary",
    });
    const view = (id: number, size: number, step = 0): View => ({
      buffer: id,
      offset: 0,
      rows: 1,
      columns: size,
      stride: size,
      step,
    });
    const copy = (from: View | undefined, to: View): Kernel => ({
      kind: "chain",
      label: "",
      rows: 1,
      columns: to.columns,
      loads: from ? [from] : [],
      code: from ? [] : [{ op: "constant", value: 1 }],
      stores: [{ value: 0, to, flush: false }],
    });
    const buffers = [buffer(0, 16), buffer(1, 16), buffer(2, 16), buffer(3, 5)];
    const chain: Statement[] = [
      copy(undefined, view(0, 16)),
      copy(view(0, 16), view(1, 16)),
      copy(view(1, 16), view(2, 16)),
      copy(view(2, 16), view(0, 16)),
    ];
    // 0 is alive throughout; 1 and 2 meet once
    expect(planMemory(buffers, chain).size).toBe(48);
    expect(planMemory(buffers, chain.slice(0, 3)).size).toBe(32);
    expect(planMemory(buffers, chain.slice(0, 3)).offsets.has(3)).toBe(false);
    expect(planMemory(buffers, chain.slice(0, 3), true).size).toBe(48);
    const loop: Statement = {
      kind: "loop",
      name: "loop",
      label: "",
      steps: 3,
      reverse: false,
      // 1 is read before it is written: it carries over to the next step and may not share with 2
      body: [
        copy(view(1, 16), view(0, 16)),
        copy(view(0, 16), view(1, 16)),
        copy(undefined, view(2, 16)),
        copy(view(2, 16), view(3, 5)),
      ],
    };
    const { offsets, size } = planMemory(buffers, [copy(undefined, view(1, 16)), loop]);
    expect(offsets.get(1)).not.toBe(offsets.get(2));
    expect(offsets.get(0)).not.toBe(offsets.get(1));
    expect(size).toBe(48);
  });

  it("of constants needs nothing", () => {
    expect(programOf(constant(3, [4, 4])).plan.size).toBe(0);
  });
});
