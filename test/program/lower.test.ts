/** Graph to program: random graphs with loops, gradients and commits; run in one arena they give what their definitions say. */
import { describe, expect, it } from "vitest";
import { reference } from "../../src/backend/reference/index.js";
import { concat, constant, current, matmul, slice, sumAll, tanh, unroll } from "../../src/graph/language.js";
import { type Shape, sameShape, sizeOf } from "../../src/graph/shape.js";
import { gradients } from "../../src/graph/sweep.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { initialOf, type Variable, variable } from "../../src/graph/variable.js";
import { createRng, type Rng } from "../../src/parameters/rng.js";
import { type Assignment, lower } from "../../src/program/lower.js";
import { below, grow, oneOf } from "../graph/grow.js";
import { difference } from "../graph/numeric.js";
import { arena, checkForm } from "./arena.js";
import { oracle } from "./oracle.js";

interface RandomProgram {
  readonly results: Assignment[];
  readonly commit: Assignment[];
  readonly guards: Tensor[];
  readonly feeds: Map<Variable, Float64Array>;
}

function randomProgram(seed: number): RandomProgram {
  const rng = createRng(`program ${seed}`);
  const [T, N, D, H] = [oneOf(rng, [1, 2, 4]), oneOf(rng, [1, 2, 3]), oneOf(rng, [1, 2, 3]), oneOf(rng, [1, 3, 5])];
  const feeds = new Map<Variable, Float64Array>();
  const made = (name: string, shape: Shape, classes?: number): Tensor => {
    const target = variable(name, shape, classes ? "index" : "float");
    feeds.set(
      target,
      Float64Array.from({ length: sizeOf(shape) }, () => (classes ? below(rng, classes) : 2 * rng.uniform() - 1)),
    );
    return current(target);
  };
  const weights = [
    made("w", [H, D]),
    made("u", [H, H]),
    made("v", [H, H]),
    made("b", [H]),
    made("s", [1]),
    made("m", [N, H]),
  ];
  const seedOfStep = made("seed", [1], 1000);
  const sequences = [made("x", [T, N, D]), made("y", [T, N, H])];
  const id = made("id", [N, 1], 3);
  const ids = made("ids", [T, N, 1], 3);
  const pool: Tensor[] = [...weights, id, ...sequences, ids];
  grow(pool, rng, { count: 6, seed: seedOfStep });
  for (let l = 0; l < below(rng, 3); l++) pool.push(...randomLoop(pool, rng, { T, N, D, H, seed: seedOfStep }));
  grow(pool, rng, { count: 4, seed: seedOfStep });

  const floats = pool.filter(({ type }) => type === "float");
  const picks = Array.from({ length: 4 }, () => oneOf(rng, floats.slice(-12)));
  const loss = picks.map((pick) => sumAll(tanh(pick))).reduce((sum, part) => sum.add(part));
  const wrt = [...weights, ...sequences].filter(() => rng.uniform() < 0.7);
  const found = gradients(loss, wrt);
  const results: Assignment[] = [loss, ...picks, ...found].map((tensor, i) => ({
    variable: variable(`result ${i}`, tensor.shape),
    tensor,
  }));
  // what is committed: updates, variables for one another, parts of anything that fits
  const everything = [...pool, ...found];
  const commit: Assignment[] = weights
    .filter(() => rng.uniform() < 0.7)
    .map((weight) => {
      const target = weight.attributes.variable!;
      const fitting = everything.filter(({ shape, type }) => type === "float" && sameShape(shape, weight.shape));
      const first = oneOf(rng, fitting);
      const tensor = rng.uniform() < 0.5 ? first : weight.mul(0.9).add(first.mul(oneOf(rng, fitting)));
      return { variable: target, tensor };
    });
  const inner = sumAll(oneOf(rng, floats.slice(-12)));
  const guards = oneOf(rng, [
    [],
    [loss],
    [inner],
    [loss, inner],
    [inner, sumAll(oneOf(rng, floats)).div(constant(0)).sub(1)],
  ]);
  return { results, commit, guards, feeds };
}

