/** Rewriting for fewer passes: the values stay, what was stored only to be sliced is not stored. */
import { describe, expect, it } from "vitest";
import type { Cell } from "../../src/cells/cell.js";
import { gru } from "../../src/cells/gru.js";
import { lstm } from "../../src/cells/lstm.js";
import { rnn } from "../../src/cells/rnn.js";
import {
  concat,
  constant,
  current,
  expand,
  matmul,
  maximum,
  random,
  sigmoid,
  slice,
  sumAll,
  tanh,
  unroll,
} from "../../src/graph/language.js";
import { type Shape, sizeOf } from "../../src/graph/shape.js";
import { gradients } from "../../src/graph/sweep.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { type Variable, variable } from "../../src/graph/variable.js";
import { createRng, type Rng } from "../../src/parameters/rng.js";
import { lower } from "../../src/program/lower.js";
import type { Kernel, Program } from "../../src/program/program.js";
import { fewerPasses } from "../../src/program/rewriting/fewer-passes.js";
import { below, oneOf } from "../graph/grow.js";
import { difference } from "../graph/numeric.js";
import { arena, checkForm } from "./arena.js";
import { oracle } from "./oracle.js";
import { programOf, trainingOf } from "./traced.js";

function inputs(seed: string): {
  readonly memory: Map<Variable, Float64Array>;
  of(name: string, shape: Shape): Tensor;
} {
  const rng = createRng(seed);
  const memory = new Map<Variable, Float64Array>();
  return {
    memory,
    of(name, shape) {
      const made = variable(name, shape);
      memory.set(
        made,
        Float64Array.from({ length: sizeOf(shape) }, () => 2 * rng.uniform() - 1),
      );
      return current(made);
    },
  };
}

/** The rewritten graph gives the oracle's values of the old one, by itself and as a program in one arena. */
function same(memory: Map<Variable, Float64Array>, roots: readonly Tensor[], where: string): void {
  const better = fewerPasses(roots);
  const [before, after] = [oracle(memory), oracle(memory)];
  const results = roots.map((tensor, i) => ({ variable: variable(`r${i}`, tensor.shape), tensor }));
  const program = lower({ name: where, results });
  checkForm(program);
  const machine = arena(program, memory);
  machine.run();
  results.forEach(({ variable: result, tensor }, i) => {
    expect(difference(after(better(tensor)), before(tensor)), `${where}, root ${i}`).toBeLessThan(1e-12);
    expect(difference(machine.variables.get(result)!, before(tensor)), `${where}, result ${i}`).toBeLessThan(1e-12);
  });
}

/** Sums, products and functions of wide matrices with biases and columns, cut into parts that meet again. */
function wide(rng: Rng, pool: readonly Tensor[], columns: number): Tensor[] {
  const whole: Tensor[] = [...pool];
  const pick = (): Tensor => oneOf(rng, whole.slice(-6));
  for (let i = 0; i < 7; i++) {
    const made = oneOf(rng, [
      () => pick().add(oneOf(rng, whole)),
      () => pick().add(oneOf(rng, whole)).mul(0.5),
      () => pick().mul(oneOf(rng, whole)),
      () => tanh(pick()),
      () => maximum(pick(), 0.1),
      () => expand(pool[0]!, pool.at(-1)!.shape),
    ])();
    whole.push(made);
  }
  const parts = Array.from({ length: 5 }, () => {
    const from = oneOf(
      rng,
      whole.slice(-3).filter((tensor) => tensor.shape.at(-1) === columns),
    );
    if (!from) return undefined;
    const size = oneOf(rng, [1, columns / 2, columns / 2]);
    return slice(from, oneOf(rng, [0, columns / 2, columns - size]), Math.min(size, columns / 2));
  }).filter((part) => part !== undefined);
  return [...parts, ...whole.slice(-2)];
}

