/** Loops that are carried out whole in several dispatches, cut anywhere: the same as in one, and as the reference. */
import { afterAll, describe, expect, it, vi } from "vitest";
import { evaluate } from "../../../src/backend/evaluate.js";
import { reference } from "../../../src/backend/reference/index.js";
import type { Plan } from "../../../src/backend/webgpu/dispatch.js";
import { webgpu } from "../../../src/backend/webgpu/index.js";
import type { Cell } from "../../../src/cells/cell.js";
import { gru } from "../../../src/cells/gru.js";
import { lstm } from "../../../src/cells/lstm.js";
import { rnn } from "../../../src/cells/rnn.js";
import type { Variable } from "../../../src/graph/variable.js";
import type { RecurrentOptions } from "../../../src/layers/recurrent.js";
import type { Kernel, View } from "../../../src/program/program.js";
import { createBench, kernel, loop } from "./bench.js";
import { nullDevice, testDevice } from "./driver.js";
import { layerCase, programOf, stepwiseLoops, wholeLoops } from "./loop-cases.js";

/** Steps of a dispatch, where they are not left to the estimate. */
const cut = vi.hoisted(() => ({ at: undefined as number | undefined }));
vi.mock("../../../src/backend/webgpu/loops/steps-at-once.js", async (original) => {
  const { stepsAtOnce } = await original<typeof import("../../../src/backend/webgpu/loops/steps-at-once.js")>();
  return {
    stepsAtOnce: (...given: Parameters<typeof stepsAtOnce>) => Math.min(cut.at ?? stepsAtOnce(...given), given[0]),
  };
});

async function cutAt<T>(steps: number | undefined, run: () => Promise<T>): Promise<T> {
  cut.at = steps;
  try {
    return await run();
  } finally {
    cut.at = undefined;
  }
}

const device = await testDevice();
const backend = device && webgpu({ device });
const unrun = await webgpu({ device: await nullDevice() }).createSession();
afterAll(() => unrun.dispose());

const STEPS = 7;
const cuts = [1, 2, 3, 6];

/** In dispatches of how many steps the loops are carried out. */
const piecesOf = (plan: Plan): number[] =>
  wholeLoops(plan).map(({ how }) => Number(/(\d+)(?: of \d+)? steps in one dispatch/.exec(how)![1]));
const lengths = (most: number): number[] =>
  Array.from({ length: Math.ceil(STEPS / most) }, (_, i) => Math.min(most, STEPS - i * most));

interface Layer {
  readonly cell: Cell;
  readonly rows: number;
  readonly options?: RecurrentOptions;
  readonly of?: Omit<Parameters<typeof layerCase>[1], "rows">;
}

const layers: Readonly<Record<string, Layer>> = {
  "an RNN in both directions": { cell: rnn(5), rows: 3, options: { bidirectional: true } },
  "an LSTM in both directions, several rows a workgroup": {
    cell: lstm(6),
    rows: 65,
    options: { bidirectional: true },
  },
  "a GRU with learned initial states": { cell: gru(9), rows: 1, options: { initialState: "learned", layers: 2 } },
  "an LSTM with projection and peepholes": { cell: lstm(13, { projection: 5, peepholes: true }), rows: 7 },
  "an LSTM over rows of many lengths": {
    cell: lstm(6),
    rows: 9,
    options: { bidirectional: true, output: "last" },
    of: { lengths: [7, 1, 3, 2] },
  },
  "a GRU under variational dropout": {
    cell: gru(8),
    rows: 5,
    options: { variationalDropout: 0.3 },
    of: { training: true },
  },
};

