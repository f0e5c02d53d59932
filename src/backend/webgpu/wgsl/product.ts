/**
 * Matrix products: tiles of A and B go through workgroup memory, each invocation keeps a block of the result in registers. Where
 * the result has too few tiles to fill a device, the depth is cut into parts, summed by a second dispatch in their order.
 */
import type { Product, View } from "../../../program/program.js";
import type { DeviceLimits, KernelDispatch, Planning } from "../dispatch.js";
import { elementKernel, placeOf } from "./elements.js";
import { createSource, gridOf, type Matrix, type Source, shaderOf } from "./source.js";

/** A workgroup's tile of the result, the depth that is in workgroup memory at once, and an invocation's block. */
interface Tiling {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly blockRows: number;
  /** 4 or 8. */
  readonly blockColumns: number;
  /** Multiply-adds done in the time that the best one does one: loads from workgroup memory slow the others. */
  readonly efficiency: number;
}

const tilings: readonly Tiling[] = [
  { rows: 128, columns: 128, depth: 8, blockRows: 8, blockColumns: 8, efficiency: 1 },
  { rows: 64, columns: 64, depth: 16, blockRows: 4, blockColumns: 4, efficiency: 0.75 },
  { rows: 32, columns: 64, depth: 16, blockRows: 4, blockColumns: 4, efficiency: 0.7 },
  { rows: 64, columns: 32, depth: 16, blockRows: 4, blockColumns: 4, efficiency: 0.7 },
  { rows: 32, columns: 32, depth: 16, blockRows: 2, blockColumns: 4, efficiency: 0.55 },
  { rows: 16, columns: 64, depth: 16, blockRows: 2, blockColumns: 4, efficiency: 0.55 },
  { rows: 64, columns: 16, depth: 16, blockRows: 4, blockColumns: 4, efficiency: 0.55 },
  { rows: 16, columns: 16, depth: 32, blockRows: 1, blockColumns: 4, efficiency: 0.35 },
  { rows: 4, columns: 64, depth: 32, blockRows: 1, blockColumns: 4, efficiency: 0.35 },
  { rows: 64, columns: 4, depth: 32, blockRows: 1, blockColumns: 4, efficiency: 0.35 },
];

const invocationsOf = ({ rows, columns, blockRows, blockColumns }: Tiling): number =>
  (rows / blockRows) * (columns / blockColumns);

/** Numbers that pass through an invocation at once. */
const QUAD = 4;
/**
 * Fours from a depth to the next in a side's tile. Where neighbours fetch neighbouring depths they are odd, so that the eight of them
 * that store together meet eight different banks (reasoned, not measured).
 */
const rowLength = (side: number, alongDepth: boolean): number => (alongDepth ? (side / QUAD) | 1 : side / QUAD);
/** Bytes of workgroup memory, whichever way the sides are fetched. */
const storageOf = ({ rows, columns, depth }: Tiling): number =>
  (rowLength(rows, true) + rowLength(columns, true)) * depth * QUAD * 4;

/** Workgroups that a device is taken to carry out side by side. */
const SIDE_BY_SIDE = 128;
/** What another dispatch costs, in multiply-adds of one workgroup. */
const DISPATCH = 800_000;
/** What each number of a part costs: written, and read again. */
const PART = 16;
const LEAST_DEPTH = 128;