describe("fewer passes", () => {
  it("leave the values of random sums and slices, in loops and out of them, and of their gradients", () => {
    for (let seed = 0; seed < 150; seed++) {
      const rng = createRng(`passes ${seed}`);
      const [T, N, C] = [oneOf(rng, [1, 3]), oneOf(rng, [1, 2, 3]), oneOf(rng, [2, 4, 6])];
      const { memory, of } = inputs(`numbers ${seed}`);
      const weight = of("w", [C, C]);
      const shared = [of("b", [C]), of("c", [C]), of("s", [1]), of("k", [N, 1])];
      const { outputs, state } = unroll({
        inputs: { x: of("x", [T, N, C]), y: of("y", [T, N, C]) },
        state: { h: of("h", [N, C]) },
        step: (at, { h }) => {
          const draw = createRng(`step ${seed}`);
          const made = wide(draw, [...shared, at.y, at.x, h, matmul(h, weight)], C).filter(
            ({ shape }) => shape.length === 2 && shape[0] === N,
          );
          const full = made.filter(({ shape }) => shape[1] === C);
          const halves = made.filter(({ shape }) => shape[1] === C / 2);
          const joined = halves.length > 0 ? tanh(concat([oneOf(draw, halves), oneOf(draw, halves)])) : tanh(h);
          const sum = [joined, ...full].slice(0, 1 + below(draw, 2)).reduce((a, b) => a.add(b));
          return {
            state: { h: tanh(sum) },
            outputs: { p: oneOf(draw, [h, ...made]), q: oneOf(draw, [at.x, ...made]) },
          };
        },
      });
      const outside = wide(
        rng,
        [...shared.slice(0, 3), outputs.p, state.h, of("z", [N, C])].filter(({ shape }) => shape.length < 3),
        C,
      );
      const loss = [...outside, ...Object.values(outputs), state.h]
        .map((tensor) => sumAll(tanh(tensor)))
        .reduce((a, b) => a.add(b));
      same(
        memory,
        [loss, ...outside, ...Object.values(outputs), ...gradients(loss, [weight, ...shared])],
        `seed ${seed}`,
      );
    }
  });

  const { of } = inputs("fixed");
  const [x, y, b] = [of("x", [3, 8]), of("y", [3, 8]), of("b", [8])];
  const kinds = (program: Program): string[] => program.compute.map(({ kind }) => kind);

  it("compute the halves of a sum in the chain that joins them", () => {
    const z = x.add(y).add(b);
    const program = programOf(sigmoid(slice(z, 0, 4)).mul(tanh(slice(z, 4, 4))));
    expect(kinds(program)).toEqual(["chain"]);
    expect(program.plan.size).toBe(0);
  });

  it("leave a sum that is wanted as a whole, that is sliced where slices overlap, or that only products read", () => {
    const z = x.add(y);
    expect(fewerPasses([z, slice(z, 0, 4).mul(2)])(z)).toBe(z);
    const overlap = slice(z, 0, 5).mul(slice(z, 3, 5));
    expect(fewerPasses([overlap])(overlap)).toBe(overlap);
    const product = matmul(slice(z, 0, 4), of("w", [4, 2]));
    expect(fewerPasses([product])(product)).toBe(product);
  });

  it("store no constant that is only repeated", () => {
    expect(kinds(programOf(x.mul(expand(constant(3), x.shape))))).toEqual(["chain"]);
    const three = expand(constant(3), [4, 2]);
    expect(fewerPasses([three])(three)).toMatchObject({ op: "constant", shape: [4, 2] });
  });

  it("leave random numbers where they were drawn", () => {
    const seed = current(variable("seed", [1], "index"));
    const noisy = slice(x.mul(random(seed, 1, x)), 4, 4).add(1);
    expect(fewerPasses([noisy])(noisy)).toBe(noisy);
  });

  it("read what a slice names: parts of concatenations, constants, slices of slices", () => {
    const z = concat([x, y]).add(constant(2, [3, 16]));
    const part = tanh(slice(z, 9, 4));
    const memory = new Map<Variable, Float64Array>();
    for (const { attributes } of [x, y])
      memory.set(
        attributes.variable!,
        Float64Array.from({ length: 24 }, (_, i) => Math.sin(i)),
      );
    same(memory, [part], "parts");
    expect(kinds(programOf(part))).toEqual(["chain"]);
  });

  /** The kernels within the loops of a training step of one cell. */
  function loopsOf(cell: Cell): readonly (readonly Kernel[])[] {
    const program = trainingOf(cell, [4, 3, 5]);
    return program.compute.flatMap((statement) => (statement.kind === "loop" ? [statement.body] : []));
  }

  it("leave a product and one chain in the loops of each cell, forward and backward", () => {
    for (const cell of [rnn(8), lstm(8), gru(8)]) {
      const [forward, backward, ...others] = loopsOf(cell);
      expect(
        forward!.map(({ kind }) => kind),
        cell.name,
      ).toEqual(["product", "chain"]);
      expect(
        backward!.map(({ kind }) => kind),
        cell.name,
      ).toEqual(["chain", "product"]);
      expect(others).toEqual([]);
    }
  });

  it("add the biases of a gate to one another ahead of the loop", () => {
    const [forward] = loopsOf(lstm(8));
    const chain = forward!.find((kernel) => kernel.kind === "chain")!;
    // before, product and bias of four gates, and c
    expect(chain.kind === "chain" && chain.loads).toHaveLength(13);
  });
});
