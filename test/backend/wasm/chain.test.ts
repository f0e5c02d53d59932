import { describe, expect, it } from "vitest";
import { enableRelaxedSimd } from "../../../src/backend/wasm/flags-node.js";
import { passesOf } from "../../../src/backend/wasm/kernels/passes.js";
import { binaryNames, unaryNames } from "../../../src/graph/pointwise.js";
import { randomKey, randomUniform } from "../../../src/graph/random.js";
import type { Instruction, Kernel, View } from "../../../src/program/program.js";
import { kernel, loop, noise, workbench } from "./workbench.js";

enableRelaxedSimd();

const chain = (rows: number, columns: number, loads: View[], code: Instruction[], stores: [number, View, boolean?][]) =>
  kernel({
    kind: "chain",
    rows,
    columns,
    loads,
    code,
    stores: stores.map(([value, to, flush]) => ({ value, to, flush: flush ?? false })),
  });

const sizes = [1, 3, 4, 7, 8, 65];

for (const wasm of [{ relaxedSimd: "auto" }, { relaxedSimd: "off" }, { revectorized: true }] as const) {
  describe(`fused chains, ${JSON.stringify(wasm)}`, () => {
    for (const op of unaryNames) {
      it(op, async () => {
        const positive = op === "log" || op === "sqrt" || op === "log1p";
        const bench = workbench();
        const random = noise(3);
        const data = () => (positive ? Math.abs(random(0)) * 9 : random(0) * 9);
        const x = bench.matrix("x", 5, 13, { data });
        const y = bench.matrix("y", 5, 13);
        await bench.run([chain(5, 13, [x], [{ op, args: [0] }], [[1, y]])], { wasm, tolerance: 3e-7 });
      });
    }

    for (const op of binaryNames) {
      it(op, async () => {
        const edges = [0, -0, 1, -1, 0.5, 2, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
        const bench = workbench();
        const size = edges.length ** 2;
        const a = bench.matrix("a", 1, size, { data: (i) => edges[i % edges.length]! });
        const b = bench.matrix("b", 1, size, { data: (i) => edges[Math.floor(i / edges.length) % edges.length]! });
        const out = bench.matrix("out", 1, size);
        const run = await bench.run([chain(1, size, [a, b], [{ op, args: [0, 1] }], [[2, out]])], { wasm });
        // The sign of zero, too.
        const functions: Partial<Record<typeof op, (x: number, y: number) => number>> = {
          max: Math.max,
          min: Math.min,
        };
        const exact = functions[op];
        if (!exact) return;
        const got = run.outputs.get(out.buffer)!;
        for (let i = 0; i < size; i++) {
          expect(got[i]).toBe(exact(edges[i % edges.length]!, edges[Math.floor(i / edges.length)]!));
        }
      });
    }

    for (const op of ["max", "min"] as const) {
      it(`${op} beside a constant`, async () => {
        const edges = [0, -0, 1, -1, 0.5, 2, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
        for (const value of edges) {
          for (const args of [
            [0, 1],
            [1, 0],
          ]) {
            const bench = workbench();
            const x = bench.matrix("x", 1, edges.length, { data: (i) => edges[i % edges.length]! });
            const out = bench.matrix("out", 1, edges.length);
            const code: Instruction[] = [
              { op: "constant", value },
              { op, args },
            ];
            const { outputs } = await bench.run([chain(1, edges.length, [x], code, [[2, out]])], { wasm });
            for (const [i, edge] of edges.entries())
              expect(outputs.get(out.buffer)![i], `${op}(${edge}, ${value})`).toBe(Math[op](edge, value));
          }
        }
      });
    }

    it("select never leaks the other branch, and takes NaN for true", async () => {
      const bench = workbench();
      const condition = bench.matrix("condition", 1, 6, { data: (i) => [0, 1, -0, Number.NaN, 2 ** -149, 0][i] ?? 0 });
      const a = bench.matrix("a", 1, 6, {
        data: (i) => [Number.NaN, 1, Number.NaN, 3, 4, Number.POSITIVE_INFINITY][i] ?? 0,
      });
      const b = bench.matrix("b", 1, 6, { data: (i) => [5, Number.NaN, 6, Number.NaN, Number.NaN, 7][i] ?? 0 });
      const out = bench.matrix("out", 1, 6);
      await bench.run([chain(1, 6, [condition, a, b], [{ op: "select", args: [0, 1, 2] }], [[3, out]])], { wasm });
    });

    it("selects by comparisons, alone and as numbers", async () => {
      const bench = workbench();
      const x = bench.matrix("x", 3, 7);
      const y = bench.matrix("y", 3, 7);
      const out = bench.matrix("out", 3, 7);
      const mask = bench.matrix("mask", 3, 7);
      const code: Instruction[] = [
        { op: "less", args: [0, 1] },
        { op: "lessEqual", args: [1, 0] },
        { op: "select", args: [2, 0, 1] },
        { op: "add", args: [3, 4] },
      ];
      await bench.run(
        [
          chain(3, 7, [x, y], code, [
            [5, out],
            [2, mask],
          ]),
        ],
        { wasm },
      );
    });

    it("fuses products into sums and differences, and keeps those used twice", async () => {
      const bench = workbench();
      const [a, b, c] = ["a", "b", "c"].map((name) => bench.matrix(name, 5, 9)) as [View, View, View];
      const outs = [0, 1, 2, 3].map((i) => bench.matrix(`out${i}`, 5, 9));
      const code: Instruction[] = [
        { op: "mul", args: [0, 1] }, // 3, used once
        { op: "mul", args: [1, 2] }, // 4, used once
        { op: "add", args: [3, 4] }, // 5
        { op: "mul", args: [0, 2] }, // 6, used twice
        { op: "sub", args: [5, 6] }, // 7
        { op: "sub", args: [6, 0] }, // 8
        { op: "mul", args: [0, 0] }, // 9, used once
        { op: "sub", args: [9, 1] }, // 10
        { op: "mul", args: [2, 2] }, // 11, used once
        { op: "add", args: [1, 11] }, // 12
      ];
      await bench.run(
        [
          chain(5, 9, [a, b, c], code, [
            [7, outs[0]!],
            [8, outs[1]!],
            [10, outs[2]!],
            [12, outs[3]!],
          ]),
        ],
        { wasm },
      );
    });

    it("takes functions of functions in passes, and all at once where a pass would not find what it needs", async () => {
      const functions: Record<
        string,
        { code: Instruction[]; stores: [number, "x" | "y" | "z" | "out"][]; passes: number[] }
      > = {
        "as an LSTM's c' and h', in place": {
          code: [
            { op: "sigmoid", args: [0] }, // 2: a gate
            { op: "mul", args: [2, 1] }, // 3: c'
            { op: "tanh", args: [3] }, // 4
            { op: "mul", args: [4, 2] }, // 5: h'
          ],
          stores: [
            [2, "x"],
            [3, "y"],
            [5, "z"],
          ],
          passes: [2, 1],
        },
        "three deep, something cheap in the first pass": {
          code: [
            { op: "abs", args: [1] }, // 2
            { op: "exp", args: [0] }, // 3
            { op: "tanh", args: [3] }, // 4
            { op: "add", args: [4, 2] }, // 5: made anew in the last pass
            { op: "sigmoid", args: [5] }, // 6
          ],
          stores: [
            [6, "z"],
            [3, "x"],
            [4, "y"],
          ],
          // y, which |y| is made of, has been written.
          passes: [3],
        },
        "three deep": {
          code: [
            { op: "exp", args: [0] },
            { op: "tanh", args: [2] },
            { op: "add", args: [3, 1] },
            { op: "sigmoid", args: [4] },
          ],
          stores: [
            [5, "z"],
            [2, "x"],
            [3, "out"],
          ],
          passes: [1, 1, 1],
        },
        "a load that is written over and needed again": {
          code: [
            { op: "sigmoid", args: [0] },
            { op: "mul", args: [2, 0] },
            { op: "tanh", args: [3] },
          ],
          stores: [
            [2, "x"],
            [4, "z"],
          ],
          passes: [2],
        },
        "what is not stored": {
          code: [
            { op: "sigmoid", args: [0] },
            { op: "tanh", args: [2] },
            { op: "mul", args: [3, 1] },
          ],
          stores: [
            [3, "y"],
            [4, "z"],
          ],
          passes: [2],
        },
      };
      for (const [name, { code, stores, passes }] of Object.entries(functions)) {
        for (const [rows, columns] of [
          [1, 1],
          [3, 13],
          [2, 1030],
        ] as const) {
          const bench = workbench();
          const place = { stride: columns + 3, offset: 2 };
          const views = Object.fromEntries(
            ["x", "y", "z", "out"].map((view) => [view, bench.matrix(view, rows, columns, place)]),
          ) as Record<string, View>;
          const to = stores.map(([value, view]): [number, View] => [value, views[view]!]);
          const whole = chain(rows, columns, [views.x!, views.y!], code, to);
          const found = passesOf(whole as Kernel & { kind: "chain" }, columns).map((pass) => pass.stores.length);
          expect(found, `${name}, ${rows}×${columns}`).toEqual(columns > 1024 ? [stores.length] : passes);
          await bench.run([whole], { wasm });
        }
      }
    });

    it("reads rows, columns, single numbers and periods beside full matrices", async () => {
      for (const rows of [1, 6, 12]) {
        for (const columns of sizes) {
          for (const gap of [0, 5]) {
            const bench = workbench();
            const place = (width: number) => ({ stride: width + gap, offset: gap });
            const full = bench.matrix("full", rows, columns, place(columns));
            const row = bench.matrix("row", 1, columns);
            const column = bench.matrix("column", rows, 1, { stride: 1 + gap });
            const single = bench.matrix("single", 1, 1, { offset: 2 });
            const period = Math.ceil(rows / 3);
            const periodic = bench.matrix("periodic", period, columns, place(columns));
            const periodicColumn = bench.matrix("periodicColumn", period, 1, { stride: 1 + gap });
            const out = bench.matrix("out", rows, columns, place(columns));
            const code: Instruction[] = [
              { op: "mul", args: [0, 1] },
              { op: "add", args: [6, 2] },
              { op: "mul", args: [7, 3] },
              { op: "sub", args: [8, 4] },
              { op: "add", args: [9, 5] },
            ];
            const loads = [full, row, column, single, periodic, periodicColumn];
            await bench.run([chain(rows, columns, loads, code, [[10, out]])], { wasm });
          }
        }
      }
    });

    it("writes column slices of a wider matrix and leaves their neighbours alone", async () => {
      for (const columns of sizes) {
        const bench = workbench();
        const wide = bench.buffer("wide", 5 * 4 * columns + 4);
        const gate = (i: number) => bench.view(wide, 5, columns, { offset: i * columns, stride: 4 * columns });
        const code: Instruction[] = [
          { op: "sigmoid", args: [0] },
          { op: "tanh", args: [1] },
          { op: "mul", args: [2, 3] },
        ];
        // Onto a load, and onto another slice.
        await bench.run(
          [
            chain(5, columns, [gate(0), gate(2)], code, [
              [4, gate(1)],
              [2, gate(0)],
            ]),
          ],
          { wasm },
        );
      }
    });

    it("walks through a loop forwards and in reverse, with steps, one state behind another", async () => {
      for (const reverse of [false, true]) {
        for (const columns of sizes) {
          const bench = workbench();
          const [T, N] = [5, 3];
          const x = bench.matrix("x", N, columns, { step: N * columns, steps: T });
          const states = bench.buffer("states", (T + 1) * N * columns);
          const at = (offset: number) =>
            bench.view(states, N, columns, { offset: offset * N * columns, step: N * columns });
          const [from, to] = reverse ? [at(1), at(0)] : [at(0), at(1)];
          const code: Instruction[] = [
            { op: "constant", value: 0.7 },
            { op: "mul", args: [1, 2] },
            { op: "add", args: [0, 3] },
            { op: "tanh", args: [4] },
          ];
          await bench.run([loop(T, reverse, [chain(N, columns, [x, from], code, [[5, to]])])], { wasm });
        }
      }
    });

    it("fetches in a loop what comes from far, once for all gates, and nothing that is near", async () => {
      const [steps, rows, H] = [120, 9, 61];
      for (const reverse of [false, true]) {
        const bench = workbench();
        const over = (name: string, stride: number) => {
          const all = bench.buffer(name, (steps + 2) * rows * stride);
          return (from: number, columns: number, later = 0): View =>
            bench.view(all, rows, columns, {
              offset: (1 + later) * rows * stride + from,
              stride,
              step: rows * stride,
            });
        };
        const inputs = over("inputs", 4 * H); // 263,520 numbers, by one load
        const gates = over("gates", 4 * H);
        const wide = over("wide", 7 * H); // more than is read
        const states = over("states", 4 * H); // the last step's are near
        const made = over("made", 4 * H); // at this step
        const few = over("few", 2 * H);
        const weights = bench.matrix("weights", rows, 2 * H);
        const c = reverse ? 1 : -1;
        const sources = [
          ...[gates(0, H), gates(2 * H, H), gates(3 * H, H)],
          ...[wide(H, H), wide(3 * H, H)],
          ...[made(0, H), made(2 * H, H)],
          ...[states(0, H, c), states(H, H, c)],
          ...[few(0, H), few(H, H)],
          ...[weights, { ...weights, offset: H }].map((view) => ({ ...view, columns: H })),
        ];
        const sums = sources.slice(1).map((_, i): Instruction => {
          const last = i === 0 ? 0 : sources.length + i - 1;
          return { op: i % 2 ? "add" : "mul", args: [last, i + 1] };
        });
        const sum = sources.length + sums.length - 1;
        const body = [
          chain(rows, 4 * H, [inputs(0, 4 * H)], [{ op: "tanh", args: [0] }], [[1, made(0, 4 * H)]]),
          chain(rows, H, sources, sums, [
            [sum, gates(0, H)],
            [sum - 1, gates(3 * H, H)],
            [sum, states(0, H)],
          ]),
        ];
        const { profile } = await bench.run([loop(steps, reverse, body)], { wasm: { ...wasm, profile: true } });
        const fetches = profile
          .filter(({ label }) => label.endsWith(": fetch"))
          .map(({ label, calls }) => [label, calls]);
        expect(fetches).toEqual([[`${body[1]!.label}: fetch`, steps]]);
      }
    });

    it("keeps apart chains that differ in a constant's sign, or in an infinity", async () => {
      const bench = workbench();
      const constants = [0, -0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN];
      const outs = constants.map((value, i) => ({ value, out: bench.matrix(`out ${i}`, 1, 5) }));
      const { outputs } = await bench.run(
        outs.map(({ value, out }) => chain(1, 5, [], [{ op: "constant", value }], [[0, out]])),
        { wasm },
      );
      for (const { value, out } of outs) expect(outputs.get(out.buffer)![0]).toBe(value);
    });

    it("of one shape read and write in their own places, two views of one buffer apart", async () => {
      const bench = workbench();
      const one = bench.buffer("one", 64);
      const two = bench.buffer("two", 64);
      const sum = (a: View, b: View, out: View) => chain(3, 4, [a, b], [{ op: "sub", args: [0, 1] }], [[2, out]]);
      const at = (buffer: number, offset: number) => bench.view(buffer, 3, 4, { offset, stride: 10 });
      await bench.run(
        [
          sum(at(one, 0), at(one, 4), at(two, 0)),
          sum(at(two, 0), at(two, 4), at(one, 5)),
          sum(at(two, 4), at(two, 0), at(one, 0)),
          sum(at(one, 1), at(two, 5), at(one, 1)),
        ],
        { wasm },
      );
    });

    it("draws the random numbers of graph/random.ts, bit for bit", async () => {
      for (const [rows, columns, gap] of [
        [1, 1, 0],
        [3, 7, 0],
        [4, 8, 0],
        [3, 7, 2],
        [6, 65, 1],
      ] as const) {
        const bench = workbench();
        const T = 3;
        const seed = bench.matrix("seed", 1, 1, { data: () => 20240611, type: "index" });
        const size = rows * (columns + gap);
        const out = bench.matrix("out", rows, columns, { stride: columns + gap, step: size, steps: T });
        const other = bench.matrix("other", rows, columns, { stride: columns + gap, step: size, steps: T });
        const code: Instruction[] = [
          { op: "random", key: 17, seed: 0 },
          { op: "random", key: 4000000000, seed: 0 },
        ];
        const draw = chain(rows, columns, [seed], code, [
          [1, out],
          [2, other],
        ]);
        const { outputs } = await bench.run([loop(T, true, [draw])], { wasm, tolerance: 0 });
        const key = randomKey(20240611, 17);
        for (let t = 0; t < T; t++) {
          for (let r = 0; r < rows; r++) {
            for (let c = 0; c < columns; c++) {
              const got = outputs.get(out.buffer)![t * size + r * (columns + gap) + c];
              expect(got).toBe(randomUniform(key, (t * rows + r) * columns + c));
            }
          }
        }
      }
    });

    it("reads whole numbers as numbers and writes them", async () => {
      const bench = workbench();
      const index = bench.matrix("index", 4, 3, { data: (i) => i - 5, type: "index" });
      const limit = bench.matrix("limit", 4, 1, { data: (i) => 2 * i, type: "index" });
      const mask = bench.matrix("mask", 4, 3);
      const next = bench.matrix("next", 4, 3, { type: "index" });
      const code: Instruction[] = [
        { op: "less", args: [0, 1] },
        { op: "constant", value: 1 },
        { op: "add", args: [0, 3] },
      ];
      await bench.run(
        [
          chain(4, 3, [index, limit], code, [
            [2, mask],
            [4, next],
          ]),
        ],
        { wasm },
      );
    });

    it("flushes what is denormal or nearly so where it is told to, and keeps NaN", async () => {
      const numbers = [
        2 ** -149,
        -(2 ** -130),
        2 ** -126,
        -(2 ** -101),
        2 ** -100,
        -(2 ** -100),
        0,
        -0,
        Number.NaN,
        Number.POSITIVE_INFINITY,
        1,
      ];
      const size = numbers.length;
      const bench = workbench();
      const x = bench.matrix("x", 1, size, { data: (i) => numbers[i] ?? 0 });
      const kept = bench.matrix("kept", 1, size);
      const flushed = bench.matrix("flushed", 1, size, { data: () => 5 });
      const stores: [number, View, boolean][] = [
        [0, kept, false],
        [0, flushed, true],
      ];
      const { outputs } = await bench.run([chain(1, size, [x], [], stores)], { wasm, tolerance: 1e-30 });
      for (const [i, number] of numbers.entries()) {
        expect(outputs.get(kept.buffer)![i]).toBe(number);
        expect(outputs.get(flushed.buffer)![i]).toBe(Math.abs(number) < 2 ** -100 ? 0 : number);
      }
    });
  });
}
