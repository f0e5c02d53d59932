/** Loops carried out whole and step by step, against the reference. */
import { afterAll, describe, expect, it } from "vitest";
import type { Backend } from "../../../src/backend/contract.js";
import { evaluate } from "../../../src/backend/evaluate.js";
import { reference } from "../../../src/backend/reference/index.js";
import type { Plan } from "../../../src/backend/webgpu/dispatch.js";
import { type WebGpuBackend, webgpu } from "../../../src/backend/webgpu/index.js";
import { type Cell, defineCell } from "../../../src/cells/cell.js";
import { gru } from "../../../src/cells/gru.js";
import { lstm } from "../../../src/cells/lstm.js";
import { rnn } from "../../../src/cells/rnn.js";
import * as language from "../../../src/graph/language.js";
import type { Variable } from "../../../src/graph/variable.js";
import { adam, createTrainer, crossEntropy, readText, textBatches, textModel } from "../../../src/index.js";
import type { Kernel, View } from "../../../src/program/program.js";
import { createBench, kernel, loop } from "./bench.js";
import { nullDevice, testDevice } from "./driver.js";
import { type Case, isWhole, layerCase, programOf, stepwiseLoops, wholeLoops } from "./loop-cases.js";

const device = await testDevice();
const whole = device && webgpu({ device });
const stepwise = device && webgpu({ device, stepwise: true });
const both: readonly (readonly [string, WebGpuBackend])[] =
  whole && stepwise
    ? [
        ["whole", whole],
        ["step by step", stepwise],
      ]
    : [];
const unrun = await webgpu({ device: await nullDevice() }).createSession();
afterAll(() => unrun.dispose());
/** Of the largest value of each result. */
const tolerance = 2e-5;

/** Runs a case both ways; each of its loops must be one dispatch, or another step by step. */
async function agree(made: Case): Promise<void> {
  const { plan } = await unrun.compile(programOf(made));
  expect(stepwiseLoops(plan)).toEqual([]);
  expect(wholeLoops(plan).length).toBeGreaterThan(1);
  if (both.length === 0) return;
  const feeds = made.feeds.map(([target, data]) => [target, data] as [Variable, ArrayLike<number>]);
  const expected = await evaluate(reference(), made.outputs, feeds);
  for (const [way, backend] of both) {
    const found = await evaluate(backend, made.outputs, feeds);
    for (const [name, values] of Object.entries(expected)) {
      const wanted = Array.from(values as ArrayLike<number>);
      const largest = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const error = wanted.reduce((most, value, i) => Math.max(most, Math.abs(value - found[name]![i]!)), 0);
      expect(error, `${name}, ${way}`).toBeLessThanOrEqual(tolerance * largest);
    }
  }
}

/** Two states, sums and largest values of rows, softmax and random numbers on the way from one step to the next. */
const ownCell = (hidden: number): Cell => {
  const seed = language.current({ name: "own seed", shape: [1], type: "index", initial: [-77] } as Variable);
  return defineCell<"h" | "m", "weight" | "recurrent" | "mix">({
    name: "own",
    state: { h: hidden, m: hidden + 1 },
    parameters: (input) => ({ weight: [hidden, input], recurrent: [hidden, hidden], mix: [hidden + 1, hidden] }),
    step(x, { h, m }, w) {
      const z = language.layerNormalize(language.linear(h, w.recurrent), undefined, undefined, 0.1);
      const next = language.tanh(z.add(language.linear(x, w.weight)).add(h.sub(language.maxColumns(h))));
      const attention = language.softmax(language.linear(language.dropped(next, 0.3, seed, 3), w.mix));
      return { h: next.mul(0.9), m: m.mul(0.5).add(language.logSoftmax(m.mul(attention))) };
    },
  });
};

const sizes = [
  [1, 3],
  [3, 1],
  [7, 65],
  [65, 3],
  [2, 256],
] as const;
const cells = { rnn, lstm, gru } as const;

