/** Chains that write over what they read: only where it dies there, in exactly the same elements. */
import { describe, expect, it } from "vitest";
import type { Cell } from "../../src/cells/cell.js";
import { gru } from "../../src/cells/gru.js";
import { lstm } from "../../src/cells/lstm.js";
import { current, matmul, sigmoid, slice, softmax, tanh } from "../../src/graph/language.js";
import type { Shape } from "../../src/graph/shape.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { variable } from "../../src/graph/variable.js";
import { inPlace } from "../../src/program/passes/in-place.js";
import type { Buffer, Chain, Kernel, Statement, View } from "../../src/program/program.js";
import { programOf, trainingOf } from "./traced.js";

const input = (name: string, shape: Shape): Tensor => current(variable(name, shape));

const buffer = (id: number, size: number, kind: Buffer["kind"] = "temporary"): Buffer => ({
  id,
  size,
  type: "float",
  name: `${id}`,
  kind,
});
const view = (id: number, rows: number, columns: number, more: Partial<View> = {}): View => ({
  buffer: id,
  offset: 0,
  rows,
  columns,
  stride: columns,
  step: 0,
  ...more,
});
const chain = (loads: View[], ...stores: View[]): Kernel & Chain => ({
  kind: "chain",
  label: "",
  rows: stores[0]!.rows,
  columns: stores[0]!.columns,
  loads,
  code: loads.length > 0 ? [] : [{ op: "constant", value: 1 }],
  stores: stores.map((to) => ({ value: 0, to, flush: false })),
});
const loop = (...body: Kernel[]): Statement => ({ kind: "loop", name: "", label: "", steps: 4, reverse: false, body });
/** Whether a chain that reads buffer 0 and writes buffer 1, number `at` of the statements, came to write over what it reads. */
function isInPlace(buffers: Buffer[], statements: Statement[], at: number): boolean {
  const placed = inPlace(buffers, statements)[at]!;
  const { loads, stores } = (placed.kind === "loop" ? placed.body.at(-1)! : placed) as Chain;
  return loads[0]!.buffer === stores[0]!.to.buffer;
}

