/** What follows from constants alone is computed once: the rest gives the same as the whole program did. */
import { describe, expect, it } from "vitest";
import { concat, current, gather, matmul, transpose, unroll } from "../../src/graph/language.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { type Variable, variable } from "../../src/graph/variable.js";
import { hoist } from "../../src/program/hoist.js";
import { lower } from "../../src/program/lower.js";
import type { Program } from "../../src/program/program.js";
import { arena, checkForm } from "./arena.js";

const [w, u, x] = [variable("w", [3, 2]), variable("u", [2, 2]), variable("x", [1, 2])];
const wide = variable("wide", [1, 4]);
const xs = variable("xs", [3, 1, 2]);
const id = variable("id", [1, 1], "index");
const [W, U, X] = [current(w), current(u), current(x)];
const values = new Map<Variable, number[]>([
  [w, [1, 2, 3, 4, 5, 6]],
  [u, [0.5, -1, 2, 0.25]],
  [x, [7, -3]],
  [wide, [1, -2, 3, 5]],
  [xs, [0.5, -0.25, 1, 2, -1, 0]],
  [id, [2]],
]);
const isWeight = (it: Variable): boolean => it === w || it === u;
const out = variable("out", [1, 1]);

const programOf = (tensor: Tensor, commit: { variable: Variable; tensor: Tensor }[] = []): Program => {
  const target = { ...out, shape: tensor.shape };
  return lower({ name: "test", results: [{ variable: target, tensor }], commit });
};
const kinds = (program: Program | undefined): string[] => program?.compute.map(({ kind }) => kind) ?? [];

/** What the program's first variable named `name` holds after the runs of the parts, memory going from one to the next. */
function resultOf(programs: readonly Program[], name: string, from: ReadonlyMap<Variable, ArrayLike<number>> = values) {
  let memory: ReadonlyMap<Variable, ArrayLike<number>> = from;
  for (const program of programs) {
    checkForm(program);
    const machine = arena(program, memory);
    expect(machine.run()).toBe("done");
    memory = new Map([...memory, ...machine.variables]);
  }
  return [...([...memory].find(([it]) => it.name === name)![1] as Float64Array)];
}

describe("hoist", () => {
  it("takes out what depends on the weights alone, through several kernels", () => {
    const whole = programOf(gather(transpose(matmul(W, U)), current(id)).add(1));
    const { prepare, run } = hoist(whole, isWeight);
    expect(kinds(prepare)).toEqual(["product", "transpose"]);
    expect(kinds(run)).toEqual(kinds(whole).filter((kind) => kind !== "product" && kind !== "transpose"));
    expect(resultOf([prepare!, run], "out")).toEqual(resultOf([whole], "out"));
  });

  it("prepared once, runs on other inputs", () => {
    const whole = programOf(matmul(X, transpose(W)));
    const { prepare, run } = hoist(whole, isWeight);
    const other = new Map([...values, [x, [-1, 10]] as const]);
    const prepared = arena(prepare!, values);
    prepared.run();
    expect(
      resultOf([run], "out", new Map<Variable, ArrayLike<number>>([...prepared.variables, [x, [-1, 10]]])),
    ).toEqual(resultOf([whole], "out", other));
  });

  it("feeds a loop", () => {
    const { state } = unroll({
      inputs: { x: current(xs) },
      state: { h: current(x) },
      step: ({ x: now }, { h }) => ({ state: { h: matmul(h, transpose(U)).add(now) } }),
    });
    const whole = programOf(state.h);
    const { prepare, run } = hoist(whole, isWeight);
    expect(kinds(prepare)).toEqual(["transpose"]);
    expect(resultOf([prepare!, run], "out")).toEqual(resultOf([whole], "out"));
  });

  it("leaves weights that the program itself changes, and parts of what also holds inputs", () => {
    const changes = hoist(programOf(transpose(W), [{ variable: w, tensor: W.add(1) }]), isWeight);
    expect(changes.prepare).toBeUndefined();
    const parts = programOf(matmul(concat([transpose(U), matmul(X, U).add(transpose(U))]), transpose(current(wide))));
    const { prepare, run } = hoist(parts, isWeight);
    expect(resultOf(prepare ? [prepare, run] : [run], "out")).toEqual(resultOf([parts], "out"));
    expect(hoist(programOf(X.mul(2)), isWeight).prepare).toBeUndefined();
  });
});
