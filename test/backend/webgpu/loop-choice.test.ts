/** Which loops are carried out whole, in one dispatch, and by how many workgroups. Nothing is run. */
import { describe, expect, it } from "vitest";
import type { Backend } from "../../../src/backend/contract.js";
import type { Plan } from "../../../src/backend/webgpu/dispatch.js";
import { webgpu } from "../../../src/backend/webgpu/index.js";
import { planProgram } from "../../../src/backend/webgpu/plan.js";
import type { Cell } from "../../../src/cells/cell.js";
import { gru } from "../../../src/cells/gru.js";
import { lstm } from "../../../src/cells/lstm.js";
import { rnn } from "../../../src/cells/rnn.js";
import {
  adam,
  createTrainer,
  crossEntropy,
  dense,
  NonFiniteError,
  oneHotEncoding,
  readText,
  recurrent,
  sequential,
  textBatches,
} from "../../../src/index.js";
import type { Program, View } from "../../../src/program/program.js";
import { createBench, kernel, loop } from "./bench.js";
import { nullDevice } from "./driver.js";
import { layerCase, programOf, stepwiseLoops, wholeLoops } from "./loop-cases.js";

const cells = { rnn, lstm, gru } as const;

describe("the choice between whole and step by step", () => {
  const limits = { invocations: 256, workgroupStorage: 32_768 };
  const planned = (program: Program, some: Partial<typeof limits> & { stepwise?: boolean } = {}): Plan => {
    const { stepwise: asked, ...rest } = some;
    return planProgram({
      program,
      locate: (buffer) => ({ space: program.buffers[buffer]!.type === "index" ? "indices" : "variables", offset: 0 }),
      scratchOffset: 0,
      flag: 0,
      limits: { ...limits, ...rest },
      stepwise: asked,
    });
  };
  const ofCell = (cell: Cell, rows: number): Program => programOf(layerCase(cell, { rows, steps: 2 }));

  it.each([
    [1, 32, 1],
    [50, 128, 1],
    [64, 128, 2],
    [128, 256, 4],
    [1000, 64, 8],
  ])("gives %i rows of %i hidden features to workgroups of %i", (rows, hidden, perGroup) => {
    for (const cell of Object.values(cells)) {
      const loops = wholeLoops(planned(ofCell(cell(hidden), rows)));
      expect(loops.map(({ how }) => how)).toEqual(
        Array(2).fill(`2 steps in one dispatch, ${perGroup} ${perGroup === 1 ? "row" : "rows"} a workgroup`),
      );
      for (const { workgroups } of loops) expect(workgroups).toEqual([Math.ceil(rows / perGroup), 1, 1]);
    }
  });

  it("takes fewer rows where a workgroup has little memory, and goes step by step where it has too little", () => {
    const program = ofCell(lstm(256), 256);
    expect(wholeLoops(planned(program, { workgroupStorage: 16_384 }))[0]!.how).toMatch(/2 rows a workgroup/);
    const little = planned(program, { workgroupStorage: 5120 });
    expect(stepwiseLoops(little).map(({ why }) => why)).toEqual(
      Array(2).fill("its state does not fit a workgroup's memory"),
    );
  });

  it("has as many invocations as the weights keep busy and the device can have", () => {
    const invocations = (hidden: number, most: number): (string | undefined)[] =>
      wholeLoops(planned(ofCell(lstm(hidden), 4), { invocations: most })).map(
        ({ code }) => /@workgroup_size\((\d+)\)/.exec(code)?.[1],
      );
    expect(invocations(7, 1024)).toEqual(["64", "64"]);
    expect(invocations(64, 1024)).toEqual(["256", "256"]);
    expect(invocations(256, 1024)).toEqual(["512", "512"]);
    expect(invocations(256, 256)).toEqual(["256", "256"]);
    expect(invocations(256, 300)).toEqual(["256", "256"]);
  });

  it("makes kernels of more invocations than the null device has, whose text is valid", async () => {
    const device = await nullDevice();
    for (const cell of Object.values(cells))
      for (const { code } of wholeLoops(planned(ofCell(cell(256), 300), { invocations: 1024 }))) {
        expect(code).toContain("@workgroup_size(512)");
        const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
        expect(messages.map(({ message }) => message)).toEqual([]);
      }
  });

  it("goes step by step where the weights are many, the rows are many, or it is asked to", () => {
    const why = (plan: Plan): string[] => stepwiseLoops(plan).map((each) => each.why);
    expect(why(planned(ofCell(lstm(512), 32)))).toEqual(Array(2).fill("1048576 weights are read once for all rows"));
    expect(why(planned(ofCell(rnn(4), 5000)))).toEqual(Array(2).fill("its rows are more than run side by side"));
    expect(why(planned(ofCell(rnn(4), 5), { stepwise: true }))).toEqual(Array(2).fill("as was asked for"));
  });

  it("goes step by step where rows depend on one another", () => {
    const bench = createBench(1);
    const at = (name: string, rows = 6, columns = 6, more = {}): View => bench.matrix(name, rows, columns, more);
    const [x, out, column] = [at("x"), at("out"), at("column", 6, 1)];
    const product = { kind: "product", a: x, b: at("b"), out, transposeA: false, transposeB: false, accumulate: false };
    const add = { kind: "chain", rows: 6, columns: 6, code: [{ op: "add", args: [0, 1] }] };
    const to = (view: View) => [{ value: 2, to: view, flush: false }];
    const index = at("index", 6, 1, { type: "index", data: () => 0 });
    const bodies: readonly (readonly [string, readonly Record<string, unknown>[]])[] = [
      ["product: it sums over rows", [{ ...product, transposeA: true }]],
      [
        "product: its weights change from step to step",
        [
          { ...product, out: x },
          { ...product, a: out, b: x, out: at("y") },
        ],
      ],
      ["product: its weights change from step to step", [{ ...product, b: at("each", 6, 6, { steps: 2, step: 36 }) }]],
      [
        "reduce: other rows than those of the batch",
        [product, { kind: "reduce", op: "sum", axis: "rows", square: false, input: out, out: at("sum", 1) }],
      ],
      ["reduce: it looks at several rows", [{ kind: "reduce", op: "sum", axis: "rows", square: false, input: x, out }]],
      ["scatter: a scatter is not done by rows of the batch", [{ kind: "scatter", input: x, index, out }]],
      ["transpose: a transpose is not done by rows of the batch", [{ kind: "transpose", input: x, out }]],
      ["gather: it looks at any row", [{ kind: "gather", table: out, index, out: at("z") }, { ...product }]],
      [
        "out is not written and read by rows of the batch",
        [{ ...add, loads: [x, { ...out, rows: 1 }], stores: to(out) }],
      ],
      [
        "out is not written and read by rows of the batch",
        [{ ...add, loads: [x, { ...out, rows: 3 }], stores: to(out) }],
      ],
      [
        "x is not written and read by rows of the batch",
        [{ ...add, loads: [out, { ...x, stride: 1, columns: 1 }], stores: to(x) }],
      ],
      [
        "index is not written and read by rows of the batch",
        [
          {
            kind: "chain",
            rows: 6,
            columns: 1,
            loads: [column],
            code: [],
            stores: [{ value: 0, to: index, flush: false }],
          },
        ],
      ],
    ];
    for (const [why, body] of bodies) {
      const program = bench.program([
        loop(
          2,
          false,
          body.map((each) => kernel(each as never)),
        ),
      ]);
      expect(stepwiseLoops(planned(program)).map((each) => each.why)).toEqual([why]);
    }
  });
});