function randomLoop(
  pool: readonly Tensor[],
  rng: Rng,
  { T, N, D, H, seed }: { T: number; N: number; D: number; H: number; seed: Tensor },
): Tensor[] {
  const sequences = pool.filter(({ shape }) => shape.length === 3 && shape[0] === T && shape[1] === N);
  const rows = pool.filter(({ shape, type }) => type === "float" && shape.length === 2 && shape[0] === N);
  const outside = [oneOf(rng, pool), oneOf(rng, pool), oneOf(rng, pool)];
  const inputs = { a: oneOf(rng, sequences), b: oneOf(rng, sequences) };
  const initial: Record<string, Tensor> = { h: oneOf(rng, rows), c: constant(rng.uniform(), [N, H]) };
  if (rng.uniform() < 0.5) initial.d = constant(0, [N, D]);
  const { outputs, state } = unroll<typeof inputs, Record<string, Tensor>, Record<string, Tensor>>({
    inputs,
    state: initial,
    reverse: rng.uniform() < 0.4,
    step(at, states) {
      const body: Tensor[] = [...Object.values(at), ...outside, ...Object.values(states)];
      grow(body, rng, { count: 8, seed });
      const floats = body.filter(({ type }) => type === "float");
      const next = Object.fromEntries(
        Object.entries(states).map(([key, state]) => {
          const fitting = floats.filter(({ shape }) => sameShape(shape, state.shape));
          const chosen = oneOf(rng, fitting.slice(-4));
          return [key, rng.uniform() < 0.6 ? chosen : tanh(chosen.add(state.mul(0.5)))];
        }),
      );
      return { state: next, outputs: { p: oneOf(rng, floats.slice(-6)), q: oneOf(rng, floats.slice(-6)) } };
    },
  });
  return [...Object.values(outputs), ...Object.values(state)];
}

/** Runs a program twice in a row and compares variables with what the graph's definitions give. */
async function runAndCompare(seed: number): Promise<void> {
  const { results, commit, guards, feeds } = randomProgram(seed);
  const shared = lower({ name: `program ${seed}`, results, commit, guards });
  const kept = lower({ name: `program ${seed}`, results, commit, guards, keep: true });
  checkForm(shared);
  checkForm(kept);
  expect(shared.plan.size).toBeLessThanOrEqual(kept.plan.size);
  const machine = arena(shared, feeds);
  const roomy = arena(kept, feeds);
  const session = await reference().createSession();
  const executable = await session.compile(shared);
  for (const [target, data] of feeds) session.write(target, data);
  const memory = new Map<Variable, Float64Array>(feeds);
  for (const { variable: held } of shared.buffers)
    if (held && !memory.has(held))
      memory.set(held, Float64Array.from(initialOf(held) ?? new Float64Array(sizeOf(held.shape))));
  for (let round = 0; round < 2; round++) {
    const value = oracle(memory);
    const expected = new Map<Variable, Float64Array>();
    for (const { variable: target, tensor } of [...results, ...commit])
      expected.set(target, Float64Array.from(value(tensor)));
    const ended = machine.run();
    expect(roomy.run()).toBe(ended);
    expect(executable.run()).toBe(ended);
    for (const [target, data] of expected) {
      if (ended === "refused" && commit.some((each) => each.variable === target)) continue;
      memory.set(target, data);
      const where = `program ${seed}, round ${round}, ${target.name}`;
      expect(difference(machine.variables.get(target)!, data), `${where} in the arena`).toBeLessThan(1e-11);
      expect(difference(roomy.variables.get(target)!, data), `${where} with keep`).toBeLessThan(1e-11);
      expect(difference(session.readNow!(target), data), `${where} on the reference backend`).toBeLessThan(1e-11);
    }
  }
  session.dispose();
}

describe("random programs", () => {
  for (let first = 0; first < 400; first += 50)
    it(`${first} to ${first + 49}`, async () => {
      for (let seed = first; seed < first + 50; seed++) {
        try {
          await runAndCompare(seed);
        } catch (error) {
          if ((error as Error).message.includes(`program ${seed}`)) throw error;
          throw new Error(`program ${seed}: ${(error as Error).message}`, { cause: error });
        }
      }
    }, 60_000);
});

it("a state that becomes a concatenation is read as it was, though one part of the new one is written first", () => {
  const rng = createRng("concatenated state");
  const memory = new Map<Variable, Float64Array>();
  const made = (name: string, shape: Shape): Tensor => {
    const target = variable(name, shape);
    memory.set(
      target,
      Float64Array.from({ length: sizeOf(shape) }, () => rng.uniform() - 0.5),
    );
    return current(target);
  };
  const weight = made("w", [4, 2]);
  const { state } = unroll({
    inputs: { x: made("x", [3, 2, 4]) },
    state: { h: made("h", [2, 4]) },
    step: ({ x }, { h }) => ({ state: { h: concat([tanh(slice(h.add(x), 0, 2)), matmul(h, weight)]) } }),
  });
  const result = variable("result", [2, 4]);
  const machine = arena(lower({ name: "state", results: [{ variable: result, tensor: state.h }] }), memory);
  machine.run();
  expect(difference(machine.variables.get(result)!, oracle(memory)(state.h))).toBeLessThan(1e-14);
});
