import { describe, expect, it } from "vitest";
import { enableRelaxedSimd } from "../../../src/backend/wasm/flags-node.js";
import type { WasmOptions } from "../../../src/backend/wasm/index.js";
import { split, tilesOf, tuning128, tuning256 } from "../../../src/backend/wasm/kernels/products/blocking.js";
import type { Product } from "../../../src/program/program.js";
import { kernel, loop, workbench } from "./workbench.js";

enableRelaxedSimd();

interface Case {
  m: number;
  n: number;
  k: number;
  transposeA?: boolean;
  transposeB?: boolean;
  accumulate?: boolean;
  /** Elements between rows beyond the columns, for all three. */
  gap?: number;
}

function product(bench: ReturnType<typeof workbench>, c: Case, step = 0, steps = 1) {
  const gap = c.gap ?? 0;
  const matrix = (name: string, rows: number, columns: number, moves: boolean) =>
    bench.matrix(name, rows, columns, {
      stride: columns + gap,
      offset: gap,
      step: moves ? rows * (columns + gap) * step : 0,
      steps,
    });
  return {
    kind: "product" as const,
    a: c.transposeA ? matrix("a", c.k, c.m, true) : matrix("a", c.m, c.k, true),
    b: c.transposeB ? matrix("b", c.n, c.k, false) : matrix("b", c.k, c.n, false),
    out: matrix("out", c.m, c.n, true),
    transposeA: c.transposeA ?? false,
    transposeB: c.transposeB ?? false,
    accumulate: c.accumulate ?? false,
  } satisfies Product;
}

const forms = [
  { transposeA: false, transposeB: false },
  { transposeA: false, transposeB: true },
  { transposeA: true, transposeB: false },
  { transposeA: true, transposeB: true },
];

const engines: { name: string; wasm: WasmOptions }[] = [
  { name: "fused", wasm: {} },
  { name: "without relaxed SIMD", wasm: { relaxedSimd: "off" } },
  { name: "cut for 256-bit revectorisation", wasm: { revectorized: true } },
];