describe("a chain in place", () => {
  const two = [buffer(0, 24), buffer(1, 24), buffer(2, 24)];
  const [a, b, c] = [view(0, 4, 6), view(1, 4, 6), view(2, 4, 6)];

  it("writes over what dies in it", () => {
    expect(isInPlace(two, [chain([], a), chain([a], b), chain([b], c)], 1)).toBe(true);
  });

  it("does not write over what is read later, what is no temporary, or what has another shape", () => {
    expect(isInPlace(two, [chain([], a), chain([a], b), chain([a, b], c)], 1)).toBe(false);
    const variables = [buffer(0, 24, "variable"), buffer(1, 24)];
    expect(isInPlace(variables, [chain([a], b)], 0)).toBe(false);
    const row = view(0, 1, 6);
    expect(isInPlace(two, [chain([], row), chain([row], b)], 1)).toBe(false);
  });

  it("does not write over what it reads elsewhere in the same pass", () => {
    const wide = view(0, 4, 8);
    const [left, shifted] = [view(0, 4, 4, { stride: 8 }), view(0, 4, 4, { stride: 8, offset: 2 })];
    const small = view(1, 4, 4);
    const buffers = [buffer(0, 32), buffer(1, 16)];
    expect(isInPlace(buffers, [chain([], wide), chain([left], small)], 1)).toBe(true);
    expect(isInPlace(buffers, [chain([], wide), chain([left, shifted], small)], 1)).toBe(false);
  });

  it("writes a value over what it is made of: the rest may be wanted when it is stored", () => {
    const buffers = [buffer(0, 36), buffer(1, 12), buffer(2, 12), buffer(3, 12), buffer(4, 12)];
    const part = (k: number): View => view(0, 4, 3, { stride: 9, offset: 3 * k });
    const results = [1, 2, 3, 4].map((id) => view(id, 4, 3));
    const gates: Kernel & Chain = {
      ...chain([part(0), part(1), part(2)], ...results),
      code: [
        { op: "constant", value: 1 },
        { op: "tanh", args: [2] },
        { op: "tanh", args: [0] },
        { op: "mul", args: [5, 1] },
      ],
      // Of nothing, of the last part, of the first, of the first and the second.
      stores: results.map((to, i) => ({ value: 3 + i, to, flush: false })),
    };
    const placed = inPlace(buffers, [chain([], view(0, 4, 9)), gates]);
    const homes = (placed[1] as Chain).stores.map(({ to }) => [to.buffer, to.offset]);
    expect(homes).toEqual([
      [1, 0],
      [0, 6],
      [0, 0],
      [0, 3],
    ]);
  });

  it("in a loop writes over this step's part of a sequence, and over what each step makes anew", () => {
    const step = (id: number, t = 0): View => view(id, 2, 3, { step: 6, offset: 6 * t });
    const [all, later] = [view(0, 8, 3), chain([view(1, 8, 3)], view(2, 8, 3))];
    expect(isInPlace(two, [chain([], all), loop(chain([step(0)], step(1))), later], 1)).toBe(true);
    const local = view(0, 2, 3);
    expect(isInPlace(two, [loop(chain([], local), chain([local], view(1, 2, 3)))], 0)).toBe(true);
  });

  it("in a loop does not write over what another step reads, or what comes from before the loop", () => {
    const at = (id: number, t: number): View => view(id, 2, 3, { step: 6, offset: 6 * t });
    const longer = [buffer(0, 30), buffer(1, 30), buffer(2, 30)];
    const all = view(0, 10, 3);
    expect(isInPlace(longer, [chain([], all), loop(chain([at(0, 0), at(0, 1)], at(1, 0)))], 1)).toBe(false);
    expect(isInPlace(longer, [chain([], all), loop(chain([at(0, 0)], at(1, 1)))], 1)).toBe(false);
    const carried = view(0, 2, 3);
    expect(isInPlace(longer, [chain([], carried), loop(chain([carried], view(1, 2, 3)))], 1)).toBe(false);
    const wanted = [chain([], carried), chain([carried], view(1, 2, 3))];
    expect(isInPlace(longer, [loop(...wanted), chain([view(1, 2, 3)], view(2, 2, 3))], 0)).toBe(false);
  });
});

describe("programs in place", () => {
  it("add the bias to a product where it lies", () => {
    const [x, w, b] = [input("x", [40, 8]), input("w", [16, 8]), input("b", [16])];
    const logits = matmul(x, w, { transposeB: true }).add(b);
    expect(programOf(softmax(logits)).plan.size).toBe(40 * 16);
  });

  it("keep a value that is wanted again", () => {
    const x = softmax(input("x", [8, 16]));
    const program = programOf(softmax(tanh(x)), softmax(sigmoid(x)).add(x));
    expect(program.plan.size).toBeGreaterThanOrEqual(2 * 8 * 16);
  });

  it("slices of different rows stay apart", () => {
    const x = softmax(input("x", [8, 16]));
    programOf(softmax(slice(x, 0, 8).mul(slice(x, 8, 8))), softmax(slice(x, 4, 8).add(1)));
  });

  /** Elements of memory that a training step takes for each time step, row and hidden unit. */
  function memoryOf(cell: Cell, hidden: number): number {
    const [T, N, D] = [50, 4, 8];
    return trainingOf(cell, [T, N, D]).plan.size / (T * N * hidden);
  }

  it("hold the gates, what they came from and their gradients in one place", () => {
    // lstm: four gates, c, tanh c, h; gru: r, z, n, the candidate's recurrent part beside its gradients (3), h. And little else.
    expect(memoryOf(lstm(32), 32)).toBeLessThan(7.5 + 1);
    expect(memoryOf(gru(32), 32)).toBeLessThan(7 + 1);
  });
});