describe.each(Object.entries(layers))("cut into dispatches, %s", (_name, { cell, rows, options, of }) => {
  const made = layerCase(cell, { rows, steps: STEPS, ...of }, options);

  it("goes through all steps", async () => {
    const loops = piecesOf((await unrun.compile(programOf(made))).plan).length;
    for (const at of cuts) {
      const { plan } = await cutAt(at, () => unrun.compile(programOf(made)));
      expect(stepwiseLoops(plan)).toEqual([]);
      expect(piecesOf(plan).sort()).toEqual(
        Array.from({ length: loops })
          .flatMap(() => lengths(at))
          .sort(),
      );
    }
  });

  it.runIf(backend)("agrees to the last digit with one dispatch, and with the reference", async () => {
    const feeds = made.feeds.map(([target, data]) => [target, data] as [Variable, ArrayLike<number>]);
    const expected = await evaluate(reference(), made.outputs, feeds);
    const uncut = await evaluate(backend!, made.outputs, feeds);
    for (const at of cuts) {
      const found = await cutAt(at, () => evaluate(backend!, made.outputs, feeds));
      for (const [name, values] of Object.entries(expected)) {
        expect([...(found[name] as Float32Array)], `${name}, ${at} at once`).toEqual([...uncut[name]!]);
        const wanted = Array.from(values as ArrayLike<number>);
        const largest = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        const error = wanted.reduce((most, value, i) => Math.max(most, Math.abs(value - found[name]![i]!)), 0);
        expect(error, name).toBeLessThanOrEqual(2e-5 * largest);
      }
    }
  });
});

describe.each([false, true])("cut into dispatches, a loop made by hand, reverse %s,", (reverse) => {
  it.runIf(backend).each([1, 40])("carries on sums, states over time and older values for %i rows", async (rows) => {
    const bench = createBench(rows);
    const columns = 6;
    const size = rows * columns;
    const at = (name: string, more = {}): View => bench.matrix(name, rows, columns, more);
    const first = at("state", { steps: STEPS + 2, step: size });
    const slots = [0, 1, 2].map((slot) => ({ ...first, offset: slot * size }));
    const [ago, old, next] = (reverse ? slots.reverse() : slots) as [View, View, View];
    const [sum, moved] = [at("sum"), at("moved")];
    const left = (view: View): View => ({ ...view, columns: 3 });
    const chain = (width: number, loads: View[], op: string, ...to: View[]): Kernel =>
      kernel({
        kind: "chain",
        rows,
        columns: width,
        loads,
        code: [{ op, args: [0, 1] }],
        stores: to.map((view) => ({ value: 2, to: view, flush: false })),
      } as never);
    const body = [
      kernel({
        kind: "product",
        a: old,
        b: bench.matrix("weights", columns, columns, { data: (i: number) => ((i * 7) % 5) / 9 - 0.2 }),
        out: moved,
        transposeA: false,
        transposeB: true,
        accumulate: false,
      }),
      chain(columns, [moved, ago], "sub", next),
      // Half of the columns alone.
      chain(3, [left(sum), left(next)], "add", left(sum)),
    ];
    const program = bench.program([loop(STEPS, reverse, body)]);
    const { plan } = await cutAt(2, () => unrun.compile(program));
    expect(piecesOf(plan)).toEqual([2, 2, 2, 1]);
    expect(new Set(wholeLoops(plan).map(({ code }) => code)).size).toBe(1);
    const uncut = await bench.agree(backend!, program, 5e-6);
    for (const steps of cuts) {
      const found = await cutAt(steps, () => bench.agree(backend!, program, 5e-6));
      for (const [name, values] of uncut) expect(Array.from(found.get(name)!), name).toEqual(Array.from(values));
    }
  });
});

describe("the steps of a dispatch", () => {
  const planned = async (cell: Cell, rows: number, steps: number): Promise<number[]> => {
    const made = layerCase(cell, { rows, steps, features: 1 });
    return piecesOf((await unrun.compile(programOf(made))).plan);
  };

  it("are all where the loop is short or its work is little", async () => {
    expect(await planned(lstm(128), 50, 50)).toEqual([50, 50]);
    expect(await planned(gru(32), 32, 200)).toEqual([200, 200]);
    expect(await planned(lstm(64), 1, 500)).toEqual([500, 500]);
  });

  it("are fewer the more there is to do, and nearly the same in each dispatch", async () => {
    const all = await planned(lstm(8), 4, 10_000);
    expect(all.length).toBeGreaterThan(2);
    expect(all.reduce((sum, steps) => sum + steps, 0)).toBe(2 * 10_000);
    expect(Math.max(...all) - Math.min(...all)).toBeLessThanOrEqual(all.length);
    const heavy = await planned(lstm(128), 512, 40);
    expect(heavy.reduce((sum, steps) => sum + steps, 0)).toBe(2 * 40);
    expect(Math.max(...heavy)).toBeLessThanOrEqual(20);
    expect(Math.min(...heavy)).toBeGreaterThan(2);
  });
});