it("a training step of char-lstm-128 has one dispatch for each loop", async () => {
  const seen: Plan[] = [];
  const made = webgpu({ device: await nullDevice() });
  const backend: Backend = {
    ...made,
    async createSession() {
      const session = await made.createSession();
      const compile = async (source: Parameters<typeof session.compile>[0]) => {
        const executable = await session.compile(source);
        seen.push(executable.plan);
        return executable;
      };
      return { ...session, compile };
    },
  };
  const model = sequential({ input: oneHotEncoding(65), rnn: recurrent(lstm(128), { layers: 2 }), head: dense(65) });
  const options = { loss: crossEntropy(), optimizer: adam(), clip: { norm: 5 }, bptt: { window: 50 }, batch: 50 };
  const trainer = await createTrainer(model, { ...options, backend });
  const { vocabulary, ...words } = readText("time flows ".repeat(500), { validation: 0 });
  const steps = trainer.fit(textBatches({ ...words, vocabulary: { ...vocabulary, size: 65 } }), { steps: 1 });
  // The device computes nothing, so that it may well refuse the step.
  await steps.next().catch((error: unknown) => expect(error).toBeInstanceOf(NonFiniteError));
  trainer.dispose();
  const plan = seen[0]!;
  expect(stepwiseLoops(plan)).toEqual([]);
  expect(wholeLoops(plan).map(({ label, how }) => `${label}: ${how}`)).toEqual(
    ["lstm_l0", "lstm_l1", "lstm_l1: backward", "lstm_l0: backward"].map(
      (name) => `${name}: 50 steps in one dispatch, 1 row a workgroup`,
    ),
  );
  expect(plan.compute.length + plan.commit.length + 1).toBeLessThan(80);
});
