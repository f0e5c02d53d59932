import { describe, it } from "vitest";
import { enableRelaxedSimd } from "../../../src/backend/wasm/flags-node.js";
import { kernel, loop, workbench } from "./workbench.js";

enableRelaxedSimd();

const sizes = [1, 3, 4, 7, 8, 65];
const everyShape = async (body: (rows: number, columns: number, gap: number) => Promise<unknown>): Promise<void> => {
  for (const rows of [1, 3, 9, 34])
    for (const columns of sizes) for (const gap of [0, 3]) await body(rows, columns, gap);
};

for (const relaxedSimd of ["auto", "off"] as const) {
  const wasm = { relaxedSimd };
  describe(`reduce, relaxed SIMD ${relaxedSimd}`, () => {
    for (const op of ["sum", "max"] as const) {
      for (const square of op === "sum" ? [false, true] : [false]) {
        for (const axis of ["columns", "all"] as const) {
          it(`${op} of ${square ? "squares of " : ""}${axis}`, () =>
            everyShape(async (rows, columns, gap) => {
              const bench = workbench();
              const input = bench.matrix("input", rows, columns, { stride: columns + gap });
              const out =
                axis === "all" ? bench.matrix("out", 1, 1) : bench.matrix("out", rows, 1, { stride: 1 + gap });
              await bench.run([kernel({ kind: "reduce", op, axis, square, input, out })], { wasm });
            }));
        }
        it(`${op} of ${square ? "squares of " : ""}rows, with periods`, async () => {
          for (const [rows, period] of [
            [1, 1],
            [5, 1],
            [8, 1],
            [9, 1],
            [100, 1],
            [100, 4],
            [12, 12],
            [51, 3],
            [17, 17],
          ] as const) {
            for (const columns of sizes) {
              const bench = workbench();
              const input = bench.matrix("input", rows, columns, { stride: columns + 2 });
              const out = bench.matrix("out", period, columns, { stride: columns + 1, offset: 1 });
              await bench.run([kernel({ kind: "reduce", op, axis: "rows", square, input, out })], { wasm });
            }
          }
        });
      }
    }

    it("adds sums of rows to what is there, step by step", async () => {
      for (const [rows, columns] of [
        [1, 5],
        [3, 4],
        [8, 13],
        [17, 7],
      ] as const) {
        const bench = workbench();
        const input = bench.matrix("input", rows, columns, { steps: 5, step: rows * columns });
        const out = bench.matrix("out", 1, columns);
        const sum = { kind: "reduce", op: "sum", axis: "rows", square: false, accumulate: true, input, out } as const;
        await bench.run([loop(5, true, [kernel(sum)])], { wasm });
      }
    });

    it("lets NaN through to the largest", async () => {
      for (const axis of ["rows", "columns", "all"] as const) {
        const bench = workbench();
        const input = bench.matrix("input", 5, 7, { data: (i) => (i === 17 ? Number.NaN : i) });
        const out =
          axis === "rows"
            ? bench.matrix("out", 1, 7)
            : axis === "columns"
              ? bench.matrix("out", 5, 1)
              : bench.matrix("out", 1, 1);
        await bench.run([kernel({ kind: "reduce", op: "max", axis, square: false, input, out })], { wasm });
      }
    });

    it("adds a million numbers in float64", async () => {
      const bench = workbench();
      const input = bench.matrix("input", 1000, 1000, { data: () => 0.1 });
      const out = bench.matrix("out", 1, 1);
      await bench.run([kernel({ kind: "reduce", op: "sum", axis: "all", square: false, input, out })], {
        wasm,
        tolerance: 1e-7,
      });
    });
  });

  describe(`softmax and cross-entropy, relaxed SIMD ${relaxedSimd}`, () => {
    for (const log of [false, true]) {
      it(log ? "log-softmax" : "softmax", () =>
        everyShape(async (rows, columns, gap) => {
          const bench = workbench();
          const input = bench.matrix("input", rows, columns, {
            stride: columns + gap,
            data: (i) => ((i * 37) % 101) / 5 - 10,
          });
          const out = bench.matrix("out", rows, columns, { stride: columns + gap });
          await bench.run([kernel({ kind: "softmax", log, input, out })], { wasm });
        }),
      );

      it(`${log ? "log-softmax" : "softmax"} of large numbers, in place`, async () => {
        const bench = workbench();
        const input = bench.matrix("input", 3, 6, {
          data: (i) => (i % 2 === 0 ? 1e30 : -1e30) * (i % 5 === 0 ? 1 : 0) + i * 100,
        });
        await bench.run([kernel({ kind: "softmax", log, input, out: input })], { wasm });
      });
    }

    for (const smoothing of [0, 0.1]) {
      for (const weighted of [false, true]) {
        for (const scaled of [undefined, "one", "each"] as const) {
          const name = `${scaled ? `gradient, ${scaled} scale` : "loss"}, smoothing ${smoothing}${weighted ? ", class weights" : ""}`;
          it(`cross-entropy: ${name}`, () =>
            everyShape(async (rows, V, gap) => {
              const bench = workbench();
              const logits = bench.matrix("logits", rows, V, { stride: V + gap, data: (i) => ((i * 31) % 17) / 3 - 2 });
              // Every class, and some outside.
              const target = bench.matrix("target", rows, 1, {
                stride: 1 + gap,
                type: "index",
                data: (i) => ((i * 7) % (V + 2)) - 1,
              });
              const weights = weighted ? bench.matrix("weights", 1, V, { data: (i) => 0.5 + (i % 3) }) : undefined;
              const scale = scaled
                ? bench.matrix("scale", scaled === "one" ? 1 : rows, 1, { data: (i) => 0.3 + (i % 3) })
                : undefined;
              const out = scale
                ? bench.matrix("out", rows, V, { stride: V + gap })
                : bench.matrix("out", rows, 1, { stride: 1 + gap });
              await bench.run([kernel({ kind: "crossEntropy", logits, target, weights, smoothing, scale, out })], {
                wasm,
              });
            }));
        }
      }
    }
  });
}