describe.each(Object.entries(cells))("a loop of %s", (_name, cell) => {
  it.each(sizes)("agrees for %i rows and %i hidden features, in both directions", async (rows, hidden) => {
    await agree(layerCase(cell(hidden), { rows, steps: hidden > 100 ? 2 : 4 }, { bidirectional: true }));
  });
});

describe("a loop of", () => {
  it("an LSTM with projection and peepholes agrees, two layers of it and learned initial states", async () => {
    const cell = lstm(13, { projection: 5, peepholes: true });
    await agree(layerCase(cell, { rows: 7 }, { layers: 2, initialState: "learned" }));
  });

  it("a GRU that resets before the product agrees", async () => {
    await agree(layerCase(gru(9, { reset: "before" }), { rows: 65 }, { bidirectional: true }));
  });

  it.each(Object.entries(cells))("%s over rows of many lengths agrees", async (_name, cell) => {
    await agree(
      layerCase(cell(6), { rows: 9, steps: 5, lengths: [5, 1, 3, 2] }, { bidirectional: true, output: "last" }),
    );
  });

  it("an LSTM under variational dropout agrees", async () => {
    await agree(layerCase(lstm(10), { rows: 5, training: true }, { variationalDropout: 0.3, layers: 2 }));
  });

  it.each([1, 5, 65])("a cell of one's own agrees for %i rows", async (rows) => {
    await agree(layerCase(ownCell(11), { rows }, { bidirectional: true }));
  });
});

const elementwise = { rows: 0, columns: 0 };

describe.runIf(whole)("a window recomputed in segments", () => {
  const text = readText("time flows back and on. ".repeat(30), { validation: 0 });

  async function losses(backend: Backend): Promise<number[]> {
    const model = textModel({ vocabularySize: text.vocabulary.size, cell: "lstm", hidden: 9, layers: 2, dropout: 0.2 });
    const trainer = await createTrainer(model, {
      loss: crossEntropy(),
      optimizer: adam({ learningRate: 0.01 }),
      bptt: { window: 11, recompute: 4 },
      batch: 3,
      backend,
    });
    const found: number[] = [];
    for await (const { loss, gradientNorm } of trainer.fit(textBatches(text), { steps: 4 }))
      found.push(loss, gradientNorm);
    trainer.dispose();
    return found;
  }

  it("agrees", async () => {
    const expected = await losses(reference());
    for (const [way, backend] of both)
      (await losses(backend)).forEach((loss, i) => {
        expect(Math.abs(loss - expected[i]!), way).toBeLessThan(1e-5 * expected[i]!);
      });
  });
});

/** One dispatch, whose invocations wait for what others write to memory. */
function expectOrdered(plan: Plan): void {
  expect(wholeLoops(plan)).toHaveLength(1);
  expect(wholeLoops(plan)[0]!.code).toContain("storageBarrier();");
}

