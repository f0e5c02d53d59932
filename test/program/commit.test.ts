/** Assignments take place at once, on old values; a guard that is not finite lets none of them happen. */
import { describe, expect, it } from "vitest";
import { reference } from "../../src/backend/reference/index.js";
import {
  concat,
  constant,
  current,
  exp,
  log,
  matmul,
  reshape,
  slice,
  sliceRows,
  sumAll,
  transpose,
  unroll,
} from "../../src/graph/language.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { type Variable, variable } from "../../src/graph/variable.js";
import { lower, type ProgramOptions } from "../../src/program/lower.js";
import { arena, checkForm } from "./arena.js";

const [a, b, c] = [variable("a", [2, 3]), variable("b", [2, 3]), variable("c", [2, 3])];
const start = new Map<Variable, number[]>([
  [a, [1, 2, 3, 4, 5, 6]],
  [b, [10, 20, 30, 40, 50, 60]],
  [c, [0, 0, 0, 0, 0, 1]],
]);
const [A, B, C] = [current(a), current(b), current(c)];

/** The variables after `runs` runs, the same in one arena and on the reference backend. */
async function variablesAfter(
  options: Omit<ProgramOptions, "name" | "results"> & { readonly results?: ProgramOptions["results"] },
  runs = 1,
  values: ReadonlyMap<Variable, number[]> = start,
): Promise<{ readonly ended: string[]; of(target: Variable): number[] }> {
  const program = lower({ name: "commit", results: [], ...options });
  checkForm(program);
  const machine = arena(program, values);
  const session = await reference().createSession();
  const executable = await session.compile(program);
  for (const [target, data] of values) session.write(target, data);
  const ended = Array.from({ length: runs }, () => {
    const how = machine.run();
    expect(executable.run()).toBe(how);
    return how;
  });
  return {
    ended,
    of(target) {
      const seen = [...(machine.variables.get(target) ?? [])];
      expect([...session.readNow!(target)]).toEqual(seen);
      return seen;
    },
  };
}

describe("assignments read the old values", () => {
  it("of two variables that change places", async () => {
    const swap = {
      commit: [
        { variable: a, tensor: B },
        { variable: b, tensor: A },
      ],
    };
    const once = await variablesAfter(swap);
    expect([once.of(a), once.of(b)]).toEqual([start.get(b), start.get(a)]);
    const twice = await variablesAfter(swap, 2);
    expect([twice.of(a), twice.of(b)]).toEqual([start.get(a), start.get(b)]);
  });

  it("of three that go round, one of them changed on the way", async () => {
    const { of } = await variablesAfter({
      commit: [
        { variable: a, tensor: B },
        { variable: b, tensor: C.add(A) },
        { variable: c, tensor: A },
      ],
    });
    expect([of(a), of(b), of(c)]).toEqual([start.get(b), [1, 2, 3, 4, 5, 7], start.get(a)]);
  });

  it("of a variable that becomes a concatenation, one part of it written before its old value is read", async () => {
    const [left, right] = [slice(A, 0, 1).mul(2), matmul(A, B, { transposeB: true })];
    const { of } = await variablesAfter({ commit: [{ variable: a, tensor: concat([left, right]) }] });
    const [x, w] = [start.get(a)!, start.get(b)!];
    const product = (r: number, c: number): number =>
      [0, 1, 2].reduce((sum, k) => sum + x[3 * r + k]! * w[3 * c + k]!, 0);
    expect(of(a)).toEqual([0, 1].flatMap((r) => [2 * x[3 * r]!, product(r, 0), product(r, 1)]));
  });

  it("of a momentum update: m ← 0.5·m + g, w ← w − m_new", async () => {
    const m = B.mul(0.5).add(constant(2));
    const { of } = await variablesAfter(
      {
        commit: [
          { variable: b, tensor: m },
          { variable: a, tensor: A.sub(m) },
        ],
      },
      2,
    );
    const [m1, m2] = [start.get(b)!.map((x) => x * 0.5 + 2), start.get(b)!.map((x) => (x * 0.5 + 2) * 0.5 + 2)];
    expect(of(b)).toEqual(m2);
    expect(of(a)).toEqual(start.get(a)!.map((x, i) => x - m1[i]! - m2[i]!));
  });

  it("of an update that uses the old moment after the new one is made", async () => {
    const m = B.mul(0.5).add(A);
    const { of } = await variablesAfter({
      commit: [
        { variable: b, tensor: m },
        { variable: a, tensor: A.sub(m).sub(B) },
      ],
    });
    expect(of(a)).toEqual(start.get(a)!.map((x, i) => x - (start.get(b)![i]! * 0.5 + x) - start.get(b)![i]!));
  });

  it("of a variable that others copy while it changes", async () => {
    const { of } = await variablesAfter({
      commit: [
        { variable: a, tensor: A.add(1) },
        { variable: b, tensor: A },
        { variable: c, tensor: concat([slice(A, 2, 1), slice(A, 0, 2)]) },
      ],
    });
    expect([of(a), of(b), of(c)]).toEqual([
      [2, 3, 4, 5, 6, 7],
      [1, 2, 3, 4, 5, 6],
      [3, 1, 2, 6, 4, 5],
    ]);
  });

  it("of parts of a variable that changes", async () => {
    const part = variable("part", [1, 3]);
    const { of } = await variablesAfter({
      commit: [
        { variable: a, tensor: A.mul(10) },
        { variable: part, tensor: sliceRows(A, 1, 1) },
      ],
    });
    expect([of(a), of(part)]).toEqual([
      [10, 20, 30, 40, 50, 60],
      [4, 5, 6],
    ]);
  });

  it("where the new value is not made element by element: rows turned round, a product, a sum of everything", async () => {
    const square = variable("square", [2, 2]);
    const S = current(square);
    const values = new Map([...start, [square, [1, 2, 3, 4]] as const]);
    const turned = await variablesAfter(
      {
        commit: [
          { variable: square, tensor: transpose(S) },
          { variable: a, tensor: A.add(sumAll(A)) },
        ],
      },
      1,
      values,
    );
    expect([turned.of(square), turned.of(a)]).toEqual([
      [1, 3, 2, 4],
      [22, 23, 24, 25, 26, 27],
    ]);
    const squared = await variablesAfter({ commit: [{ variable: square, tensor: matmul(S, S) }] }, 1, values);
    expect(squared.of(square)).toEqual([7, 10, 15, 22]);
    const shifted = await variablesAfter({
      commit: [{ variable: a, tensor: concat([slice(A, 1, 2), slice(A, 0, 1)]) }],
    });
    expect(shifted.of(a)).toEqual([2, 3, 1, 5, 6, 4]);
  });

  it("where a value is used before and after it is assigned: results see the old, too", async () => {
    const [sum, seen] = [variable("sum", [1]), variable("seen", [2, 3])];
    const { of } = await variablesAfter(
      {
        results: [
          { variable: sum, tensor: sumAll(A) },
          { variable: seen, tensor: A },
        ],
        commit: [{ variable: a, tensor: A.add(sumAll(A)) }],
      },
      2,
    );
    expect([of(sum), of(seen), of(a)]).toEqual([[147], [22, 23, 24, 25, 26, 27], [169, 170, 171, 172, 173, 174]]);
  });

  it("where one value goes to two variables", async () => {
    const sum = A.add(B);
    const { of } = await variablesAfter({
      commit: [
        { variable: a, tensor: sum },
        { variable: c, tensor: sum },
      ],
    });
    expect(of(a)).toEqual([11, 22, 33, 44, 55, 66]);
    expect(of(c)).toEqual(of(a));
  });

  it("where a loop carries a state on", async () => {
    const x = variable("x", [3, 2, 3]);
    const { state } = unroll({
      inputs: { x: current(x) },
      state: { h: A },
      step: (at, { h }) => ({ state: { h: h.mul(2).add(at.x) } }),
    });
    const { of } = await variablesAfter(
      {
        commit: [
          { variable: a, tensor: state.h },
          { variable: b, tensor: A },
        ],
      },
      2,
      new Map([...start, [x, new Array(18).fill(1)] as const]),
    );
    expect(of(a)).toEqual([1, 2, 3, 4, 5, 6].map((value) => 64 * value + 63));
    expect(of(b)).toEqual([1, 2, 3, 4, 5, 6].map((value) => 8 * value + 7));
  });

  it("where a constant or a reshaped value is assigned", async () => {
    const flat = variable("flat", [1, 2, 3]);
    const { of } = await variablesAfter({
      commit: [
        { variable: a, tensor: constant(7, [2, 3]) },
        { variable: flat, tensor: reshape(A, [1, 2, 3]) },
        { variable: b, tensor: reshape(reshape(B, [1, 2, 3]).add(1), [2, 3]) },
      ],
    });
    expect([of(a), of(flat), of(b)]).toEqual([new Array(6).fill(7), start.get(a), [11, 21, 31, 41, 51, 61]]);
  });
});

