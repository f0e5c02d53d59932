/** What moves numbers: lookups, their derivative, transposes, fills; and the check of the guards. */
import type { Fill, Gather, Scatter, Transpose, View } from "../../../program/program.js";
import type { KernelDispatch, Planning } from "../dispatch.js";
import { elementKernel, placeOf } from "./elements.js";
import { literal } from "./literal.js";
import { createSource, gridOf, type Source, shaderOf } from "./source.js";

export function planFill({ value, out }: Fill, { locate, flag }: Planning): readonly KernelDispatch[] {
  const source = createSource(locate, flag);
  const to = source.matrix(out);
  const elements = out.rows * out.columns;
  const [count, columns] = [source.word(elements), source.word(out.columns)];
  const text = to.store(placeOf(to, out, columns), to.space === "indices" ? `${Math.trunc(value)}i` : literal(value));
  return [{ how: "fill", ...elementKernel({ source, elements, count, text }) }];
}

export function planGather(gather: Gather, { locate, flag }: Planning): readonly KernelDispatch[] {
  const { out } = gather;
  const source = createSource(locate, flag);
  const text = gatherElement(source, gather);
  const elements = out.rows * out.columns;
  const [count, columns] = [source.word(elements), source.word(out.columns)];
  return [{ how: "gather", ...elementKernel({ source, elements, count, columns, text }) }];
}

/** The statements for row `r` and column `c` of the result. */
export function gatherElement(source: Source, { table, index, out }: Gather): string {
  const [from, rows, to] = [source.matrix(table), source.matrix(index), source.matrix(out)];
  // A negative number is a large one without its sign.
  return `let row = u32(${rows.load(rows.at("r", "0u"))});
  var x = 0.0;
  if (row < ${source.word(table.rows)}) { x = ${from.load(from.at("row", "c"))}; }
  ${to.store(to.at("r", "c"), "x")}`;
}

/** Lanes of a row at the least, so that there are few different texts. */
const LEAST_LANES = 16;

/**
 * A workgroup has some rows of the result. It looks for the input rows that belong to them, one index for each of its lanes at a time,
 * and adds them in their order: no two invocations write to one place, and every run adds alike. Each workgroup reads all indices, so
 * that it has as many lanes and rows as it can (reasoned, not measured).
 */
export function planScatter(scatter: Scatter, { locate, flag, limits }: Planning): readonly KernelDispatch[] {
  const { input, index, out } = scatter;
  const size = Math.min(256, limits.invocations);
  const lanes = Math.min(size, Math.max(LEAST_LANES, 2 ** Math.ceil(Math.log2(out.columns))));
  const perGroup = size / lanes;
  const words = size / 32;
  const source = createSource(locate, flag);
  const [from, rows, to] = [source.matrix(input), source.matrix(index), source.matrix(out)];
  const [count, columns, groups] = [source.word(input.rows), source.word(out.columns), source.word(out.rows)];
  const across = Math.ceil(out.columns / lanes);
  const acrossWord = source.word(across);
  const declarations = `var<workgroup> found: array<atomic<u32>, ${perGroup * words}>;`;
  const body = `let firstRow = (group / ${acrossWord}) * ${perGroup}u;
  if (firstRow >= ${groups}) { return; }
  let mine = lane / ${lanes}u;
  let c = (group % ${acrossWord}) * ${lanes}u + lane % ${lanes}u;
  let isMine = firstRow + mine < ${groups} && c < ${columns};
  var sum = 0.0;
  for (var begin = 0u; begin < ${count}; begin += ${size}u) {
    if (lane < ${perGroup * words}u) { atomicStore(&found[lane], 0u); }
    workgroupBarrier();
    let r = begin + lane;
    if (r < ${count}) {
      // A row before the first is a large number without its sign.
      let owner = u32(${rows.load(rows.at("r", "0u"))}) - firstRow;
      if (owner < ${perGroup}u) { atomicOr(&found[owner * ${words}u + lane / 32u], 1u << (lane % 32u)); }
    }
    workgroupBarrier();
    if (isMine) {
      for (var word = 0u; word < ${words}u; word++) {
        for (var bits = atomicLoad(&found[mine * ${words}u + word]); bits != 0u; bits &= bits - 1u) {
          let source = begin + word * 32u + countTrailingZeros(bits);
          sum += ${from.load(from.at("source", "c"))};
        }
      }
    }
    workgroupBarrier();
  }
  if (isMine) { ${to.store(to.at("(firstRow + mine)", "c"), "sum")} }`;
  const code = shaderOf({ source, size, declarations, body });
  const workgroups = gridOf(Math.ceil(out.rows / perGroup) * across);
  return [{ how: "scatter", code, workgroups, parameters: source.parameters }];
}

/** A tile goes through workgroup memory, so that both sides are read and written along their rows. */
export function planTranspose({ input, out }: Transpose, { locate, flag }: Planning): readonly KernelDispatch[] {
  const side = 16;
  const quarter = side / 4;
  const source = createSource(locate, flag);
  const [from, to] = [source.matrix(input), source.matrix(out)];
  const [rows, columns] = [source.word(input.rows), source.word(input.columns)];
  const [across, down] = [Math.ceil(input.columns / side), Math.ceil(input.rows / side)];
  const acrossWord = source.word(across);
  // A column more than there are, so that a column's numbers lie in different banks.
  const declarations = `var<workgroup> tile: array<f32, ${side * (side + 1)}>;`;
  const body = `let r0 = (group / ${acrossWord}) * ${side}u;
  let c0 = (group % ${acrossWord}) * ${side}u;
  let x = lane % ${side}u;
  for (var y = lane / ${side}u; y < ${side}u; y += ${quarter}u) {
    let r = r0 + y;
    let c = c0 + x;
    if (r < ${rows} && c < ${columns}) { tile[y * ${side + 1}u + x] = ${from.load(from.at("r", "c"))}; }
  }
  workgroupBarrier();
  for (var y = lane / ${side}u; y < ${side}u; y += ${quarter}u) {
    let r = r0 + x;
    let c = c0 + y;
    if (r < ${rows} && c < ${columns}) { ${to.store(to.at("c", "r"), `tile[x * ${side + 1}u + y]`)} }
  }`;
  const code = shaderOf({ source, size: side * quarter, declarations, body });
  return [{ how: "transpose", code, workgroups: gridOf(across * down), parameters: source.parameters }];
}

/** Writes 0 to the flag where all guards are finite, else 1. */
export function planGuard(guards: readonly View[], flag: number, { locate }: Planning): KernelDispatch {
  const source = createSource(locate);
  const views = guards.map((guard) => source.matrix(guard));
  const tests = views.map((view) => `isFinite(${view.load(view.base)})`);
  const body = `if (lane == 0u) { indices[${source.word(flag)}] = select(1, 0, ${tests.join(" && ")}); }`;
  const code = shaderOf({ source, size: 1, body });
  return { how: "guard", code, workgroups: [1, 1, 1], parameters: source.parameters };
}
