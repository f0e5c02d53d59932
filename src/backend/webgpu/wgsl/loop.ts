/**
 * A whole loop, or so many of its steps, as one kernel: each workgroup has some rows of the batch and takes them through all steps. It
 * waits for none but itself, at a barrier after each of the loop's kernels.
 */
import type { Product, View } from "../../../program/program.js";
import type { KernelDispatch, Planning } from "../dispatch.js";
import { type TiledKernel, type TiledLoop, tileNumber } from "../loops/tiles.js";
import { chainElement } from "./chain.js";
import { type Lanes, meetings } from "./lanes.js";
import { gatherElement } from "./moves.js";
import { reducedColumns } from "./reduce.js";
import { softmaxRows } from "./rows.js";
import { createSource, gridOf, type Matrix, type Source, shaderOf } from "./source.js";

export interface LoopShape {
  /** Of the loop. */
  readonly steps: number;
  /** Those that dispatches before this one have taken, and those that this one takes. */
  readonly done: number;
  readonly atOnce: number;
  readonly reverse: boolean;
  /** Rows of the batch. */
  readonly rows: number;
  /** Rows of a workgroup, a power of two. */
  readonly perGroup: number;
  /** Invocations of a workgroup, a power of two. */
  readonly size: number;
}

/** How the invocations share a product: each has two columns of all rows, and a part of the depth. */
interface Sharing {
  readonly across: number;
  readonly parts: number;
}

/**
 * Columns of an invocation. For each number of the depth it loads one of each row's from workgroup memory, where all its neighbours
 * load the same, and two weights: with four rows about as long as a processor's way to its second cache takes for these weights.
 */
const COLUMNS = 2;
/** The least depth of a part. */
const DEPTH = 8;
/** Steps of the depth whose loads are under way together. */
const TOGETHER = 8;

const powerAbove = (x: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, x)));

function sharingOf({ a, out }: Product, size: number): Sharing {
  const across = Math.min(size, powerAbove(out.columns / COLUMNS));
  const parts = Math.min(size / across, powerAbove(a.columns / DEPTH));
  return { across, parts };
}

/** Numbers that pass between the parts of a product's depth. */
function betweenParts(kernel: TiledKernel["kernel"], { size, perGroup }: Pick<LoopShape, "size" | "perGroup">): number {
  return kernel.kind === "product" ? (sharingOf(kernel, size).parts - 1) * perGroup * kernel.out.columns : 0;
}

const mostBetweenParts = ({ body }: TiledLoop, shape: Pick<LoopShape, "size" | "perGroup">): number =>
  body.reduce((most, { kernel }) => Math.max(most, betweenParts(kernel, shape)), 0);

/** Bytes of workgroup memory that a loop takes. */
export function loopStorage(loop: TiledLoop, shape: Pick<LoopShape, "size" | "perGroup">): number {
  const meets = loop.body.some(({ kernel }) => kernel.kind === "reduce" || kernel.kind === "softmax");
  const arrays = [
    ...loop.tiles.map((columns) => columns * shape.perGroup),
    mostBetweenParts(loop, shape),
    meets ? shape.size : 0,
  ];
  return arrays.reduce((sum, numbers) => sum + Math.ceil(numbers / 4) * 16, 0);
}

export function loopKernel(loop: TiledLoop, shape: LoopShape, { locate, flag }: Planning): KernelDispatch {
  const { steps, done, atOnce, reverse, rows, perGroup, size } = shape;
  const source = tileSource(createSource(locate, flag), loop);
  const count = source.word(rows);
  const lanes: Lanes = { perRow: size / perGroup, size, rows: perGroup };

  const elements = (
    columns: number,
    text: string,
  ): string => `for (var e = lane; e < ${perGroup * columns}u; e += ${size}u) {
      let r = firstRow + e / ${columns}u;
      let c = e % ${columns}u;
      if (r < ${count}) {
        let i = r * ${columns}u + c;
        ${text}
      }
    }`;
  const textOf = (kernel: TiledKernel["kernel"]): string => {
    switch (kernel.kind) {
      case "chain":
        return elements(kernel.columns, chainElement(source, kernel, source.word(rows * kernel.columns)).text);
      case "gather":
        return elements(kernel.out.columns, gatherElement(source, kernel));
      case "reduce":
        return reducedColumns(source, kernel, lanes);
      case "softmax":
        return softmaxRows(source, kernel, lanes);
      case "product":
        return productText(source, kernel, count, shape);
    }
  };
  const block = (text: string): string => `{ ${text} }`;
  const first = loop.first.map((copy) => textOf(copy));
  const kernels = loop.body.map(
    ({ kernel, waits }) => `${waits ? "storageBarrier();\n    " : ""}// ${kernel.kind}
    ${block(textOf(kernel))}
    workgroupBarrier();`,
  );
  const last = loop.last.map((copy) => textOf(copy));
  const from = source.word(reverse ? steps - 1 - done : done);
  const onward = source.word(reverse ? -1 : 1);
  const stepsWord = source.word(atOnce);
  const body = `let firstRow = group * ${perGroup}u;
  for (var step = 0u; step < ${stepsWord}; step++) {
    ${source.preamble(`${from} + step * ${onward}`)}
    ${first.length > 0 ? `if (step == 0u) {\n    ${first.map(block).join("\n    ")}\n    workgroupBarrier();\n    }` : ""}
    ${kernels.join("\n    ")}
    ${last.length > 0 ? `if (step + 1u == ${stepsWord}) {\n    ${last.map(block).join("\n    ")}\n    }` : ""}
  }`;
  const between = mostBetweenParts(loop, shape);
  const declarations = [
    ...loop.tiles.map((columns, i) => `var<workgroup> tile${i}: array<f32, ${columns * perGroup}>;`),
    ...(between > 0 ? [`var<workgroup> between: array<f32, ${between}>;`] : []),
    meetings(lanes, body),
  ].join("\n");
  const code = shaderOf({ source: { ...source, preamble: () => "" }, size, declarations, body });
  const how = `${atOnce < steps ? `${atOnce} of ` : ""}${steps} steps in one dispatch, ${perGroup} ${perGroup === 1 ? "row" : "rows"} a workgroup`;
  return { how, code, workgroups: gridOf(Math.ceil(rows / perGroup)), parameters: source.parameters };
}

