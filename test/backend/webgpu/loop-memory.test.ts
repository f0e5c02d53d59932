/** What a loop that is carried out whole leaves in the device's memory: all that anyone reads, and nothing that it has not written. */
import { afterAll, describe, expect, it } from "vitest";
import { evaluate } from "../../../src/backend/evaluate.js";
import { reference } from "../../../src/backend/reference/index.js";
import { webgpu } from "../../../src/backend/webgpu/index.js";
import { gru } from "../../../src/cells/gru.js";
import { lstm } from "../../../src/cells/lstm.js";
import { rnn } from "../../../src/cells/rnn.js";
import { type Variable, variable } from "../../../src/graph/variable.js";
import { lower } from "../../../src/program/lower.js";
import type { Kernel, View } from "../../../src/program/program.js";
import { throughput } from "../../../src/program/throughput.js";
import { createBench, kernel, loop } from "./bench.js";
import { nullDevice, testDevice } from "./driver.js";
import { layerCase, programOf, wholeLoops } from "./loop-cases.js";

const device = await testDevice();
const backend = device && webgpu({ device });
const unrun = await webgpu({ device: await nullDevice() }).createSession();
afterAll(() => unrun.dispose());

describe.each([lstm(6), gru(5)])("the loops of $name", (cell) => {
  const { outputs, feeds } = layerCase(cell, { rows: 3, steps: 4 });
  const results = Object.entries(outputs).map(([name, tensor]) => ({ variable: variable(name, tensor.shape), tensor }));
  const program = (keep: boolean) => lower({ name: "case", results, keep }, throughput);
  /** What follows the last step. */
  const ends = async (keep: boolean): Promise<string[]> =>
    wholeLoops((await unrun.compile(program(keep))).plan).map(({ code }) => code.split("if (step + 1u ==")[1] ?? "");

  it("leave the products of a step in a workgroup's memory, unless they are to be looked at", async () => {
    const [forward] = await ends(false);
    expect(forward).toBe("");
    for (const end of await ends(true)) expect(end).toMatch(/temporaries\[/);
  });

  it.runIf(backend)("leave every temporary of a program compiled with `keep`", async () => {
    const made = program(true);
    const found: ArrayLike<number>[][] = [];
    const looked = made.buffers.filter(({ kind, id }) => kind === "temporary" && made.plan.offsets.has(id));
    for (const each of [reference(), backend!]) {
      const session = await each.createSession();
      const executable = await session.compile(made);
      for (const [target, data] of feeds) session.write(target, data);
      executable.run();
      const values: ArrayLike<number>[] = [];
      for (const { id } of looked) values.push(await executable.peek(id));
      found.push(values);
      session.dispose();
    }
    expect(looked.length).toBeGreaterThan(10);
    looked.forEach(({ name }, i) => {
      const [wanted, got] = [Array.from(found[0]![i]!), Array.from(found[1]![i]!)];
      const largest = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const error = wanted.reduce((most, value, j) => Math.max(most, Math.abs(value - got[j]!)), 0);
      expect(error, name).toBeLessThanOrEqual(2e-5 * largest);
    });
  });
});

describe("two loops that write columns between one another's", () => {
  const [rows, steps] = [5, 4];
  const bench = createBench(1);
  const state = bench.matrix("state", rows, 6);
  const over = bench.matrix("over", rows, 8, { steps, step: 8 * rows });
  const part = (view: View, from: number, columns: number): View => ({ ...view, offset: view.offset + from, columns });
  const from = (name: string, columns: number): View =>
    bench.matrix(name, rows, columns, { steps, step: rows * columns });
  const doubled = (source: View, ...to: View[]): Kernel =>
    kernel({
      kind: "chain",
      rows,
      columns: source.columns,
      loads: [source],
      code: [{ op: "add", args: [0, 0] }],
      stores: to.map((view) => ({ value: 1, to: view, flush: false })),
    });
  const around = [
    doubled(from("a", 2), part(state, 0, 2), part(over, 0, 2)),
    doubled(from("b", 2), part(state, 4, 2), part(over, 4, 2)),
  ];
  const between = [doubled(from("c", 2), part(state, 2, 2), part(over, 2, 2)), doubled(from("d", 2), part(over, 6, 2))];
  const program = bench.program([loop(steps, false, around), loop(steps, true, between)]);

  it.runIf(backend)("leave them alone", async () => {
    await bench.agree(backend!, program);
  });

  it("copy back no column but their own", async () => {
    const [first] = wholeLoops((await unrun.compile(program)).plan);
    const end = first!.code.split("if (step + 1u ==")[1]!;
    expect(end.match(/variables\[.*\] = /g)).toHaveLength(2);
    expect(end).not.toMatch(/e < 30u|e < 6u/);
  });
});

describe("two loops over the two halves of a sequence, one of them in reverse,", () => {
  const [rows, steps, columns] = [5, 4, 3];
  const bench = createBench(2);
  const weights = bench.matrix("weights", columns, columns);
  const both = bench.matrix("both", rows, columns, { stride: 2 * columns, steps, step: 2 * columns * rows });
  const body = (name: string, half: number): Kernel[] => {
    const [state, moved] = [bench.matrix(`${name} state`, rows, columns), bench.matrix(`${name} moved`, rows, columns)];
    const input = bench.matrix(`${name} input`, rows, columns, { steps, step: rows * columns });
    const out = { ...both, offset: half * columns };
    const product = { a: state, b: weights, out: moved, transposeA: false, transposeB: false, accumulate: false };
    return [
      kernel({ kind: "product", ...product }),
      kernel({
        kind: "chain",
        rows,
        columns,
        loads: [moved, input],
        code: [
          { op: "add", args: [0, 1] },
          { op: "tanh", args: [2] },
        ],
        stores: [state, out].map((to) => ({ value: 3, to, flush: false })),
      }),
    ];
  };
  const program = bench.program([loop(steps, false, body("left", 0)), loop(steps, true, body("right", 1))]);

  it("are one dispatch", async () => {
    const { plan } = await unrun.compile(program);
    expect(plan.compute.map((each) => "how" in each && each.how)).toEqual([
      "2 together: 4 steps in one dispatch, 1 row a workgroup",
    ]);
  });

  it.runIf(backend)("agree", async () => {
    await bench.agree(backend!, program);
  });
});

it.each([lstm(8), rnn(7)])(
  "the two directions of layers of $name run side by side, forward and backward",
  async (cell) => {
    const { name } = cell;
    const made = layerCase(cell, { rows: 6, steps: 5 }, { bidirectional: true, layers: 2 });
    const { plan } = await unrun.compile(programOf(made));
    expect(wholeLoops(plan).map(({ label }) => label)).toEqual([
      `${name}_l0 + ${name}_l0_reverse`,
      `${name}_l1 + ${name}_l1_reverse`,
      `${name}_l1_reverse: backward + ${name}_l1: backward`,
      `${name}_l0_reverse: backward + ${name}_l0: backward`,
    ]);
    if (!backend) return;
    const feeds = made.feeds.map(([target, data]) => [target, data] as [Variable, ArrayLike<number>]);
    const expected = await evaluate(reference(), made.outputs, feeds);
    const found = await evaluate(backend, made.outputs, feeds);
    for (const [result, values] of Object.entries(expected)) {
      const wanted = Array.from(values as ArrayLike<number>);
      const largest = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const error = wanted.reduce((most, value, i) => Math.max(most, Math.abs(value - found[result]![i]!)), 0);
      expect(error, result).toBeLessThanOrEqual(2e-5 * largest);
    }
  },
);
