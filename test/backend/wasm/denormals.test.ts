import { describe, expect, it } from "vitest";
import { compileOptimized, enableRelaxedSimd } from "../../../src/backend/wasm/flags-node.js";
import { wasm } from "../../../src/backend/wasm/index.js";
import type { Instruction, Program, Statement, Variable, View } from "../../../src/program/program.js";
import { kernel, loop } from "./workbench.js";

enableRelaxedSimd();

/** Arithmetic on denormal numbers takes hundreds of times as long; what decays must not slow a step by more than this. */
const LIMIT = 1.2;

const view = (buffer: number, rows: number, columns: number, step = 0, offset = 0): View => ({
  buffer,
  rows,
  columns,
  offset,
  stride: columns,
  step,
});

async function prepare(sizes: number[], compute: Statement[], fill: (buffer: number, i: number) => number) {
  const session = await wasm({ compile: compileOptimized }).createSession();
  const variables = sizes.map((size, id): Variable => ({ name: `v${id}`, shape: [size], type: "float" }));
  const program: Program = {
    name: "decay",
    buffers: sizes.map((size, id) => ({
      id,
      size,
      type: "float",
      name: `v${id}`,
      kind: "variable",
      variable: variables[id]!,
    })),
    compute,
    guards: [],
    commit: [],
    plan: { offsets: new Map(), size: 0 },
  };
  const executable = await session.compile(program);
  const start = sizes.map((size, id) => Float32Array.from({ length: size }, (_, i) => fill(id, i)));
  /** Every run decays anew. */
  const run = () => {
    for (const [id, variable] of variables.entries()) session.write(variable, start[id]!);
    executable.run();
  };
  return { run };
}

/** Milliseconds of the fastest run of each, taken in turns. */
function fastest(runs: readonly (() => unknown)[]): number[] {
  const best = runs.map(() => Number.POSITIVE_INFINITY);
  for (let i = 0; i < 60; i++) {
    for (const [j, run] of runs.entries()) {
      const before = performance.now();
      run();
      best[j] = Math.min(best[j]!, performance.now() - before);
    }
  }
  return best;
}

/** A loop as BPTT has it: z = h·f stored, h' = z·W; h shrinks by `f` (and W) from step to step. */
async function decayingLoop(factor: number) {
  const [N, H, T] = [8, 32, 120];
  const code: Instruction[] = [
    { op: "constant", value: factor },
    { op: "mul", args: [0, 1] },
  ];
  const body = [
    kernel({
      kind: "chain",
      rows: N,
      columns: H,
      loads: [view(0, N, H, N * H)],
      code,
      stores: [{ value: 2, to: view(1, N, H, N * H), flush: false }],
    }),
    kernel({
      kind: "product",
      a: view(1, N, H, N * H),
      b: view(2, H, H),
      out: view(0, N, H, N * H, N * H),
      transposeA: false,
      transposeB: false,
      accumulate: false,
    }),
  ];
  const outer = kernel({
    kind: "product",
    a: view(1, T * N, H),
    b: view(0, T * N, H),
    out: view(3, H, H),
    transposeA: true,
    transposeB: false,
    accumulate: false,
  });
  const identity = (i: number) => (Math.floor(i / H) === i % H ? 1 : 1e-4);
  return prepare([(T + 1) * N * H, T * N * H, H * H, H * H], [loop(T, false, body), outer], (id, i) =>
    id === 2 ? identity(i) : 0.5,
  );
}

/** Adam's moments with a gradient of 0: m' = 0.9·m, v' = 0.99·v, and what is done with them. */
async function decayingMoments(start: number) {
  const size = 4096;
  const code: Instruction[] = [
    { op: "constant", value: 0.9 },
    { op: "constant", value: 0.99 },
    { op: "mul", args: [0, 2] },
    { op: "mul", args: [1, 3] },
    { op: "sqrt", args: [5] },
    { op: "constant", value: 1e-8 },
    { op: "add", args: [6, 7] },
    { op: "div", args: [4, 8] },
  ];
  const flat = (id: number) => view(id, 1, size);
  const step = kernel({
    kind: "chain",
    rows: 1,
    columns: size,
    loads: [flat(0), flat(1)],
    code,
    stores: [
      { value: 4, to: flat(0), flush: true },
      { value: 5, to: flat(1), flush: true },
      { value: 9, to: flat(2), flush: false },
    ],
  });
  return prepare([size, size, size], [loop(100, false, [step])], () => start);
}

describe("numbers that decay into denormals", () => {
  it("do not slow a loop with products, nor the product over all steps after it", async () => {
    const [steady, decaying] = [await decayingLoop(0.98), await decayingLoop(0.4)];
    const [normal, slow] = fastest([steady.run, decaying.run]);
    expect(slow! / normal!).toBeLessThan(LIMIT);
  });

  it("do not slow the optimiser", async () => {
    const [steady, decaying] = [await decayingMoments(1), await decayingMoments(1e-35)];
    const [normal, slow] = fastest([steady.run, decaying.run]);
    expect(slow! / normal!).toBeLessThan(LIMIT);
  });

  it("do not slow a softmax with hopeless classes", async () => {
    const [rows, columns] = [64, 65];
    const softmax = kernel({ kind: "softmax", log: false, input: view(0, rows, columns), out: view(1, rows, columns) });
    const sizes = [rows * columns, rows * columns];
    const [close, apart] = [10, 100].map((gap) =>
      prepare(sizes, [softmax], (_, i) => (i % 3 === 0 ? 0 : -gap - (i % 7))),
    );
    const [normal, slow] = fastest([(await close!).run, (await apart!).run]);
    expect(slow! / normal!).toBeLessThan(LIMIT);
  });
});
