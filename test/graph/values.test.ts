/** What tensors are worth: values by hand, through the whole way from graph to program to the reference backend. */
import { describe, expect, it } from "vitest";
import { evaluate } from "../../src/backend/evaluate.js";
import { reference } from "../../src/backend/reference/index.js";
import { UserError } from "../../src/errors.js";
import {
  concat,
  constant,
  crossEntropyRows,
  dropped,
  elu,
  expand,
  gather,
  linear,
  matmul,
  maxColumns,
  maximum,
  oneHot,
  random,
  reshape,
  slice,
  sliceRows,
  softmax,
  sumAll,
  sumColumns,
  sumRows,
  tanh,
  transpose,
  unroll,
  zeros,
} from "../../src/graph/language.js";
import { randomKey, randomUniform } from "../../src/graph/random.js";
import { gradients } from "../../src/graph/sweep.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { feed } from "./numeric.js";

async function valuesOf(tensor: Tensor, feeds: Parameters<typeof evaluate>[2] = []): Promise<number[]> {
  const { y } = await evaluate(reference(), { y: tensor }, feeds);
  return [...y];
}

const { tensors, feeds } = feed({
  x: { shape: [2, 3], values: [1, 2, 3, 4, 5, 6] },
  y: { shape: [2, 3], values: [6, 5, 4, 3, 2, 1] },
  seed: { shape: [1], classes: 100, values: [42] },
  ids: { shape: [2, 1], classes: 3, values: [2, 0] },
});
const x = tensors.x!;
const y = tensors.y!;
const seed = tensors.seed!;
const ids = tensors.ids!;

describe("values", () => {
  it("of softmax, however large the logits", async () => {
    const { tensors: t, feeds: f } = feed({
      z: { shape: [3, 2], values: [1e16, 1e16, -1e30, -1e30, 0, 800] },
      target: { shape: [3, 1], classes: 2, values: [0, 1, 0] },
    });
    const loss = crossEntropyRows(t.z!, t.target!);
    expect(await valuesOf(softmax(t.z!), f)).toEqual([0.5, 0.5, 0.5, 0.5, 0, 1]);
    expect(await valuesOf(loss, f)).toEqual([Math.LN2, Math.LN2, 800]);
    const dz = await valuesOf(gradients(sumAll(loss), [t.z!])[0]!, f);
    expect(dz).toEqual([-0.5, 0.5, 0.5, -0.5, -1, 1]);
    expect(() => crossEntropyRows(t.z!, t.target!, { weights: constant(1, [3]) })).toThrow(
      new UserError("cross-entropy: weights [3] are not one for each class of logits [3, 2]"),
    );
  });

  it("of the slope of elu, at 0 too", async () => {
    const { tensors: t, feeds: f } = feed({ z: { shape: [3], values: [-1, 0, 2] } });
    const [dz] = gradients(sumAll(elu(t.z!, 0.5)), [t.z!]);
    expect(await valuesOf(dz!, f)).toEqual([0.5 * Math.exp(-1), 0.5, 1].map((v) => expect.closeTo(v, 15)));
  });

  it("of products", async () => {
    expect(await valuesOf(matmul(x, y, { transposeB: true }), feeds)).toEqual([28, 10, 73, 28]);
    expect(await valuesOf(matmul(x, y, { transposeA: true }), feeds)).toEqual([18, 13, 8, 27, 20, 13, 36, 27, 18]);
    expect(await valuesOf(matmul(transpose(x), x), feeds)).toEqual([17, 22, 27, 22, 29, 36, 27, 36, 45]);
  });

  it("of parts of a constant", async () => {
    expect(await valuesOf(slice(constant(3, [2, 5]), 1, 2))).toEqual([3, 3, 3, 3]);
    expect(await valuesOf(sliceRows(constant(3, [5, 2]), 1, 2).add(1))).toEqual([4, 4, 4, 4]);
    expect(await valuesOf(reshape(constant(3, [1, 2, 3]), [2, 3]).mul(x), feeds)).toEqual([3, 6, 9, 12, 15, 18]);
    expect(await valuesOf(transpose(constant(3, [2, 1])))).toEqual([3, 3]);
    expect(await valuesOf(sumAll(reshape(constant(3, [1, 2, 3]), [2, 3])))).toEqual([18]);
  });

  it("of gradients that are constants under another shape", async () => {
    const loss = reshape(sumColumns(sumRows(x, [1, 3])), [1]);
    expect(await valuesOf(gradients(loss, [x])[0]!, feeds)).toEqual([1, 1, 1, 1, 1, 1]);
  });

  it("of constants that no number literal can name", async () => {
    const infinite = maximum(constant(Number.NEGATIVE_INFINITY, [2, 3]), x).add(
      constant(Number.POSITIVE_INFINITY, [2, 3]).mul(0.5),
    );
    expect(await valuesOf(infinite, feeds)).toEqual(new Array(6).fill(Number.POSITIVE_INFINITY));
    const signed = constant(1, [1])
      .div(constant(-0))
      .sub(constant(1, [1]).div(constant(0)));
    expect(await valuesOf(signed)).toEqual([Number.NEGATIVE_INFINITY]);
    expect(await valuesOf(constant(Number.NaN).add(constant(Number.POSITIVE_INFINITY).mul(0)))).toEqual([Number.NaN]);
  });

  it("of row functions", async () => {
    expect(await valuesOf(maxColumns(y), feeds)).toEqual([6, 3]);
    expect((await valuesOf(sumColumns(softmax(x)), feeds)).map((value) => value.toFixed(12))).toEqual([
      "1.000000000000",
      "1.000000000000",
    ]);
    expect(await valuesOf(gather(transpose(x), ids), feeds)).toEqual([3, 6, 1, 4]);
    expect(await valuesOf(oneHot(ids, 3), feeds)).toEqual([0, 0, 1, 1, 0, 0]);
    expect(await valuesOf(linear(oneHot(ids, 3), x), feeds)).toEqual([3, 6, 1, 4]);
    const [a, b] = await valuesOf(crossEntropyRows(x, ids), feeds);
    expect(a).toBeCloseTo(Math.log(Math.exp(-2) + Math.exp(-1) + 1), 14);
    expect(b).toBeCloseTo(Math.log(1 + Math.exp(1) + Math.exp(2)), 14);
  });

  it("of a sum of squares that is wanted in itself", async () => {
    const squares = x.mul(x);
    const { s, q } = await evaluate(reference(), { s: sumAll(squares), q: squares }, feeds);
    expect([...s, ...q]).toEqual([91, 1, 4, 9, 16, 25, 36]);
  });
});