describe("kernels that move numbers", () => {
  const indices = (i: number) => [2, 0, -1, 4, 4, 1, 5, 2, 3, -7, 1000000][i % 11]!;

  it("gather", () =>
    everyShape(async (rows, columns, gap) => {
      const bench = workbench();
      const table = bench.matrix("table", 5, columns, { stride: columns + gap });
      const index = bench.matrix("index", rows, 1, { stride: 1 + gap, type: "index", data: indices });
      const out = bench.matrix("out", rows, columns, { stride: columns + gap });
      await bench.run([kernel({ kind: "gather", table, index, out })]);
    }));

  it("scatter", () =>
    everyShape(async (rows, columns, gap) => {
      const bench = workbench();
      const input = bench.matrix("input", rows, columns, { stride: columns + gap });
      const index = bench.matrix("index", rows, 1, { stride: 1 + gap, type: "index", data: indices });
      const out = bench.matrix("out", 5, columns, { stride: columns + gap });
      await bench.run([kernel({ kind: "scatter", input, index, out })]);
    }));

  it("transpose", () =>
    everyShape(async (rows, columns, gap) => {
      const bench = workbench();
      const input = bench.matrix("input", rows, columns, { stride: columns + gap });
      const out = bench.matrix("out", columns, rows, { stride: rows + gap, offset: 1 });
      await bench.run([kernel({ kind: "transpose", input, out })]);
    }));

  it("fill, of floats and of whole numbers", () =>
    everyShape(async (rows, columns, gap) => {
      const bench = workbench();
      const out = bench.matrix("out", rows, columns, { stride: columns + gap });
      const counts = bench.matrix("counts", rows, columns, { stride: columns + gap, type: "index" });
      await bench.run([kernel({ kind: "fill", value: -1.5, out }), kernel({ kind: "fill", value: -3, out: counts })]);
    }));

  it("all of them in a loop with steps", async () => {
    const bench = workbench();
    const [T, N, D] = [3, 4, 5];
    const table = bench.matrix("table", 6, D);
    const index = bench.matrix("index", N, 1, { step: N, steps: T, type: "index", data: (i) => (i * 5) % 7 });
    const rows = bench.matrix("rows", N, D, { step: N * D, steps: T });
    const turned = bench.matrix("turned", D, N, { step: N * D, steps: T });
    const sums = bench.matrix("sums", N, 1, { step: N, steps: T });
    await bench.run([
      loop(T, true, [
        kernel({ kind: "gather", table, index, out: rows }),
        kernel({ kind: "transpose", input: rows, out: turned }),
        kernel({ kind: "softmax", log: false, input: rows, out: rows }),
        kernel({ kind: "reduce", op: "max", axis: "columns", square: false, input: rows, out: sums }),
      ]),
    ]);
  });
});
