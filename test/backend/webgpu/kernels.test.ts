import { describe, expect, it } from "vitest";
import { chooseTiling } from "../../../src/backend/webgpu/wgsl/product.js";
import { gridOf } from "../../../src/backend/webgpu/wgsl/source.js";
import type { Product, Reduce } from "../../../src/program/program.js";
import { createBench, kernel, loop } from "./bench.js";
import { testBackend } from "./driver.js";

const backend = (await testBackend())!;

type Shape = readonly [m: number, n: number, k: number];
/** Odd edges, and depths that are cut into parts. */
const shapes: readonly Shape[] = [
  [1, 1, 1],
  [1, 70, 33],
  [3, 5, 7],
  [17, 33, 65],
  [7, 9, 2500],
  [65, 64, 700],
];
/** What each tiling is chosen for. */
const tilingShapes: Readonly<Record<string, Shape>> = {
  "16×16": [33, 17, 35],
  "4×64": [1, 2500, 33],
  "16×64": [15, 4100, 9],
  "32×32": [65, 1000, 17],
  "32×64": [50, 2501, 9],
  "64×64": [101, 2500, 9],
  "128×128": [127, 12_001, 3],
  "64×4": [2500, 1, 33],
  "64×16": [4100, 15, 9],
  "64×32": [2501, 65, 5],
};

const limits = { invocations: 256, workgroupStorage: 16_384 };

describe("the tiling of products", () => {
  it("follows the shape and the device's limits", () => {
    for (const [name, [m, n, k]] of Object.entries(tilingShapes)) {
      const { tiling } = chooseTiling({ m, n, k }, limits);
      expect(`${tiling.rows}×${tiling.columns}`).toBe(name);
    }
    expect(chooseTiling({ m: 7, n: 9, k: 2500 }, limits).parts).toBeGreaterThan(1);
    expect(chooseTiling({ m: 4096, n: 4096, k: 1024 }, limits)).toMatchObject({ tiling: { rows: 128 }, parts: 1 });
    const { tiling } = chooseTiling({ m: 4096, n: 4096, k: 1024 }, { invocations: 256, workgroupStorage: 8192 });
    // A four more for each depth of each side.
    expect((tiling.rows + 4 + tiling.columns + 4) * tiling.depth * 4).toBeLessThanOrEqual(8192);
    expect(() => chooseTiling({ m: 1, n: 1, k: 1 }, { invocations: 16, workgroupStorage: 16_384 })).toThrow(
      /no product/,
    );
  });
});

describe("a grid", () => {
  it("has as many workgroups as are wanted, no more than 65 535 in a dimension, and few too many", () => {
    for (const count of [1, 65_535, 65_536, 1_000_000, 4_300_000]) {
      const [x, y, z] = gridOf(count);
      expect(Math.max(x, y, z)).toBeLessThanOrEqual(65_535);
      expect(x * y * z).toBeGreaterThanOrEqual(count);
      expect(x * y * z - count).toBeLessThan(y);
    }
  });
});