describe("random numbers", () => {
  const draws = (key: number, count: number): number[] =>
    Array.from({ length: count }, (_, i) => randomUniform(randomKey(42, key), i));

  it("depend on key, seed and place alone", async () => {
    expect(await valuesOf(random(seed, 7, zeros([2, 3])), feeds)).toEqual(draws(7, 6));
    expect(await valuesOf(random(seed, 7, zeros([2, 3])).mul(x), feeds)).toEqual(
      draws(7, 6).map((u, i) => u * (i + 1)),
    );
  });

  it("repeat as any other tensor does", async () => {
    const column = random(seed, 3, zeros([2, 1]));
    const [a, b] = draws(3, 2) as [number, number];
    expect(await valuesOf(column.add(x.mul(0)), feeds)).toEqual([a, a, a, b, b, b]);
    expect(await valuesOf(expand(column, [2, 3]), feeds)).toEqual([a, a, a, b, b, b]);
    const row = random(seed, 3, zeros([1, 3]));
    expect(await valuesOf(row.add(x.mul(0)), feeds)).toEqual([...draws(3, 3), ...draws(3, 3)]);
  });

  it("are sliced, reshaped and transposed as any other tensor", async () => {
    const u = random(seed, 5, zeros([2, 3]));
    const all = draws(5, 6);
    expect(await valuesOf(slice(u, 1, 2), feeds)).toEqual([all[1], all[2], all[4], all[5]]);
    expect(await valuesOf(sliceRows(u, 1, 1), feeds)).toEqual(all.slice(3));
    expect(await valuesOf(transpose(u), feeds)).toEqual([all[0], all[3], all[1], all[4], all[2], all[5]]);
    expect(await valuesOf(concat([u, x]), feeds)).toEqual([...all.slice(0, 3), 1, 2, 3, ...all.slice(3), 4, 5, 6]);
  });

  it("stay the same over time where they were drawn outside the loop, and differ where drawn inside", async () => {
    const sequence = expand(constant(1, [1]), [3, 2, 3]).mul(x);
    const outside = random(seed, 1, zeros([2, 3]));
    const { outputs } = unroll({
      inputs: { x: sequence },
      state: { h: zeros([2, 3]) },
      step: ({ x: at }, { h }) => ({
        state: { h: at },
        outputs: {
          same: h.mul(0).add(outside),
          other: random(seed, 2, h).add(h.mul(0)),
          same2: at.mul(0).add(outside),
        },
      }),
    });
    const { same, same2, other } = await evaluate(reference(), outputs, feeds);
    const once = draws(1, 6);
    expect([...same]).toEqual([...once, ...once, ...once]);
    expect([...same2]).toEqual([...once, ...once, ...once]);
    expect([...other]).toEqual(draws(2, 18));
  });

  it("make dropout keep the mean", async () => {
    const dropping = await valuesOf(dropped(constant(1, [100, 100]), 0.3, seed, 9), feeds);
    const mean = dropping.reduce((sum, value) => sum + value, 0) / 10_000;
    expect(Math.abs(mean - 1)).toBeLessThan(0.03);
    expect([...new Set(dropping)].sort()).toEqual([0, 1 / 0.7]);
  });
});