describe.each([false, true])("kernels in a loop, reverse %s,", (reverse) => {
  const prepare = (seed: number, rows: number, steps: number) => {
    const bench = createBench(seed);
    const at = (name: string, columns: number, more = {}): View => bench.matrix(name, rows, columns, more);
    /** What was there two steps ago, before the step, after it, and what the next step will write over. */
    const history = (name: string, columns: number): readonly [View, View, View, View] => {
      const size = rows * columns;
      const first = at(name, columns, { steps: steps + 3, step: size });
      const slots = [0, 1, 2, 3].map((slot) => ({ ...first, offset: slot * size })) as [View, View, View, View];
      return reverse ? (slots.reverse() as typeof slots) : slots;
    };
    const overTime = (name: string, columns: number, stride = columns): View =>
      at(name, columns, { steps, step: rows * stride, stride });
    const pointwise = (
      columns: number,
      loads: View[],
      code: { op: string; args?: number[]; value?: number }[],
      ...stores: (readonly [number, View])[]
    ): Kernel =>
      kernel({
        ...elementwise,
        kind: "chain",
        rows,
        columns,
        loads,
        code,
        stores: stores.map(([value, to]) => ({ value, to, flush: false })),
      } as never);
    return { bench, at, history, overTime, pointwise };
  };

  it.each([1, 7, 65, 300])("of every kind agree for %i rows", async (rows) => {
    const steps = 4;
    const { bench, at, history, overTime, pointwise } = prepare(rows, rows, steps);
    const index = at("index", 1, { type: "index", steps, step: rows, data: (i: number) => ((i * 5) % 11) - 1 });
    const table = bench.matrix("table", 9, 7, { stride: 8 });
    const [x, y] = [at("x", 7, { stride: 10, offset: 2 }), at("y", 7)];
    const [largest, square] = [at("largest", 1), at("square", 1)];
    const [state, part] = [at("state", 7), overTime("part", 3, 8)];
    const [, old, next] = history("history", 5);
    const common = { transposeA: false, accumulate: false } as const;
    const body: Kernel[] = [
      kernel({ kind: "gather", table, index, out: x }),
      pointwise(7, [x, state], [{ op: "add", args: [0, 1] }], [2, x]),
      kernel({ kind: "reduce", op: "max", axis: "columns", square: false, input: x, out: largest }),
      kernel({ kind: "reduce", op: "sum", axis: "columns", square: true, input: x, out: square }),
      kernel({ kind: "softmax", log: false, input: x, out: x }),
      kernel({
        ...common,
        kind: "product",
        a: x,
        b: bench.matrix("b", 7, 5, { stride: 6 }),
        out: next,
        transposeB: false,
        accumulate: true,
      }),
      // Written by a product, so that it comes by way of memory.
      kernel({ ...common, kind: "product", a: old, b: bench.matrix("c", 7, 5), out: y, transposeB: true }),
      kernel({ kind: "softmax", log: true, input: y, out: y }),
      kernel({ kind: "fill", value: 0.25, out: part }),
      kernel({
        ...common,
        kind: "product",
        a: part,
        b: bench.matrix("d", 3, 7),
        out: y,
        transposeB: false,
        accumulate: true,
      }),
      pointwise(
        7,
        [y, largest, square],
        [
          { op: "tanh", args: [0] },
          { op: "sigmoid", args: [1] },
          { op: "mul", args: [3, 4] },
          { op: "softplus", args: [2] },
          { op: "div", args: [5, 6] },
        ],
        [7, state],
      ),
    ];
    const program = bench.program([loop(steps, reverse, body)]);
    expectOrdered((await unrun.compile(program)).plan);
    for (const [, backend] of both) await bench.agree(backend, program, 5e-6);
  });

  it.each([1, 40])(
    "see what was written at the right step for %i rows: before, after, two steps ago, not yet",
    async (rows) => {
      const steps = 6;
      const { bench, at, history, overTime, pointwise } = prepare(rows, rows, steps);
      const columns = 6;
      const [ago, old, next, later] = history("state", columns);
      const [before, after, given] = [
        overTime("before", columns),
        overTime("after", columns),
        overTime("given", columns, 9),
      ];
      const right = (view: View): View => ({ ...view, columns: 3, offset: view.offset + 3 });
      const left = (view: View): View => ({ ...view, columns: 3 });
      const add = [{ op: "add", args: [0, 1] }];
      const half = [
        { op: "constant", value: 0.5 },
        { op: "add", args: [0, 1] },
        { op: "mul", args: [2, 3] },
      ];
      const weights = bench.matrix("weights", columns, columns);
      const moved = at("moved", columns);
      const product = (a: View, out: View): Kernel =>
        kernel({ kind: "product", a, b: weights, out, transposeA: false, transposeB: true, accumulate: false });
      const body: Kernel[] = [
        product(old, moved),
        // A half of the state at a time, the other half crosswise.
        pointwise(3, [left(old), right(moved)], half, [4, left(next)]),
        pointwise(3, [right(old), left(next)], half, [4, right(next)]),
        // The state before the step, when the next is there already.
        product(old, before),
        product(next, after),
        pointwise(columns, [given, next], add, [2, given]),
        pointwise(columns, [before, ago], add, [2, before]),
        pointwise(columns, [after, later], add, [2, after]),
      ];
      const program = bench.program([loop(steps, reverse, body)]);
      expectOrdered((await unrun.compile(program)).plan);
      for (const [, backend] of both) await bench.agree(backend, program, 5e-6);
    },
  );
});

