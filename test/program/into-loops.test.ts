/** Sums and lookups that a loop does step by step: the values stay. */
import { describe, expect, it } from "vitest";
import type { Cell } from "../../src/cells/cell.js";
import { gru } from "../../src/cells/gru.js";
import { lstm } from "../../src/cells/lstm.js";
import { current, oneHot, sumAll, tanh, unroll, zeros } from "../../src/graph/language.js";
import { sizeOf } from "../../src/graph/shape.js";
import { gradients } from "../../src/graph/sweep.js";
import { type Variable, variable } from "../../src/graph/variable.js";
import { createRng } from "../../src/parameters/rng.js";
import { lower } from "../../src/program/lower.js";
import { intoLoops } from "../../src/program/passes/into-loops.js";
import type { Buffer, Chain, Gather, Kernel, Reduce, Statement, View } from "../../src/program/program.js";
import { difference } from "../graph/numeric.js";
import { arena, checkForm } from "./arena.js";

describe("passes taken into loops", () => {
  const [T, N, V] = [64, 16, 7];

  /** Loss and gradients of a cell on one-hot inputs; one id in nine is outside of the classes. */
  function training(cell: Cell) {
    const rng = createRng(cell.name);
    const memory = new Map<Variable, Float64Array>();
    const fill = (made: Variable, draw: () => number): Variable => {
      memory.set(made, Float64Array.from({ length: sizeOf(made.shape) }, draw));
      return made;
    };
    const weights = Object.entries(cell.parameters(V)).map(
      ([name, shape]) => [name, current(fill(variable(name, shape), () => rng.uniform() - 0.5))] as const,
    );
    const ids = current(fill(variable("ids", [T, N, 1], "index"), () => Math.floor(9 * rng.uniform()) - 1));
    const { outputs } = unroll({
      inputs: { x: oneHot(ids, V) },
      state: Object.fromEntries(Object.entries(cell.state).map(([name, size]) => [name, zeros([N, size])])),
      step: ({ x }, state) => {
        const next = cell.step(x, state, Object.fromEntries(weights));
        return { state: next, outputs: { h: next.h! } };
      },
    });
    const loss = sumAll(tanh(outputs.h!));
    const derived = gradients(
      loss,
      weights.map(([, tensor]) => tensor),
    );
    return {
      memory,
      results: [loss, ...derived].map((tensor, i) => ({ variable: variable(`r${i}`, tensor.shape), tensor })),
    };
  }

  it("leave loss and gradients as they are", () => {
    for (const cell of [lstm(16), gru(22)]) {
      const { memory, results } = training(cell);
      const [plain, better] = [true, false].map((keep) => lower({ name: cell.name, results, keep }));
      checkForm(better!);
      const loops = better!.compute.filter((statement) => statement.kind === "loop");
      const inner = loops.flatMap(({ body }) => body.map(({ kind }) => kind));
      expect(inner.filter((kind) => kind === "gather")).toHaveLength(1);
      expect(inner.filter((kind) => kind === "reduce")).toHaveLength(cell.name === "gru" ? 2 : 1);
      const [before, after] = [arena(plain!, memory), arena(better!, memory)];
      for (let round = 0; round < 2; round++) {
        before.run();
        after.run();
        for (const { variable: result } of results)
          expect(
            difference(after.variables.get(result)!, before.variables.get(result)!),
            `${cell.name}: ${result.name}`,
          ).toBeLessThan(1e-11);
      }
    }
  }, 60_000);

  const buffers = [0, 1, 2, 3].map(
    (id): Buffer => ({ id, size: 2 ** 17, type: id === 3 ? "index" : "float", name: `${id}`, kind: "temporary" }),
  );
  const view = (buffer: number, rows: number, columns: number, step = 0, offset = 0): View => ({
    buffer,
    offset,
    rows,
    columns,
    stride: columns,
    step,
  });
  const write = (...to: View[]): Kernel & Chain => ({
    kind: "chain",
    label: "",
    rows: to[0]!.rows,
    columns: to[0]!.columns,
    loads: [],
    code: [{ op: "constant", value: 1 }],
    stores: to.map((each) => ({ value: 0, to: each, flush: false })),
  });
  const read = (from: View): Kernel & Chain => ({
    ...write(view(2, from.rows, from.columns)),
    loads: [from],
    code: [],
  });
  const loop = (...body: Kernel[]): Statement => ({
    kind: "loop",
    name: "",
    label: "",
    steps: 64,
    reverse: false,
    body,
  });
  const moved = (...statements: Statement[]): number =>
    intoLoops(buffers, statements, () => 9)
      .flatMap((statement) => (statement.kind === "loop" ? statement.body : []))
      .filter(({ kind }) => kind === "reduce" || kind === "gather").length;

  const [rows, columns] = [32, 64];
  const sequence = view(0, 64 * rows, columns);
  const step = view(0, rows, columns, rows * columns);
  const sum: Reduce & Statement = {
    kind: "reduce",
    label: "",
    op: "sum",
    axis: "rows",
    square: false,
    input: sequence,
    out: view(1, 1, columns),
  };

  it("take a sum into the loop that alone writes what is summed, step by step", () => {
    expect(moved(loop(write(step)), sum)).toBe(1);
    expect(moved(write(sequence), loop(write(view(2, 4, 4))), sum)).toBe(0);
    expect(moved(loop(write(step)), write({ ...sequence, rows: 5 }), sum)).toBe(0);
    expect(moved(loop(write(step, { ...step, offset: rows * columns })), sum)).toBe(0);
    expect(moved(loop(write(step), read(sum.out)), sum)).toBe(0);
    expect(moved(loop(write(step)), { ...sum, input: { ...sequence, rows: 64 } })).toBe(0);
    expect(moved(loop(write(step)), { ...sum, out: view(1, rows, columns) })).toBe(0);
    expect(moved(loop(write(step)), { ...sum, op: "max" })).toBe(0);
  });

  const gather: Gather & Statement = {
    kind: "gather",
    label: "",
    table: view(1, V, columns),
    index: view(3, 64 * rows, 1),
    out: sequence,
  };

  it("take a lookup into the loop that alone reads it, step by step", () => {
    expect(moved(gather, loop(read(step)))).toBe(1);
    expect(moved(gather, loop(read(step)), read(sequence))).toBe(0);
    expect(moved(gather, loop(read(step)), loop(read(step)))).toBe(0);
    expect(moved(gather, loop(read({ ...step, offset: rows * columns })))).toBe(0);
    expect(moved(gather, loop(read({ ...step, step: 0 })))).toBe(0);
    expect(moved(gather, loop(read(step), write(step)))).toBe(0);
    expect(moved(gather, write(view(1, 1, 3)), loop(read(step)))).toBe(0);
    expect(moved(gather, loop(read(step), write(view(1, 1, 3))))).toBe(0);
  });
});
