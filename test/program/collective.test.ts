/** Where workers that share a batch meet: as seldom as can be, and with what they can do for one another beforehand. */
import { describe, expect, it } from "vitest";
import { reduceTogether } from "../../src/program/passes/collective.js";
import type { Buffer, Kernel, Statement, View } from "../../src/program/program.js";
import { matrix } from "../../src/program/views.js";

const view = (buffer: number, rows: number, columns: number): View => matrix(buffer, { shape: [rows, columns] });

/** Statements over buffers that are partial (from 10 on), common (from 20 on) or temporary. */
const buffers: Buffer[] = Array.from({ length: 30 }, (_, id) => ({
  id,
  size: 1 << 16,
  type: "float",
  name: `b${id}`,
  kind: id < 10 ? "temporary" : id < 20 ? "partial" : "common",
}));
const [M, N, K] = [128, 64, 500];
const gradient = (a: number, b: number, out: number, label = `d${out}`): Statement & Kernel => ({
  kind: "product",
  a: view(a, K, M),
  transposeA: true,
  b: view(b, K, N),
  transposeB: false,
  out: view(out, M, N),
  accumulate: false,
  label,
});
const fill = (out: number, label = `fill ${out}`): Statement => ({
  kind: "fill",
  value: 0,
  out: view(out, M, N),
  label,
});
const sum = (input: number, out: number): Statement => ({
  kind: "reduce",
  op: "sum",
  axis: "all",
  square: true,
  input: view(input, M, N),
  out: view(out, 1, 1),
  label: `sum ${input}`,
});
const allReduce = (input: number, out: number): Statement => ({
  kind: "allReduce",
  input: view(input, M, N),
  out: view(out, M, N),
  label: `reduce ${input}`,
});
const labels = (statements: readonly Statement[]): string[] =>
  reduceTogether(statements, buffers).map(({ label, by }) => (by ? `${label} by ${by}` : label));

describe("all-reduces", () => {
  it("are done together where others between them only want what the first ones give", () => {
    const statements = [allReduce(10, 20), sum(20, 1), fill(2), allReduce(11, 21), sum(21, 3)];
    expect(labels(statements)).toEqual(["fill 2", "reduce 10", "reduce 11", "sum 20", "sum 21"]);
  });
  it("wait for one another where one needs what another gives", () => {
    const statements = [allReduce(10, 20), sum(20, 11), allReduce(11, 21), sum(21, 3)];
    expect(labels(statements)).toEqual(["reduce 10", "sum 20", "reduce 11", "sum 21"]);
  });
  it("stay ahead of what writes over their input, or over what is put off with them", () => {
    expect(labels([allReduce(10, 20), fill(10), allReduce(12, 21)])).toEqual(["reduce 10", "reduce 12", "fill 10"]);
    expect(labels([allReduce(10, 20), sum(20, 1), fill(20)])).toEqual(["reduce 10", "sum 20", "fill 20"]);
  });
});

describe("gradients of weights", () => {
  it("are put off until the all-reduces, for whoever is free", () => {
    const statements = [gradient(0, 1, 10), fill(2), gradient(2, 1, 11), allReduce(10, 20), allReduce(11, 21)];
    expect(labels(statements)).toEqual(["fill 2", "d10 by any", "d11 by any", "reduce 10", "reduce 11"]);
  });
  it("are not put off behind what writes over their operands, or reads or adds to them", () => {
    expect(labels([gradient(0, 1, 10), fill(0), allReduce(10, 20)])).toEqual(["d10", "fill 0", "reduce 10"]);
    expect(labels([gradient(0, 1, 10), sum(10, 2), allReduce(10, 20)])).toEqual(["d10", "sum 10", "reduce 10"]);
    const more = { ...gradient(2, 3, 10, "more"), accumulate: true } as Statement;
    expect(labels([gradient(0, 1, 10), more, allReduce(10, 20)])).toEqual(["d10", "more by any", "reduce 10"]);
  });
  it("stay where they are if they are small, or not for an all-reduce", () => {
    const small = { ...gradient(0, 1, 10), a: view(0, K, 20), out: view(10, 20, N) } as Statement;
    expect(labels([small, fill(2), allReduce(10, 20)])).toEqual(["d10", "fill 2", "reduce 10"]);
    expect(labels([gradient(0, 1, 3), fill(2), allReduce(10, 20)])).toEqual(["d3", "fill 2", "reduce 10"]);
  });
});