export interface Shape {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

export interface Choice {
  readonly tiling: Tiling;
  /** Parts of the depth. */
  readonly parts: number;
}

/** The tiling, and the number of parts of the depth, that should take the least time. */
export function chooseTiling({ m, n, k }: Shape, { invocations, workgroupStorage }: DeviceLimits): Choice {
  let best: Choice | undefined;
  let least = Infinity;
  for (const tiling of tilings) {
    if (invocationsOf(tiling) > invocations || storageOf(tiling) > workgroupStorage) continue;
    const tiles = Math.ceil(m / tiling.rows) * Math.ceil(n / tiling.columns);
    for (let parts = 1; parts === 1 || (k / parts >= LEAST_DEPTH && parts <= 64); parts *= 2) {
      const rounds = Math.ceil((tiles * parts) / SIDE_BY_SIDE);
      const work = (rounds * Math.ceil(k / parts) * tiling.rows * tiling.columns) / tiling.efficiency;
      const cost = work + (parts === 1 ? 0 : DISPATCH + (m * n * parts * PART) / SIDE_BY_SIDE);
      if (cost < least) [least, best] = [cost, { tiling, parts }];
    }
  }
  if (!best) throw new Error(`no product fits ${invocations} invocations and ${workgroupStorage} bytes of a workgroup`);
  return best;
}

export function planProduct(product: Product, { locate, limits, flag, scratch }: Planning): readonly KernelDispatch[] {
  const { a, out, transposeA, accumulate } = product;
  const shape: Shape = { m: out.rows, n: out.columns, k: transposeA ? a.rows : a.columns };
  const { tiling, parts } = chooseTiling(shape, limits);
  if (parts === 1) return [tiles(product, shape, { tiling, parts }, createSource(locate, flag))];
  const partial = scratch(parts, shape.m * shape.n);
  const first = tiles(product, shape, { tiling, parts }, createSource(locate), partial);
  const source = createSource(locate, flag);
  const elements = shape.m * shape.n;
  const [count, columns] = [source.word(elements), source.word(shape.n)];
  const from = source.matrix(partial);
  const to = source.matrix(out);
  const text = `let place = ${placeOf(to, out, columns)};
  var sum = ${accumulate ? to.load("place") : "0.0"};
  for (var part = 0u; part < ${source.word(parts)}; part++) { sum += ${from.load(from.at("part", "i"))}; }
  ${to.store("place", "sum")}`;
  return [first, { how: `sum of ${parts} parts`, ...elementKernel({ source, elements, count, text }) }];
}

/** The product; with `partial`, each part of it, one after the other. */
function tiles(
  { a, b, out, transposeA, transposeB, accumulate }: Product,
  { m, n, k }: Shape,
  { tiling, parts }: Choice,
  source: Source,
  partial?: View,
): KernelDispatch {
  const [A, B] = [source.matrix(a), source.matrix(b)];
  const to = source.matrix(partial ? { ...partial, rows: parts * m, columns: n, stride: n } : out);
  const [M, N, K] = [source.word(m), source.word(n), source.word(k)];
  const [across, down] = [Math.ceil(n / tiling.columns), Math.ceil(m / tiling.rows)];
  // Whole depths of a tile, so that no part ends within one.
  const perPart = Math.ceil(k / parts / tiling.depth) * tiling.depth;
  const tilesAcross = source.word(across);
  const tilesDown = source.word(down);
  const size = invocationsOf(tiling);
  const inRow = tiling.columns / tiling.blockColumns;
  const [rowA, rowB] = [rowLength(tiling.rows, !transposeA), rowLength(tiling.columns, transposeB)];
  const quadsOfBlock = tiling.blockColumns / QUAD;
  const quad = [0, 1, 2, 3];

  /** Fetches a tile in fours along the side that goes along the result. */
  const fill = (name: string, { base }: Matrix, side: number, first: string, alongDepth: boolean): string => {
    const quads = side / QUAD;
    const count = quads * tiling.depth;
    // Neighbours fetch what lies side by side.
    const [along, at] = alongDepth
      ? [`(j / ${tiling.depth}u)`, `(j % ${tiling.depth}u)`]
      : [`(j % ${quads}u)`, `(j / ${quads}u)`];
    const one = (j: string): string => `{
      let j = ${j};
      let side = ${first} + ${along} * 4u;
      let depth = k0 + ${at};
      tile${name}[${at} * ${rowLength(side, alongDepth)}u + ${along}] = vec4<f32>(${quad.map((i) => `fetch${name}(${base}, side + ${i}u, depth)`).join(", ")});
    }`;
    if (count < size) return `if (lane < ${count}u) ${one("lane")}`;
    return count === size ? one("lane") : `for (var l = lane; l < ${count}u; l += ${size}u) ${one("l")}`;
  };
  const fetching = (name: string, matrix: Matrix, side: string, transposed: boolean): string => {
    const [row, column] = transposed ? ["depth", "side"] : ["side", "depth"];
    return `fn fetch${name}(base: u32, side: u32, depth: u32) -> f32 {
  if (side >= ${side} || depth >= ${K}) { return 0.0; }
  return ${matrix.load(`base + ${row} * ${matrix.stride} + ${column}`)};
}`;
  };
  // All by name: an index that is known only at run time would put a vector into an invocation's own memory, far from registers.
  const adds = accumulate && !partial;
  const atEdge = (i: number): string => {
    const [place, value] = [`first + ${i}u`, `values.${"xyzw"[i]}`];
    return `if (column + ${i}u < ${N}) { ${to.store(place, adds ? `${to.load(place)} + ${value}` : value)} }`;
  };
  const declarations = `var<workgroup> tileA: array<vec4<f32>, ${rowA * tiling.depth}>;
var<workgroup> tileB: array<vec4<f32>, ${rowB * tiling.depth}>;
${fetching("A", A, M, transposeA)}
${fetching("B", B, N, !transposeB)}
fn put(base: u32, part: u32, row: u32, column: u32, values: vec4<f32>${source.flag ? ", commits: bool" : ""}) {
  if (row >= ${M}) { return; }
  let first = base + (part * ${M} + row) * ${to.stride} + column;
  if (column + ${QUAD}u <= ${N}) {
    let all = ${adds ? `values + vec4<f32>(${quad.map((i) => to.load(`first + ${i}u`)).join(", ")})` : "values"};
    ${quad.map((i) => to.store(`first + ${i}u`, `all.${"xyzw"[i]}`)).join("\n    ")}
  } else {
    ${quad.slice(0, -1).map(atEdge).join("\n    ")}
  }
}`;
  const rows = Array.from({ length: tiling.blockRows }, (_, i) => i);
  const quads = Array.from({ length: quadsOfBlock }, (_, j) => j);
  const scalarOfA = (i: number): string =>
    tiling.blockRows % QUAD === 0
      ? `a${Math.floor(i / QUAD)}.${"xyzw"[i % QUAD]}`
      : `tileA[d * ${rowA}u + (y + ${i}u) / 4u][(y + ${i}u) % 4u]`;
  const loadsA =
    tiling.blockRows % QUAD === 0
      ? Array.from({ length: tiling.blockRows / QUAD }, (_, i) => `let a${i} = tileA[d * ${rowA}u + y / 4u + ${i}u];`)
      : [];
  const body = `let n0 = (group % ${tilesAcross}) * ${tiling.columns}u;
  let m0 = ((group / ${tilesAcross}) % ${tilesDown}) * ${tiling.rows}u;
  let part = group / (${tilesAcross} * ${tilesDown});
  if (part >= ${source.word(parts)}) { return; }
  let x = lane % ${inRow}u;
  let y = (lane / ${inRow}u) * ${tiling.blockRows}u;
  ${rows.flatMap((i) => quads.map((j) => `var c${i}_${j} = vec4<f32>(0.0);`)).join(" ")}
  let last = min((part + 1u) * ${source.word(perPart)}, ${K});
  for (var k0 = part * ${source.word(perPart)}; k0 < last; k0 += ${tiling.depth}u) {
    ${fill("A", A, tiling.rows, "m0", !transposeA)}
    ${fill("B", B, tiling.columns, "n0", transposeB)}
    workgroupBarrier();
    for (var d = 0u; d < ${tiling.depth}u; d++) {
      ${loadsA.join(" ")}
      ${quads.map((j) => `let b${j} = tileB[d * ${rowB}u + x + ${j * inRow}u];`).join(" ")}
      ${rows.flatMap((i) => quads.map((j) => `c${i}_${j} += ${scalarOfA(i)} * b${j};`)).join("\n      ")}
    }
    workgroupBarrier();
  }
  ${rows
    .flatMap((i) =>
      quads.map(
        (j) =>
          `put(${to.base}, part, m0 + y + ${i}u, n0 + (x + ${j * inRow}u) * 4u, c${i}_${j}${source.flag ? ", commits" : ""});`,
      ),
    )
    .join("\n  ")}`;
  const code = shaderOf({ source, size, declarations, body });
  const how = `product ${tiling.rows}×${tiling.columns}${parts > 1 ? `, depth in ${parts} parts` : ""}`;
  return { how, code, workgroups: gridOf(across * down * parts), parameters: source.parameters };
}
