/** Sums and largest values: by tree in workgroup memory, so that float32 is accurate enough without 64 bits. */
import type { Reduce } from "../../../program/program.js";
import type { KernelDispatch, Planning } from "../dispatch.js";
import { placeOf } from "./elements.js";
import { eachColumn, type Lanes, laneRow, lanesFor, lanesTogether, meetings } from "./lanes.js";
import { literal } from "./literal.js";
import { createSource, gridOf, type Source, shaderOf } from "./source.js";

type Rule = Pick<Reduce, "op" | "square">;

const identity = ({ op }: Rule): string => (op === "sum" ? "0.0" : literal(-Infinity));
const both = ({ op }: Rule, a: string, b: string): string => (op === "sum" ? `${a} + ${b}` : `maximum(${a}, ${b})`);
const taken = ({ square }: Rule, x: string): string => (square ? `${x} * ${x}` : x);

export function planReduce(reduce: Reduce, planning: Planning): readonly KernelDispatch[] {
  switch (reduce.axis) {
    case "columns":
      return [alongColumns(reduce, planning)];
    case "rows":
      return alongRows(reduce, planning);
    case "all":
      return overAll(reduce, planning);
  }
}

function alongColumns(reduce: Reduce, { locate, flag, limits }: Planning): KernelDispatch {
  const source = createSource(locate, flag);
  const lanes = lanesFor(reduce.input.columns, limits);
  const body = reducedColumns(source, reduce, lanes);
  const code = shaderOf({ source, size: lanes.size, declarations: meetings(lanes, body), body });
  const workgroups = gridOf(Math.ceil(reduce.input.rows / lanes.rows));
  return { how: `${reduce.op} of rows, ${lanes.perRow} lanes each`, code, workgroups, parameters: source.parameters };
}

/** Each row's sum or largest value, by the lanes of the row. */
export function reducedColumns(source: Source, reduce: Reduce, lanes: Lanes): string {
  const { input, out } = reduce;
  const [from, to] = [source.matrix(input), source.matrix(out)];
  const [rows, columns] = [source.word(input.rows), source.word(input.columns)];
  const step = `let x = ${from.load(from.at("row", "c"))}; sum = ${both(reduce, "sum", taken(reduce, "x"))};`;
  return `${laneRow(lanes, rows)}
  var sum = ${identity(reduce)};
  ${eachColumn(lanes, columns, step)}
  let all = ${reduce.op === "sum" ? "sumOf" : "largestOf"}(lane, sum);
  if (isRow && first == 0u) { ${to.store(to.at("row", "0u"), "all")} }`;
}

interface Range {
  readonly begin: string;
  readonly end: string;
  readonly stride: string;
}

/**
 * Declares `sum`: what a lane finds in a range, in four sums of its own, so that it waits for four loads at once and not for each
 * (reasoned, not measured).
 */
function inFours(rule: Rule, load: (i: string) => string, { begin, end, stride }: Range): string {
  const four = [0, 1, 2, 3];
  const take = (k: number, i: string): string =>
    `{ let x = ${load(i)}; sum${k} = ${both(rule, `sum${k}`, taken(rule, "x"))}; }`;
  return `${four.map((k) => `var sum${k} = ${identity(rule)};`).join(" ")}
  let stride = ${stride};
  var next = ${begin};
  for (; next + 3u * stride < ${end}; next += 4u * stride) {
    ${four.map((k) => take(k, `(next + ${k}u * stride)`)).join("\n    ")}
  }
  for (; next < ${end}; next += stride) ${take(0, "next")}
  let sum = ${both(rule, both(rule, "sum0", "sum1"), both(rule, "sum2", "sum3"))};`;
}

/** Outputs side by side in a workgroup, and lanes that share the rows of each. */
const WIDE = { outputs: 64, lanes: 1 };
const DEEP = { outputs: 16, lanes: 8 };
/** Rows of an output from which on lanes share them, and from which on workgroups do. */
const SHARED = 16;
const SPLIT = 512;
/** Rows of a workgroup at the least: 16 for each lane. */
const ROWS_EACH = 16 * DEEP.lanes;
/** So many that what each waits for is hidden by others: a few for each of a hundred processors (reasoned, not measured). */
const ENOUGH_WORKGROUPS = 512;

function alongRows(reduce: Reduce, planning: Planning): readonly KernelDispatch[] {
  const { input, out } = reduce;
  const rows = input.rows / out.rows;
  const outputs = out.rows * out.columns;
  const groups = Math.ceil(outputs / DEEP.outputs);
  const parts = rows < SPLIT ? 1 : Math.min(Math.floor(rows / ROWS_EACH), Math.ceil(ENOUGH_WORKGROUPS / groups));
  if (parts === 1) return [rowsOf(reduce, planning, input.rows, 1)];
  const partial = planning.scratch(parts * out.rows, out.columns);
  // Whole periods in each part.
  const rowsOfPart = Math.ceil(rows / parts) * out.rows;
  const first = { ...reduce, accumulate: false, out: { ...partial, rows: out.rows } };
  const last = { ...reduce, square: false, input: partial };
  return [rowsOf(first, { ...planning, flag: undefined }, rowsOfPart, parts), rowsOf(last, planning, partial.rows, 1)];
}