describe("a loop's values", () => {
  it("are read before they are overwritten", async () => {
    const sequence = expand(constant(1, [1]), [3, 2, 3]).mul(x);
    const { outputs, state } = unroll({
      inputs: { x: sequence },
      state: { h: zeros([2, 3]) },
      step: ({ x: at }, { h }) => ({ state: { h: h.add(at) }, outputs: { previous: slice(h, 0, 2) } }),
    });
    const { previous, last } = await evaluate(reference(), { ...outputs, last: state.h }, feeds);
    expect([...previous]).toEqual([0, 0, 0, 0, 1, 2, 4, 5, 2, 4, 8, 10]);
    expect([...last]).toEqual([3, 6, 9, 12, 15, 18]);
  });

  it("hold squares that are wanted beside their sum", async () => {
    const sequence = expand(constant(1, [1]), [2, 2, 3]).mul(x);
    const { outputs, state } = unroll({
      inputs: { x: sequence },
      state: { h: x },
      step: ({ x: at }, { h }) => {
        const q = h.mul(h);
        return { state: { h: at.add(sumAll(q)) }, outputs: { q } };
      },
    });
    const { q, h } = await evaluate(reference(), { ...outputs, h: state.h }, feeds);
    const first = [1, 4, 9, 16, 25, 36];
    const second = [1, 2, 3, 4, 5, 6].map((value) => (value + 91) ** 2);
    expect([...q]).toEqual([...first, ...second]);
    expect([...h]).toEqual([1, 2, 3, 4, 5, 6].map((value) => value + second.reduce((sum, next) => sum + next, 0)));
  });

  it("may be a square that is the next state and is summed", async () => {
    const { state } = unroll({
      inputs: { x: expand(constant(1, [1]), [1, 2, 3]).mul(x) },
      state: { h: x, s: zeros([2, 3]) },
      step: ({ x: at }, { h }) => {
        const q = h.mul(h);
        return { state: { h: q, s: at.mul(0).add(sumAll(q)) } };
      },
    });
    const { h, s } = await evaluate(reference(), { ...state }, feeds);
    expect([...h]).toEqual([1, 4, 9, 16, 25, 36]);
    expect([...s]).toEqual(new Array(6).fill(91));
  });

  it("work with constant sequences and constant states", async () => {
    const { outputs, state } = unroll({
      inputs: { x: constant(2, [3, 2, 1]) },
      state: { h: constant(1, [2, 1]) },
      step: ({ x: at }, { h }) => ({ state: { h: h.mul(at) }, outputs: { y: tanh(at.mul(0)).add(h) } }),
    });
    const { y: seen, h } = await evaluate(reference(), { y: outputs.y, h: state.h });
    expect([...seen]).toEqual([1, 1, 2, 2, 4, 4]);
    expect([...h]).toEqual([8, 8]);
  });
});
