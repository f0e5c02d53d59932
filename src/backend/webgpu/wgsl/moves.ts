/** What moves numbers: lookups, their derivative, transposes, fills; and the check of the guards. */
import type { Fill, Gather, Scatter, Transpose, View } from "../../../program/program.js";
import type { KernelDispatch, Planning } from "../dispatch.js";
import { literal } from "./literal.js";
import { createSource, gridOf, type Source, shaderOf } from "./source.js";

export function planFill({ value, out }: Fill, { locate, flag }: Planning): readonly KernelDispatch[] {
  const source = createSource(locate, flag);
  const to = source.matrix(out);
  const [count, columns] = [source.word(out.rows * out.columns), source.word(out.columns)];
  const dense = out.rows === 1 || out.stride === out.columns;
  const place = dense ? `${to.base} + i` : to.at(`(i / ${columns})`, `(i % ${columns})`);
  const body = `let i = group * 64u + lane;
  if (i >= ${count}) { return; }
  ${to.store(place, to.space === "indices" ? `${Math.trunc(value)}i` : literal(value))}`;
  const code = shaderOf({ source, size: 64, body });
  const workgroups = gridOf(Math.ceil((out.rows * out.columns) / 64));
  return [{ how: "fill", code, workgroups, parameters: source.parameters }];
}

export function planGather(gather: Gather, { locate, flag }: Planning): readonly KernelDispatch[] {
  const { out } = gather;
  const source = createSource(locate, flag);
  const element = gatherElement(source, gather);
  const [count, columns] = [source.word(out.rows * out.columns), source.word(out.columns)];
  const body = `let i = group * 64u + lane;
  if (i >= ${count}) { return; }
  let r = i / ${columns};
  let c = i % ${columns};
  ${element}`;
  const code = shaderOf({ source, size: 64, body });
  const workgroups = gridOf(Math.ceil((out.rows * out.columns) / 64));
  return [{ how: "gather", code, workgroups, parameters: source.parameters }];
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

/**
 * A workgroup for each row of the result looks for the input rows that belong to it, so many at a time, and adds them in their
 * order: no two invocations write to one place, and every run adds alike.
 */
export function planScatter({ input, index, out }: Scatter, { locate, flag }: Planning): readonly KernelDispatch[] {
  const size = 64;
  const source = createSource(locate, flag);
  const [from, rows, to] = [source.matrix(input), source.matrix(index), source.matrix(out)];
  const [count, columns, groups] = [source.word(input.rows), source.word(out.columns), source.word(out.rows)];
  const across = Math.ceil(out.columns / size);
  const acrossWord = source.word(across);
  const declarations = `var<workgroup> found: array<atomic<u32>, ${size / 32}>;`;
  const body = `let row = group / ${acrossWord};
  let c = (group % ${acrossWord}) * ${size}u + lane;
  if (row >= ${groups}) { return; }
  var sum = 0.0;
  for (var begin = 0u; begin < ${count}; begin += ${size}u) {
    if (lane < ${size / 32}u) { atomicStore(&found[lane], 0u); }
    workgroupBarrier();
    let r = begin + lane;
    if (r < ${count}) {
      if (u32(${rows.load(rows.at("r", "0u"))}) == row) { atomicOr(&found[lane / 32u], 1u << (lane % 32u)); }
    }
    workgroupBarrier();
    for (var word = 0u; word < ${size / 32}u; word++) {
      for (var bits = atomicLoad(&found[word]); bits != 0u; bits &= bits - 1u) {
        let source = begin + word * 32u + countTrailingZeros(bits);
        if (c < ${columns}) { sum += ${from.load(from.at("source", "c"))}; }
      }
    }
    workgroupBarrier();
  }
  if (c < ${columns}) { ${to.store(to.at("row", "c"), "sum")} }`;
  const code = shaderOf({ source, size, declarations, body });
  return [{ how: "scatter", code, workgroups: gridOf(out.rows * across), parameters: source.parameters }];
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