/** For each part of the rows an output of its own, one after the other. */
function rowsOf(reduce: Reduce, { flag, locate }: Planning, rowsOfPart: number, parts: number): KernelDispatch {
  const { input, out, accumulate } = reduce;
  const source = createSource(locate, flag);
  const [from, to] = [source.matrix(input), source.matrix(out)];
  const rows = source.word(input.rows);
  const part = source.word(rowsOfPart);
  const [period, columns] = [source.word(out.rows), source.word(out.columns)];
  const count = source.word(out.rows * out.columns * parts);
  const { outputs, lanes } = rowsOfPart / out.rows < SHARED ? WIDE : DEEP;
  const size = outputs * lanes;
  const place = to.at("(number / columns)", "(number % columns)");
  const range = { begin: `begin + i + slice * ${period}`, end: "end", stride: `${period} * ${lanes}u` };
  const whole = accumulate ? both(reduce, to.load("place"), "all") : "all";
  const body = `let wanted = group * ${outputs}u + lane % ${outputs}u;
  let number = min(wanted, ${count} - 1u);
  let slice = lane / ${outputs}u;
  let columns = ${columns};
  let perPart = ${period} * columns;
  let i = (number % perPart) / columns;
  let c = number % columns;
  let begin = (number / perPart) * ${part};
  let end = min(begin + ${part}, ${rows});
  ${inFours(reduce, (r) => from.load(from.at(r, "c")), range)}
  ${lanes === 1 ? "let all = sum;" : "let all = together(lane, sum);"}
  if (wanted < ${count} && slice == 0u) { let place = ${place}; ${to.store("place", whole)} }`;
  const declarations =
    lanes === 1
      ? ""
      : `var<workgroup> meeting: array<f32, ${size}>;
fn together(lane: u32, x: f32) -> f32 {
  meeting[lane] = x;
  workgroupBarrier();
  for (var half = ${size / 2}u; half >= ${outputs}u; half >>= 1u) {
    if (lane < half) { meeting[lane] = ${both(reduce, "meeting[lane]", "meeting[lane + half]")}; }
    workgroupBarrier();
  }
  return meeting[lane % ${outputs}u];
}`;
  const code = shaderOf({ source, size, declarations, body });
  const workgroups = gridOf(Math.ceil((out.rows * out.columns * parts) / outputs));
  const how = `${reduce.op} over rows${parts > 1 ? ` in ${parts} parts` : ""}`;
  return { how, code, workgroups, parameters: source.parameters };
}

/** Elements for each invocation before there is another workgroup, and the most workgroups. */
const EACH = 8;
const MOST = 256;

function overAll(reduce: Reduce, planning: Planning): readonly KernelDispatch[] {
  const { input } = reduce;
  const size = Math.min(256, planning.limits.invocations);
  const parts = Math.min(MOST, Math.ceil((input.rows * input.columns) / (size * EACH)));
  if (parts === 1) return [allOf(reduce, planning, 1)];
  const partial = planning.scratch(1, parts);
  return [
    allOf({ ...reduce, out: partial }, { ...planning, flag: undefined }, parts),
    allOf({ ...reduce, square: false, input: partial }, planning, 1),
  ];
}

/** Each of so many workgroups takes its share of the elements. */
function allOf(reduce: Reduce, { locate, flag, limits }: Planning, parts: number): KernelDispatch {
  const { input, out } = reduce;
  const source = createSource(locate, flag);
  const [from, to] = [source.matrix(input), source.matrix(out)];
  const elements = input.rows * input.columns;
  const [count, columns] = [source.word(elements), source.word(input.columns)];
  const size = Math.min(256, limits.invocations);
  const lanes = { perRow: size, size, rows: 1 };
  const load = (i: string): string => from.load(placeOf(from, input, columns, i));
  const stride = source.word(parts * size);
  const body = `${inFours(reduce, load, { begin: `group * ${size}u + lane`, end: count, stride })}
  let all = together(lane, sum);
  if (lane == 0u) { ${to.store(`${to.base} + group`, "all")} }`;
  const declarations = lanesTogether(lanes, { together: both(reduce, "a", "b") });
  const code = shaderOf({ source, size, declarations, body });
  return {
    how: `${reduce.op} of all, ${parts} workgroups`,
    code,
    workgroups: [parts, 1, 1],
    parameters: source.parameters,
  };
}