describe("guards", () => {
  const update = [{ variable: a, tensor: A.add(1) }];
  const loss = variable("loss", [1]);
  const cases: readonly [string, Tensor, string][] = [
    ["a finite one lets it happen", sumAll(B), "done"],
    ["infinity refuses", sumAll(exp(B.mul(100))), "refused"],
    ["NaN refuses", sumAll(log(B.neg())), "refused"],
  ];
  for (const [name, guard, expected] of cases)
    it(name, async () => {
      const { ended, of } = await variablesAfter({
        results: [{ variable: loss, tensor: guard }],
        commit: update,
        guards: [guard],
      });
      expect(ended).toEqual([expected]);
      expect(of(a)).toEqual(expected === "done" ? [2, 3, 4, 5, 6, 7] : start.get(a));
      expect(of(loss)[0] === undefined || Number.isFinite(of(loss)[0]!)).toBe(expected === "done"); // results are written either way
    });

  it("any one of several refuses, also one that nothing else reads", async () => {
    const { ended, of } = await variablesAfter({
      commit: update,
      guards: [sumAll(B), sumAll(log(C.sub(1))), sumAll(A)],
    });
    expect([ended, of(a)]).toEqual([["refused"], start.get(a)]);
  });

  it("a run after a refused one goes on from the old values", async () => {
    const program = lower({ name: "guarded", results: [], commit: update, guards: [sumAll(log(B))] });
    const session = await reference().createSession();
    const executable = await session.compile(program);
    session.write(b, [1, 1, 1, 1, 1, -1]);
    expect(executable.run()).toBe("refused");
    session.write(b, [1, 1, 1, 1, 1, 1]);
    expect(executable.run()).toBe("done");
    expect([...session.readNow!(a)]).toEqual([1, 1, 1, 1, 1, 1]);
  });

  it("an update that is not finite by itself is the caller's to guard: nothing is refused without guards", async () => {
    const { ended, of } = await variablesAfter({ commit: [{ variable: a, tensor: log(B.neg()) }] });
    expect([ended, of(a).every(Number.isNaN)]).toEqual([["done"], true]);
  });
});