it("temporaries that share memory within a step do not spoil other rows", async () => {
  const rows = 120;
  const bench = createBench(3);
  const x = bench.matrix("x", rows, 9, { steps: 5, step: rows * 9 });
  const y = bench.matrix("y", rows, 2, { steps: 5, step: rows * 2 });
  const plain = bench.program([]);
  const buffers = [
    ...plain.buffers,
    ...["wide", "middle", "narrow"].map((name, i) => ({
      id: 2 + i,
      size: rows * 9,
      type: "float" as const,
      name,
      kind: "temporary" as const,
    })),
  ];
  const local = (buffer: number, columns: number): View => ({
    buffer,
    rows,
    columns,
    offset: 0,
    stride: columns,
    step: 0,
  });
  const [wide, middle, narrow] = [local(2, 9), local(3, 1), local(4, 2)];
  const chain = (columns: number, loads: View[], to: View): Kernel =>
    kernel({
      kind: "chain",
      rows,
      columns,
      loads,
      code: [{ op: "add", args: [0, 1] }],
      stores: [{ value: 2, to, flush: false }],
    });
  const body = [
    chain(9, [x, x], wide),
    kernel({ kind: "reduce", op: "sum", axis: "columns", square: false, input: wide, out: middle }),
    chain(2, [middle, middle], narrow),
    chain(2, [narrow, y], y),
  ];
  const offsets = new Map([
    [2, 0],
    [3, 16 * rows],
    [4, 0],
  ]);
  const program = bench.program([loop(5, false, body)], { buffers, plan: { offsets, size: 17 * rows } });
  expect(wholeLoops((await unrun.compile(program)).plan)).toHaveLength(1);
  for (const [, backend] of both) await bench.agree(backend, program, 5e-6);
});

describe("a loop in a commit", () => {
  it.runIf(whole)("writes nothing where a guard is not finite", async () => {
    const bench = createBench(4);
    const rows = 5;
    const state = bench.matrix("state", rows, 3, { data: () => 1 });
    const kept = bench.matrix("kept", rows, 3, { steps: 3, step: 3 * rows, data: () => 2 });
    const guard = bench.matrix("guard", 1, 1, { data: () => Number.NaN });
    const doubled = kernel({
      kind: "chain",
      rows,
      columns: 3,
      loads: [state],
      code: [{ op: "add", args: [0, 0] }],
      stores: [state, kept].map((to) => ({ value: 1, to, flush: false })),
    });
    const program = bench.program([], { guards: [guard], commit: [loop(3, false, [doubled])] });
    expect((await unrun.compile(program)).plan.commit.filter(isWhole)).toHaveLength(1);
    const found = await bench.agree(whole!, program);
    expect(found.get("state")![0]).toBe(1);
    const finite = createBench(4);
    finite.matrix("state", rows, 3, { data: () => 1 });
    finite.matrix("kept", rows, 3, { steps: 3, step: 3 * rows, data: () => 2 });
    finite.matrix("guard", 1, 1, { data: () => 0 });
    const written = await finite.agree(whole!, finite.program([], { guards: [guard], commit: program.commit }));
    expect(written.get("state")![0]).toBe(8);
  });
});
