import { describe, expect, it } from "vitest";
import { UserError } from "../../src/errors.js";
import {
  chrono,
  constantOf,
  gateBias,
  heNormal,
  heUniform,
  identity,
  lecunNormal,
  lecunUniform,
  normal,
  oneInit,
  orthogonal,
  pytorchUniform,
  uniform,
  xavierNormal,
  xavierUniform,
  zeroInit,
} from "../../src/parameters/initializers.js";
import type { Initializer } from "../../src/parameters/parameter.js";
import { createRng } from "../../src/parameters/rng.js";

const mean = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const moment = (values: Float64Array, power: number): number => {
  const centre = mean(values);
  return values.reduce((sum, value) => sum + (value - centre) ** power, 0) / values.length;
};

/** [200, 300]: fan-in 300, fan-out 200. 60,000 draws. */
const shape = [200, 300];
const draws = 60_000;

const uniforms: readonly [string, Initializer, number][] = [
  ["uniform(0.3)", uniform(0.3), 0.3],
  ["xavierUniform()", xavierUniform(), Math.sqrt(6 / 500)],
  ["xavierUniform(5/3)", xavierUniform(5 / 3), (5 / 3) * Math.sqrt(6 / 500)],
  ["heUniform", heUniform, Math.sqrt(6 / 300)],
  ["lecunUniform", lecunUniform, Math.sqrt(3 / 300)],
  ["pytorchUniform(64)", pytorchUniform(64), 1 / 8],
];

const normals: readonly [string, Initializer, number][] = [
  ["normal(0.02)", normal(0.02), 0.02],
  ["xavierNormal()", xavierNormal(), Math.sqrt(2 / 500)],
  ["xavierNormal(2)", xavierNormal(2), 2 * Math.sqrt(2 / 500)],
  ["heNormal", heNormal, Math.sqrt(2 / 300)],
  ["lecunNormal", lecunNormal, Math.sqrt(1 / 300)],
];

// Five standard errors of each statistic: the seed is fixed, and another one would fail once in a million.
describe("statistics of 60,000 draws", () => {
  it.each(uniforms)("%s fills its range evenly", (_, initializer, bound) => {
    const values = initializer(shape, createRng(7));
    expect(values).toHaveLength(draws);
    const variance = bound ** 2 / 3;
    expect(Math.abs(mean(values))).toBeLessThan(5 * Math.sqrt(variance / draws));
    expect(Math.abs(moment(values, 2) / variance - 1)).toBeLessThan(5 * Math.sqrt(0.8 / draws));
    expect(Math.abs(moment(values, 4) / variance ** 2 - 1.8)).toBeLessThan(0.05);
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    expect(largest).toBeLessThanOrEqual(bound);
    expect(largest).toBeGreaterThan(0.999 * bound);
  });

  it.each(normals)("%s is normal", (_, initializer, deviation) => {
    const values = initializer(shape, createRng(7));
    expect(values).toHaveLength(draws);
    expect(Math.abs(mean(values))).toBeLessThan(5 * (deviation / Math.sqrt(draws)));
    expect(Math.abs(moment(values, 2) / deviation ** 2 - 1)).toBeLessThan(5 * Math.sqrt(2 / draws));
    expect(Math.abs(moment(values, 3) / deviation ** 3)).toBeLessThan(5 * Math.sqrt(15 / draws));
    expect(Math.abs(moment(values, 4) / deviation ** 4 - 3)).toBeLessThan(5 * Math.sqrt(96 / draws));
    const within = values.filter((value) => Math.abs(value) < deviation).length / draws;
    expect(Math.abs(within - 0.682689)).toBeLessThan(5 * Math.sqrt(0.2166 / draws));
  });

  it("neighbours do not depend on one another", () => {
    for (const initializer of [uniform(1), normal(1)]) {
      const values = initializer(shape, createRng(3));
      const products = values.slice(1).map((value, i) => value * values[i]!);
      expect(Math.abs(mean(products) / moment(values, 2))).toBeLessThan(5 / Math.sqrt(draws));
    }
  });

  it("a vector counts as [n, 1]", () => {
    const largest = Math.max(...xavierUniform()([5999], createRng(1)).map(Math.abs));
    expect(largest).toBeGreaterThan(0.999 * Math.sqrt(6 / 6000));
    expect(largest).toBeLessThanOrEqual(Math.sqrt(6 / 6000));
  });
});

/** A·Aᵀ of the rows first … first+count−1, or AᵀA of the columns. */
function gram(values: Float64Array, columns: number, first: number, count: number, ofColumns = false): number[][] {
  const block = values.subarray(first * columns, (first + count) * columns);
  const at = (r: number, c: number): number => block[r * columns + c]!;
  const [size, depth] = ofColumns ? [columns, count] : [count, columns];
  const dot = (i: number, j: number): number => {
    let sum = 0;
    for (let k = 0; k < depth; k++) sum += ofColumns ? at(k, i) * at(k, j) : at(i, k) * at(j, k);
    return sum;
  };
  return Array.from({ length: size }, (_, i) => Array.from({ length: size }, (_, j) => dot(i, j)));
}

function expectIdentity(matrix: readonly (readonly number[])[], scale = 1): void {
  const errors = matrix.flatMap((row, i) => row.map((value, j) => Math.abs(value - (i === j ? scale : 0))));
  expect(Math.max(...errors)).toBeLessThan(1e-12);
}