describe.runIf(backend)("kernels on the device", () => {
  it.each([
    [false, false],
    [false, true],
    [true, false],
    [true, true],
  ])("multiply, A transposed %s, B transposed %s, stored and added", async (transposeA, transposeB) => {
    const bench = createBench(1);
    // Both ways to fetch each side are in two of the four.
    const tiled = transposeA === transposeB ? [] : Object.values(tilingShapes);
    const products = [...shapes, ...tiled].flatMap(([m, n, k], i) =>
      (m * n > 100_000 ? [transposeA] : [false, true]).map((accumulate) => {
        const sides = {
          a: transposeA ? ([k, m] as const) : ([m, k] as const),
          b: transposeB ? ([n, k] as const) : ([k, n] as const),
        };
        const product: Product = {
          kind: "product",
          a: bench.matrix(`a ${i}`, ...sides.a, { stride: sides.a[1] + 3, offset: 2 }),
          b: bench.matrix(`b ${i}`, ...sides.b),
          out: bench.matrix(`out ${i} ${accumulate}`, m, n, { stride: n + 1, offset: 5 }),
          transposeA,
          transposeB,
          accumulate,
        };
        return kernel(product);
      }),
    );
    await bench.agree(backend, bench.program(products), 3e-6);
  });

  it("multiply at every step of a loop, forward and in reverse", async () => {
    const bench = createBench(2);
    const [steps, m, n, k] = [5, 7, 33, 18];
    const body = (name: string) =>
      kernel({
        kind: "product",
        a: bench.matrix(`a ${name}`, m, k, { steps, step: m * k }),
        b: bench.matrix(`b ${name}`, k, n),
        out: bench.matrix(`out ${name}`, m, n, { steps, step: m * n, offset: 3 }),
        transposeA: false,
        transposeB: false,
        accumulate: true,
      });
    await bench.agree(backend, bench.program([loop(steps, false, [body("f")]), loop(steps, true, [body("r")])]));
  });

  it("sum and find the largest along rows, columns and all, few and many", async () => {
    const bench = createBench(3);
    const reduces: Reduce[] = [];
    const view = (rows: number, columns: number) =>
      bench.matrix(`input ${reduces.length}`, rows, columns, { stride: columns + 2, offset: 1 });
    const out = (rows: number, columns: number) =>
      bench.matrix(`out ${reduces.length}`, rows, columns, { stride: columns + 1, offset: 1 });
    for (const op of ["sum", "max"] as const)
      for (const square of op === "sum" ? [false, true] : [false]) {
        for (const [rows, columns] of [
          [1, 1],
          [9, 3],
          [34, 65],
          [3, 700],
          [2, 5],
        ] as const) {
          const rule = { kind: "reduce", op, square } as const;
          reduces.push({ ...rule, axis: "columns", input: view(rows, columns), out: out(rows, 1) });
          reduces.push({ ...rule, axis: "all", input: view(rows, columns), out: out(1, 1) });
        }
        for (const [rows, period, columns] of [
          [1, 1, 5],
          [9, 3, 7],
          [100, 4, 65],
          [12, 12, 3],
          [2051 * 3, 3, 7],
          [5000, 1, 70],
        ] as const) {
          const rule = { kind: "reduce", op, square, axis: "rows" } as const;
          reduces.push({ ...rule, input: view(rows, columns), out: out(period, columns) });
          if (op === "sum")
            reduces.push({ ...rule, accumulate: true, input: view(rows, columns), out: out(period, columns) });
        }
      }
    await bench.agree(backend, bench.program(reduces.map(kernel)));
  });

  it("sum a million numbers as well as 64 bits do", async () => {
    const bench = createBench(4);
    const input = bench.matrix("input", 1000, 1000, { data: () => 0.1 });
    const sum = {
      kind: "reduce",
      op: "sum",
      axis: "all",
      square: false,
      input,
      out: bench.matrix("out", 1, 1),
    } as const;
    const tall = bench.matrix("tall", 250_000, 4, { data: () => 0.1 });
    const overRows = { ...sum, axis: "rows", input: tall, out: bench.matrix("sums", 1, 4) } as const;
    await bench.agree(backend, bench.program([kernel(sum), kernel(overRows)]), 3e-7);
  });

  it("keep what is not a number when they look for the largest", async () => {
    const bench = createBench(5);
    const data = (i: number): number => (i === 17 ? Number.NaN : i);
    const reduces = (["rows", "columns", "all"] as const).map((axis) => {
      const [rows, columns] = axis === "rows" ? [1, 7] : axis === "columns" ? [5, 1] : [1, 1];
      const input = bench.matrix(`input ${axis}`, 5, 7, { data });
      return kernel({
        kind: "reduce",
        op: "max",
        axis,
        square: false,
        input,
        out: bench.matrix(axis, rows!, columns!),
      });
    });
    await bench.agree(backend, bench.program(reduces));
  });

  it("look rows up and add them back, in order, indices outside too", async () => {
    const bench = createBench(6);
    const kernels = (
      [
        [5, 9, 3],
        [65, 333, 70],
        [700, 40, 5],
        [9, 600, 300],
      ] as const
    ).flatMap(([table, rows, columns], i) => {
      const index = () =>
        bench.matrix(`index ${i}`, rows, 1, { type: "index", data: (j) => ((j * 7) % (table + 3)) - 1 });
      return [
        kernel({
          kind: "gather",
          table: bench.matrix(`table ${i}`, table, columns, { stride: columns + 2 }),
          index: index(),
          out: bench.matrix(`rows ${i}`, rows, columns),
        }),
        kernel({
          kind: "scatter",
          input: bench.matrix(`input ${i}`, rows, columns),
          index: index(),
          out: bench.matrix(`sums ${i}`, table, columns, { offset: 2 }),
        }),
      ];
    });
    await bench.agree(backend, bench.program(kernels));
  });

  it("softmax in place, of large numbers and rows of one column", async () => {
    const bench = createBench(7);
    const kernels = [false, true].flatMap((log) =>
      (
        [
          [1, 1],
          [3, 6],
          [70, 4],
          [5, 65],
          [2, 1000],
        ] as const
      ).map(([rows, columns]) => {
        const data = (i: number): number => ((i * 37) % 101) * (i % 3 === 0 ? 3 : 1) - 100;
        const input = bench.matrix(`${log} ${rows}×${columns}`, rows, columns, { stride: columns + 1, data });
        return kernel({ kind: "softmax", log, input, out: input });
      }),
    );
    await bench.agree(backend, bench.program(kernels));
  });

  it("transpose, fill and copy whole numbers that no float holds", async () => {
    const bench = createBench(8);
    const whole = (i: number): number => 2 ** 30 - 1 - i * 64;
    const of = { rows: 3, columns: 5 };
    const input = bench.matrix("whole", of.rows, of.columns, { type: "index", data: whole });
    const out = bench.matrix("copied", of.rows, of.columns, { type: "index", data: () => 0 });
    const found = await bench.agree(
      backend,
      bench.program([
        kernel({
          kind: "transpose",
          input: bench.matrix("x", 37, 50, { stride: 51 }),
          out: bench.matrix("xT", 50, 37),
        }),
        kernel({ kind: "transpose", input: bench.matrix("y", 1, 50), out: bench.matrix("yT", 50, 1, { stride: 2 }) }),
        kernel({ kind: "fill", value: -2.5, out: bench.matrix("filled", 4, 7, { stride: 9, offset: 1 }) }),
        kernel({ kind: "chain", ...of, loads: [input], code: [], stores: [{ value: 0, to: out, flush: false }] }),
      ]),
    );
    expect(found.get("copied")![1]).toBe(whole(1));
  });

  it("take more workgroups than one dimension has", async () => {
    const bench = createBench(9);
    const [rows, columns] = [4300, 1001];
    const out = bench.matrix("filled", rows, columns, { data: () => 0 });
    await bench.agree(backend, bench.program([kernel({ kind: "fill", value: 3, out })]));
  });
});
