/** Copies and sums done by the kernels that made what is copied or summed: only where nothing comes between. */
import { describe, expect, it } from "vitest";
import { fewerKernels } from "../../src/program/passes/fewer-kernels.js";
import type { Buffer, Chain, Kernel, Product, Statement, View } from "../../src/program/program.js";

const buffers = Array.from(
  { length: 8 },
  (_, id): Buffer => ({ id, size: 64, type: "float", name: `${id}`, kind: id < 2 ? "variable" : "temporary" }),
);
const view = (buffer: number, rows = 4, columns = 4, more: Partial<View> = {}): View => ({
  buffer,
  offset: 0,
  rows,
  columns,
  stride: columns,
  step: 0,
  ...more,
});
const chain = (loads: View[], stores: View[], code: Chain["code"] = [{ op: "tanh", args: [0] }]): Kernel & Chain => ({
  kind: "chain",
  label: "",
  rows: stores[0]!.rows,
  columns: stores[0]!.columns,
  loads,
  code,
  stores: stores.map((to) => ({ value: loads.length + code.length - 1, to, flush: false })),
});
const copy = (from: View, to: View): Kernel & Chain => chain([from], [to], []);
const add = (a: View, b: View, to: View): Kernel & Chain => chain([a, b], [to], [{ op: "add", args: [0, 1] }]);
const product = (a: View, b: View, out: View): Kernel & Product => ({
  kind: "product",
  label: "",
  a,
  transposeA: false,
  b,
  transposeB: false,
  out,
  accumulate: false,
});
const [x, w, a, b, c, d] = [view(0), view(1), view(2), view(3), view(4), view(5)];
const result = (...statements: Statement[]): Statement[] => fewerKernels(buffers, statements);

describe("a copy", () => {
  it("is a store of the chain that made it; a value that nothing else reads is stored there alone", () => {
    const use = product(a, b, d);
    expect(result(chain([x], [a]), copy(a, b), use)).toEqual([chain([x], [a, b]), use]);
    const only = product(b, b, d);
    expect(result(chain([x], [a]), copy(a, b), only)).toEqual([chain([x], [b]), only]);
    const body = [chain([x], [a]), copy(a, b), only];
    const loop = { kind: "loop", name: "", label: "", steps: 3, reverse: false, body } as const;
    expect(result(loop)).toEqual([{ ...loop, body: [chain([x], [b]), only] }]);
  });

  it("into another part of a matrix of which the chain has written one", () => {
    const part = (i: number): View => view(6, 4, 4, { stride: 8, offset: 4 * i });
    const made = chain([x], [a, part(0)]);
    const use = product(view(6, 4, 8), view(7, 8, 4), a);
    expect(result(made, copy(a, part(1)), use)).toHaveLength(2);
  });

  it("stays where its place is read or written in between, where part of a value is copied, or a variable is written", () => {
    const same = (...statements: Statement[]): void => expect(result(...statements)).toEqual(statements);
    same(chain([x], [a]), product(b, w, d), copy(a, b));
    same(chain([x], [a]), product(w, w, b), copy(a, b));
    same(chain([b], [a]), copy(a, b));
    same(chain([x], [a]), copy(view(2, 2), view(3, 2)));
    same(chain([x], [a]), copy(a, x));
    same(product(x, w, a), copy(a, b));
    const body = [copy(a, b)];
    same(chain([x], [a]), { kind: "loop", name: "", label: "", steps: 3, reverse: false, body });
  });
});

describe("a sum", () => {
  it("of a product and a value that dies is added up by the product, in the place of the sum", () => {
    for (const sum of [add(a, b, c), add(b, a, c)])
      expect(result(chain([x], [a]), product(x, w, b), sum, product(c, w, d))).toEqual([
        chain([x], [c]),
        { ...product(x, w, c), accumulate: true },
        product(c, w, d),
      ]);
  });

  it("may lie where the chain has read the old value, element by element", () => {
    expect(result(chain([c], [a]), product(x, w, b), add(a, b, c))).toHaveLength(2);
  });

  it("stays where the value or the product is wanted again, where its place is not free, or the product comes first", () => {
    const same = (...statements: Statement[]): void => expect(result(...statements)).toEqual(statements);
    const start = [chain([x], [a]), product(x, w, b)];
    same(...start, add(a, b, c), product(a, w, d));
    same(...start, add(a, b, c), product(b, w, d));
    same(chain([x], [a]), product(c, w, b), add(a, b, c));
    same(chain([view(4, 1)], [a]), product(x, w, b), add(a, b, c));
    same(product(x, w, b), chain([x], [a]), add(a, b, c));
    same(...start, add(a, b, x));
    same(product(w, x, a), product(x, w, b), add(a, b, c));
  });
});