describe("orthogonal", () => {
  it.each([1, 3, 7, 65])("QᵀQ = QQᵀ = 1 for %s × itself", (size) => {
    const values = orthogonal()([size, size], createRng(5));
    expectIdentity(gram(values, size, 0, size));
    expectIdentity(gram(values, size, 0, size, true));
  });

  it("has orthonormal rows where it is wide and columns where it is tall", () => {
    expectIdentity(gram(orthogonal()([3, 7], createRng(5)), 7, 0, 3));
    expectIdentity(gram(orthogonal()([7, 3], createRng(5)), 3, 0, 7, true));
  });

  it("is scaled by the gain", () => {
    expectIdentity(gram(orthogonal({ gain: 3 })([5, 5], createRng(5)), 5, 0, 5), 9);
  });

  it("makes each gate of a stack orthogonal by itself", () => {
    const values = orthogonal({ blocks: 4 })([4 * 6, 6], createRng(5));
    for (let gate = 0; gate < 4; gate++) expectIdentity(gram(values, 6, 6 * gate, 6));
    expect(values.subarray(0, 36)).not.toEqual(values.subarray(36, 72));
  });

  it("is drawn evenly: both signs of the determinant occur, and no element leans to one side", () => {
    let [sum, positive] = [0, 0];
    for (let seed = 0; seed < 400; seed++) {
      const [a, b, c, d] = orthogonal()([2, 2], createRng(seed)) as unknown as [number, number, number, number];
      sum += a;
      if (a * d - b * c > 0) positive++;
    }
    expect(Math.abs(sum)).toBeLessThan(5 * Math.sqrt(400 / 2));
    expect(Math.abs(positive - 200)).toBeLessThan(50);
  });

  it("refuses blocks that do not divide the rows", () => {
    expect(() => orthogonal({ blocks: 4 })([6, 6], createRng(1))).toThrow(UserError);
    expect(() => orthogonal({ blocks: 4 })([6, 6], createRng(1))).toThrow("[6, 6] does not divide into 4 blocks");
  });
});

describe("figures that are not drawn", () => {
  it("constants", () => {
    expect([
      ...zeroInit([2], createRng(1)),
      ...oneInit([2], createRng(1)),
      ...constantOf(-2)([1, 1], createRng(1)),
    ]).toEqual([0, 0, 1, 1, -2]);
  });

  it("the identity, square or not", () => {
    expect([...identity()([2, 2], createRng(1))]).toEqual([1, 0, 0, 1]);
    expect([...identity(0.5)([2, 3], createRng(1))]).toEqual([0.5, 0, 0, 0, 0.5, 0]);
    expect([...identity()([3, 2], createRng(1))]).toEqual([1, 0, 0, 1, 0, 0]);
  });

  it("one gate's bias, the others as they were", () => {
    const plain = uniform(0.1)([12], createRng(4));
    const biased = gateBias(uniform(0.1), 1, 4, 1)([12], createRng(4));
    expect([...biased.subarray(3, 6)]).toEqual([1, 1, 1]);
    expect([...biased.subarray(0, 3), ...biased.subarray(6)]).toEqual([...plain.subarray(0, 3), ...plain.subarray(6)]);
  });
});

describe("chrono", () => {
  const [hidden, longest] = [5000, 100];
  const values = chrono(longest)([4 * hidden], createRng(9));
  const [input, forget] = [values.subarray(0, hidden), values.subarray(hidden, 2 * hidden)];

  it("draws forget biases whose exponentials fill 1 … longest − 1", () => {
    const spans = forget.map(Math.exp);
    expect(Math.min(...spans)).toBeGreaterThanOrEqual(1);
    expect(Math.max(...spans)).toBeLessThanOrEqual(longest - 1);
    expect(Math.max(...spans)).toBeGreaterThan(0.99 * (longest - 1));
    const [centre, deviation] = [longest / 2, (longest - 2) / Math.sqrt(12)];
    expect(Math.abs(mean(spans) - centre)).toBeLessThan(5 * (deviation / Math.sqrt(hidden)));
    expect(Math.abs(moment(spans, 2) / deviation ** 2 - 1)).toBeLessThan(5 * Math.sqrt(0.8 / hidden));
  });

  it("mirrors them in the input biases and leaves the others at 0", () => {
    expect([...input]).toEqual([...forget].map((value) => -value));
    expect(values.subarray(2 * hidden).every((value) => value === 0)).toBe(true);
  });

  it("refuses dependencies that are none", () => {
    expect(() => chrono(2)([8], createRng(1))).toThrow("chrono: the longest dependency must be above 2 steps, not 2");
  });
});

describe("seeds", () => {
  const others: typeof uniforms = [
    ["orthogonal()", orthogonal(), 1],
    ["chrono(9)", chrono(9), 8],
  ];
  it.each([...uniforms, ...normals, ...others])(
    "%s draws the same from one seed, something else from another",
    (_, initializer) => {
      const from = (seed: number | string): number[] => [...initializer([8, 8], createRng(seed))];
      expect(from(1)).toEqual(from(1));
      expect(from("1:weight_hh_l0")).toEqual(from("1:weight_hh_l0"));
      expect(from(1)).not.toEqual(from(2));
      expect(from(1)).toEqual(from("1"));
    },
  );
});
