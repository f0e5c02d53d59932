/** One computation for many variables: written down once, lowered for each. */
import { expect, it } from "vitest";
import type { Backend } from "../../src/backend/contract.js";
import { reference } from "../../src/backend/reference/index.js";
import { wasm } from "../../src/backend/wasm/index.js";
import { constant, current, log, matmul, sumAll } from "../../src/graph/language.js";
import { Tensor } from "../../src/graph/tensor.js";
import { batchVariable, type Variable, variable } from "../../src/graph/variable.js";
import { type ForEach, lower, type ProgramOptions } from "../../src/program/lower.js";
import { structureOf } from "../../src/program/structure.js";
import { checkForm } from "./arena.js";

const placeholder = (): Tensor => new Tensor("stepInput", [], [1]);
const holding = (name: string, shape: readonly number[], initial: readonly number[]): Variable => ({
  ...variable(name, shape),
  initial,
});

/** The variables' numbers after a run on so many threads. */
async function after(
  backend: Backend,
  options: ProgramOptions,
  variables: readonly Variable[],
  threads = 1,
): Promise<number[][]> {
  const session = await backend.createSession();
  const executable = await session.compile(options);
  expect(executable.threads ?? 1).toBe(threads);
  executable.run();
  await executable.settled();
  const read = await Promise.all(variables.map(async (each) => Array.from(await session.read(each))));
  session.dispose();
  return read;
}

const backends: readonly [string, Backend][] = [
  ["reference", reference()],
  ["wasm", wasm({ threads: 1 })],
];

it.each(backends)("is done for variables of every shape, each with inputs of its own: %s", async (_, backend) => {
  const [x, y, rate] = [placeholder(), placeholder(), placeholder()];
  const sum = x.add(y.mul(rate));
  const [a, b] = [holding("a", [3], [1, 2, 3]), holding("b", [2, 2], [4, 5, 6, 7])];
  const forEach: ForEach = {
    inputs: [x, y, rate],
    outputs: [sum],
    members: [
      { inputs: [current(a), constant(1, [3]), constant(10)], variables: [a] },
      { inputs: [current(b), current(b).mul(2), sumAll(current(a))], variables: [b] },
    ],
  };
  expect(await after(backend, { name: "update", results: [], forEach }, [a, b])).toEqual([
    [11, 12, 13],
    [4 + 48, 5 + 60, 6 + 72, 7 + 84],
  ]);
});

it.each(backends)("may give an input as it is, and one value twice: %s", async (_, backend) => {
  const [x, y] = [placeholder(), placeholder()];
  const [a, b, c] = [holding("a", [2], [1, 2]), holding("b", [2], [3, 4]), holding("c", [2], [0, 0])];
  const twice = x.mul(2);
  const forEach: ForEach = {
    inputs: [x, y],
    outputs: [twice, x, twice],
    members: [{ inputs: [current(a), current(b)], variables: [a, b, c] }],
  };
  expect(await after(backend, { name: "update", results: [], forEach }, [a, b, c])).toEqual([
    [2, 4],
    [1, 2],
    [2, 4],
  ]);
});

it("comes after the other assignments, which read the old values, and only where all guards are finite", async () => {
  const x = placeholder();
  const [a, b] = [holding("a", [1], [-1]), holding("b", [1], [5])];
  const options: ProgramOptions = {
    name: "update",
    results: [],
    commit: [{ variable: b, tensor: current(a).mul(3) }],
    forEach: { inputs: [x], outputs: [x.neg()], members: [{ inputs: [current(a)], variables: [a] }] },
  };
  checkForm(lower(options));
  for (const [, backend] of backends) {
    expect(await after(backend, options, [a, b])).toEqual([[1], [-3]]);
    expect(await after(backend, { ...options, guards: [log(current(a))] }, [a, b])).toEqual([[-1], [5]]);
  }
});

it("is shared out among threads, each of which sums its rows", async () => {
  const x = { ...batchVariable("x", [5, 3]), initial: Array.from({ length: 15 }, (_, i) => i % 7) };
  const w = holding("w", [3, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  const [old, g] = [placeholder(), placeholder()];
  const squares = matmul(current(x), current(x), { transposeA: true });
  const options: ProgramOptions = {
    name: "update",
    results: [],
    forEach: { inputs: [old, g], outputs: [old.sub(g)], members: [{ inputs: [current(w), squares], variables: [w] }] },
  };
  const [alone, together] = [
    await after(wasm({ threads: 1 }), options, [w]),
    await after(wasm({ threads: 3, shareFrom: 0 }), options, [w], 3),
  ];
  expect(together).toEqual(alone);
  expect(alone).toEqual(await after(reference(), options, [w]));
});

it("makes computations different that differ in it alone", () => {
  const [x, y] = [placeholder(), placeholder()];
  const [a, b] = [variable("a", [2]), variable("b", [2])];
  const key = (outputs: readonly Tensor[], inputs: readonly Variable[], to: Variable): string => {
    const members = [{ inputs: inputs.map(current), variables: [to] }];
    return structureOf({ name: "update", results: [], forEach: { inputs: [x, y], outputs, members } }, {}).key;
  };
  const [sum, difference] = [x.add(y), x.sub(y)];
  expect(key([sum], [a, b], a)).toBe(key([sum], [a, b], a));
  const keys = [
    key([sum], [a, b], a),
    key([difference], [a, b], a),
    key([difference], [b, a], a),
    key([difference], [a, b], b),
    key([difference], [a, a], a),
    key([x], [a, b], a),
    key([y], [a, b], a),
  ];
  expect(new Set(keys).size).toBe(keys.length);
});