for (const { name: engine, wasm } of engines) {
  describe(`matrix products, ${engine}`, () => {
    for (const form of forms) {
      const name = `${form.transposeA ? "Aᵀ" : "A"}·${form.transposeB ? "Bᵀ" : "B"}`;
      it(`${name}: all sizes of 1, 3, 7, 8, 65`, async () => {
        const sizes = [1, 3, 7, 8, 65];
        for (const m of sizes) {
          for (const n of sizes) {
            for (const k of sizes) {
              const bench = workbench();
              await bench.run([kernel(product(bench, { m, n, k, ...form }))], { wasm });
            }
          }
        }
      });

      it(`${name}: every number of rows, in tiles of several heights and over several panels`, async () => {
        for (let m = 2; m <= 40; m++) {
          const bench = workbench();
          const one = product(bench, { m, n: 50 + (m % 19), k: 4 + (m % 5), ...form, accumulate: m % 2 === 0 });
          await bench.run([kernel(one)], { wasm });
        }
      });

      it(`${name}: accumulated, between other columns`, async () => {
        for (const [m, n, k] of [
          [2, 5, 9],
          [25, 24, 33],
          [9, 33, 130],
          [50, 31, 6],
          [1, 50, 64],
          [33, 1, 17],
          [5, 2, 40],
        ] as const) {
          const bench = workbench();
          await bench.run([kernel(product(bench, { m, n, k, ...form, accumulate: true, gap: 5 }))], { wasm });
        }
      });

      it(`${name}: of one, two and three columns`, async () => {
        for (const n of [1, 2, 3]) {
          for (const [m, k] of [
            [33, 17],
            [40, 300],
            [130, 1],
          ] as const) {
            for (const accumulate of [false, true]) {
              const bench = workbench();
              await bench.run([kernel(product(bench, { m, n, k, ...form, accumulate }))], { wasm });
              const twice = workbench();
              const inLoop = product(twice, { m, n, k, ...form, accumulate, gap: 2 }, 1, 2);
              await twice.run([loop(2, false, [kernel(inLoop)])], { wasm });
            }
          }
        }
      });

      it(`${name}: depths and rows of many blocks`, async () => {
        for (const [m, n, k] of [
          [37, 20, 1031],
          // More numbers than are taken to be near: they are fetched first.
          [67, 20, 1031],
          [1033, 9, 70],
          [12, 20, 1300],
          [523, 9, 70],
          [1, 9, 1100],
        ] as const) {
          for (const accumulate of [false, true]) {
            const bench = workbench();
            await bench.run([kernel(product(bench, { m, n, k, ...form, accumulate }))], { wasm, tolerance: 1e-5 });
          }
        }
      });

      it(`${name}: in a loop, where B is packed before it`, async () => {
        for (const [m, n, k] of [
          [1, 65, 16],
          [3, 7, 5],
          [4, 8, 8],
          [25, 33, 19],
          [6, 40, 530],
          [26, 100, 9],
          [50, 70, 12],
        ] as const) {
          for (const reverse of [false, true]) {
            const bench = workbench();
            const moving = product(bench, { m, n, k, ...form, accumulate: reverse, gap: reverse ? 3 : 0 }, 1, 4);
            await bench.run([loop(4, reverse, [kernel(moving)])], { wasm, tolerance: 5e-6 });
          }
        }
      });
    }

    it("sees what the loop writes into B", async () => {
      const bench = workbench();
      const first = product(bench, { m: 9, n: 9, k: 9 });
      const second = { ...first, b: first.out, out: first.b };
      await bench.run([loop(3, false, [kernel(first), kernel(second)])], { wasm, tolerance: 1e-5 });
    });

    it("of one shape run on their own numbers, each with its own packing", async () => {
      for (const size of [
        { m: 9, n: 9, k: 9 },
        { m: 9, n: 2, k: 17, transposeA: true },
        { m: 9, n: 1, k: 17, transposeA: true },
        { m: 3, n: 2, k: 5, transposeB: true },
      ]) {
        const bench = workbench();
        const inLoop = Array.from({ length: 3 }, () => kernel(product(bench, size, 1, 4)));
        const outside = Array.from({ length: 2 }, () => kernel(product(bench, size)));
        const offset = product(bench, { ...size, gap: 5 });
        const moved = product(bench, { ...size, gap: 5 });
        const out = { ...moved.out, buffer: offset.out.buffer, offset: 0 };
        await bench.run([loop(4, true, inLoop), ...outside, kernel(offset), kernel({ ...moved, out })], {
          wasm,
          tolerance: 1e-5,
        });
      }
    });

    it("repacks in every run", async () => {
      const bench = workbench();
      const first = product(bench, { m: 9, n: 9, k: 9 }, 1, 2);
      const change = kernel({ kind: "fill", value: 0.5, out: bench.view(first.b.buffer, 1, 3) });
      await bench.run([loop(2, false, [kernel(first)]), change], { wasm, runs: 2 });
    });
  });
}

describe("splitting a depth into blocks", () => {
  it("takes even parts where there is a divisor", () => {
    expect(split(2500, 128)).toEqual({ size: 125, count: 20, rest: 0 });
    expect(split(100, 128)).toEqual({ size: 100, count: 1, rest: 0 });
    const { size, count, rest } = split(1031, 128);
    expect(size * count + rest).toBe(1031);
  });
});

describe("tiling rows", () => {
  it("covers every number of rows, with at most one wide tile, at the end", () => {
    for (const tuning of [tuning128, tuning256]) {
      for (let m = 1; m <= 1300; m++) {
        const tiles = tilesOf(m, tuning);
        expect(tiles.reduce((sum, { rows, count }) => sum + rows * count, 0)).toBe(m);
        if (m <= tuning.fewRows.length) continue;
        const wide = tiles.filter(({ columns }) => columns > tuning.panel);
        expect(wide.reduce((sum, { count }) => sum + count, 0)).toBeLessThanOrEqual(1);
        expect(tiles.indexOf(wide[0]!)).toBe(wide.length > 0 ? tiles.length - 1 : -1);
      }
    }
  });

  it("takes what is fastest", () => {
    const heights = (m: number, tuning = tuning128): string =>
      tilesOf(m, tuning)
        .map(({ rows, count }) => `${count}×${rows}`)
        .join(" + ");
    expect(heights(25)).toBe("5×5");
    expect(heights(16)).toBe("1×6 + 2×5");
    expect(heights(8)).toBe("1×6 + 1×2");
    expect(heights(25, tuning256)).toBe("3×6 + 1×5 + 1×2");
    expect(heights(50, tuning256)).toBe("8×6 + 1×2");
  });
});