/** A source that knows the tiles: of a view of one, row r of the batch is row r − firstRow. */
function tileSource(source: Source, { tiles }: TiledLoop): Source {
  return {
    ...source,
    matrix(view: View): Matrix {
      const number = tileNumber(view);
      if (number === undefined) return source.matrix(view);
      const columns = tiles[number]!;
      const base = `(${view.offset}u - firstRow * ${columns}u)`;
      return {
        space: "temporaries",
        base,
        stride: `${columns}u`,
        at: (row, column) => `${base} + ${row} * ${columns}u + ${column}`,
        load: (place) => `tile${number}[${place}]`,
        store: (place, value) => `tile${number}[${place}] = ${value};`,
      };
    },
  };
}

/** The place of an element in one of a workgroup's rows, by the row's number there: in a tile as short as it gets. */
const placeIn =
  (view: View, matrix: Matrix) =>
  (row: number, column: string): string =>
    tileNumber(view) === undefined
      ? matrix.at(`(firstRow + ${row}u)`, column)
      : `${view.offset + row * view.stride}u + ${column}`;

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** A product of few rows: each weight is loaded once, by neighbours side by side, for all rows. */
function productText(source: Source, product: Product, count: string, shape: LoopShape): string {
  const { perGroup, size } = shape;
  const { a, b, out, accumulate } = product;
  const [n, k] = [out.columns, a.columns];
  const { across, parts } = sharingOf(product, size);
  const perPart = Math.ceil(k / parts);
  const [A, B, to] = [source.matrix(a), source.matrix(b), source.matrix(out)];
  const [inA, inOut] = [placeIn(a, A), placeIn(out, to)];
  const rows = range(perGroup);
  const columns = range(COLUMNS);
  const each = (text: (r: number, j: number) => string): string =>
    rows.flatMap((r) => columns.map((j) => text(r, j))).join(" ");
  const depth = (d: string): string =>
    [
      ...columns.map((j) => `let b${j} = ${B.load(B.at(d, `n${j}`))};`),
      ...rows.map((r) => `let a${r} = ${A.load(inA(r, d))};`),
      each((r, j) => `s${r}_${j} += a${r} * b${j};`),
    ].join(" ");
  const loop =
    perPart >= TOGETHER
      ? `for (; d + ${TOGETHER}u <= end; d += ${TOGETHER}u) {
      ${range(TOGETHER)
        .map((i) => `{ ${depth(`(d + ${i}u)`)} }`)
        .join("\n      ")}
    }`
      : "";
  const place = (r: number, j: number): string => inOut(r, `(x + ${j * across}u)`);
  const stored = each((r, j) => {
    const value = accumulate ? `${to.load(place(r, j))} + s${r}_${j}` : `s${r}_${j}`;
    return `if (firstRow + ${r}u < ${count} && x + ${j * across}u < ${n}u) { ${to.store(place(r, j), value)} }`;
  });
  const results = perGroup * n;
  const left = each(
    (r, j) =>
      `if (x + ${j * across}u < ${n}u) { between[(part - 1u) * ${results}u + ${r * n}u + n${j}] = s${r}_${j}; }`,
  );
  // All sum what the parts have left, so that those of the first add one number to each of theirs (reasoned, not measured). With one
  // row there is less to save than the barrier takes.
  const summed =
    parts > 2 && perGroup > 1
      ? `
    for (var e = lane; e < ${results}u; e += ${size}u) {
      var sum = between[e];
      for (var other = 1u; other < ${parts - 1}u; other++) { sum += between[other * ${results}u + e]; }
      between[e] = sum;
    }
    workgroupBarrier();`
      : "";
  const add = (other: string): string => each((r, j) => `s${r}_${j} += between[${other}${r * n}u + n${j}];`);
  const added = summed
    ? add("")
    : `for (var other = 0u; other < ${parts - 1}u; other++) { ${add(`other * ${results}u + `)} }`;
  const together =
    parts === 1
      ? across === size
        ? stored
        : `if (part == 0u) { ${stored} }`
      : `if (part > 0u && part < ${parts}u) { ${left} }
    workgroupBarrier();${summed}
    if (part == 0u) {
      ${added}
      ${stored}
    }`;
  const text = `${columns.map((j) => `let n${j} = min(x + ${j * across}u, ${n - 1}u);`).join(" ")}
    ${each((r, j) => `var s${r}_${j} = 0.0;`)}
    let end = min(part * ${perPart}u + ${perPart}u, ${k}u);
    var d = part * ${perPart}u;
    ${loop}
    for (; d < end; d++) { ${depth("d")} }
    ${together}`;
  return across * COLUMNS < n
    ? `let part = 0u;
    for (var x = lane; x < ${n}u; x += ${across * COLUMNS}u) {
    ${text}
    }`
    : `let x = lane % ${across}u;
    let part = lane / ${across}u;
    ${text}`;
}
