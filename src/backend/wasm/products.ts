/**
 * Matrix products out [m, n] (+)= A [m, k]·B [k, n]. How one is done is decided by its shape, once:
 *
 * - dot: B's columns lie along the depth and there are few rows or columns, so vectors run along the depth.
 * - tiles: a tile of out in registers (4 × 8) walks down the depth. B is read from panels of 8 columns; a B that does
 *   not change in a loop is packed once before it, any other B in the call where enough rows share the work. A
 *   transposed A (weight gradients, a depth of thousands of rows) is packed by blocks of the depth.
 *
 * Loops, outside in: blocks of the depth, blocks of rows, panels of B, tiles of rows. A panel stays in the first-level
 * cache while all tiles of the block pass over it.
 */
import type { Product, View } from "../../program/program.js";
import type { FunctionBuilder } from "./assembler.js";
import { advance, type Argument, BYTES, type Call, type Emission, moving, type Pointer, times, viewArgument } from "./emission.js";
import { i32, type I32, plus } from "./instructions.js";
import { emitPack, packedBytes, type Packing, panelBytes } from "./packing.js";
import { emitDotTile, emitTile, type Tile } from "./tiles.js";

export interface Tuning {
  /** Rows of a tile. */
  readonly rows: number;
  /** Greatest depth of a block, for an A that is read where it lies and for one that is packed. */
  readonly depth: number;
  readonly packedDepth: number;
  /** Greatest size in bytes of a block of A's rows. */
  readonly blockBytes: number;
}

export const defaultTuning: Tuning = { rows: 4, depth: 512, packedDepth: 128, blockBytes: 65536 };

const PANEL = 8;
/** Columns of a tile of one, two or three rows: 1 × 24 and 2 × 16 read several panels. */
const TAIL_COLUMNS = [0, 24, 16, 8, 8, 8];
/** From this many rows on, packing B in the call pays. */
const ROWS_WORTH_PACKING = 8;
/** From this many columns on, packing a transposed A pays. */
const COLUMNS_WORTH_PACKING = 16;

interface Shape {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

export interface ProductCalls {
  /** To be called before the loop. */
  readonly prepare?: Call;
  readonly call: Call;
}

/** `constantB`: the product stands in a loop that leaves B as it is. */
export function emitProduct(
  emission: Emission,
  kernel: Product,
  label: string,
  constantB: boolean,
  tuning: Tuning = defaultTuning,
): ProductCalls {
  const shape = { m: kernel.out.rows, n: kernel.out.columns, k: kernel.transposeA ? kernel.a.rows : kernel.a.columns };
  const columnsAlongDepth = kernel.transposeB || (shape.n === 1 && kernel.b.stride === 1);
  const few = shape.n < 4 || (shape.m < ROWS_WORTH_PACKING && !constantB);
  if (!kernel.transposeA && columnsAlongDepth && few) return { call: emitDots(emission, kernel, label, shape) };
  return emitTiled(emission, kernel, label, shape, constantB, tuning);
}

/** Rows and columns of out in tiles of 1 × 8, 2 × 4, 4 × 2 or 8 × 1 dot products. */
function emitDots(emission: Emission, kernel: Product, label: string, { m, n, k }: Shape): Call {
  const columns = n >= 4 ? (m === 1 ? 8 : 4) : n === 1 ? 1 : 2;
  const rows = Math.min(m, 8 / columns);
  const bytes = (view: View): number => view.stride * BYTES;
  const bColumn = kernel.transposeB ? bytes(kernel.b) : 0;
  const target = emission.module.function(label, ["i32", "i32", "i32"], undefined, (f, a, b, out) => {
    const tile = (tileRows: number, tileColumns: number, place: { a: Pointer; b: Pointer; out: Pointer }): void =>
      emitDotTile(
        f,
        { rows: tileRows, columns: tileColumns, depth: k, aRow: bytes(kernel.a), bColumn, outRow: bytes(kernel.out) },
        { ...place, accumulate: kernel.accumulate },
      );
    const band = (tileRows: number, aRow: Pointer, outRow: Pointer): void => {
      const place = { a: aRow, b: moving(f, b), out: moving(f, outRow) };
      times(f, Math.floor(n / columns), () => {
        tile(tileRows, columns, place);
        advance(f, place.b, columns * bColumn);
        advance(f, place.out, columns * BYTES);
      });
      if (n % columns > 0) tile(tileRows, n % columns, place);
    };
    const [aRow, outRow] = [moving(f, a), moving(f, out)];
    times(f, Math.floor(m / rows), () => {
      band(rows, aRow, outRow);
      advance(f, aRow, rows * bytes(kernel.a));
      advance(f, outRow, rows * bytes(kernel.out));
    });
    if (m % rows > 0) band(m % rows, aRow, outRow);
  });
  return { target, parameters: [viewArgument(kernel.a), viewArgument(kernel.b), viewArgument(kernel.out)] };
}

/** A total in `count` parts of `size` and a rest: even parts where some divisor is at least half of the greatest size. */
export function split(total: number, greatest: number): { size: number; count: number; rest: number } {
  if (total <= greatest) return { size: total, count: 1, rest: 0 };
  for (let size = greatest; 2 * size >= greatest; size--) if (total % size === 0) return { size, count: total / size, rest: 0 };
  const size = Math.ceil(total / Math.ceil(total / greatest));
  return { size, count: Math.floor(total / size), rest: total % size };
}

function emitTiled(emission: Emission, kernel: Product, label: string, shape: Shape, constantB: boolean, tuning: Tuning): ProductCalls {
  const { m, n, k } = shape;
  const packA = kernel.transposeA && m >= tuning.rows && n >= COLUMNS_WORTH_PACKING;
  const packB = constantB || kernel.transposeB || m >= ROWS_WORTH_PACKING;
  const depths = split(k, packA ? tuning.packedDepth : tuning.depth);
  const packingB: Packing = {
    width: PANEL,
    lanes: n,
    stride: kernel.b.stride * BYTES,
    alongDepth: kernel.transposeB,
    capacity: constantB ? k : depths.size,
  };
  const packingA: Packing = { width: tuning.rows, lanes: m, stride: kernel.a.stride * BYTES, alongDepth: false, capacity: depths.size };

  const parameters: Argument[] = [viewArgument(kernel.a), viewArgument(kernel.b), viewArgument(kernel.out)];
  let prepare: Call | undefined;
  if (constantB) {
    const packed: Argument = { kind: "scratch", scratch: emission.scratch(packedBytes(packingB), "program") };
    const pack = emission.module.function(`${label}: pack`, ["i32", "i32"], undefined, (f, source, to) =>
      emitPack(f, packingB, source, to, k),
    );
    prepare = { target: pack, parameters: [viewArgument(kernel.b), packed] };
    parameters[1] = packed;
  }
  const bytesA = packA ? packedBytes(packingA) : 0;
  const bytesB = packB && !constantB ? packedBytes(packingB) : 0;
  const scratch = emission.scratch(bytesA + bytesB, "call");
  parameters.push({ kind: "scratch", scratch });

  const target = emission.module.function(label, ["i32", "i32", "i32", "i32"], undefined, (f, aStart, bStart, out, workspace) => {
    const [a, b] = [moving(f, aStart), moving(f, bStart)];
    const aDepth = kernel.transposeA ? kernel.a.stride * BYTES : BYTES;
    const bDepth = packB && constantB ? PANEL * BYTES : kernel.transposeB ? BYTES : kernel.b.stride * BYTES;
    const several = depths.count > 1 || depths.rest > 0;
    const accumulate = several ? f.let(i32.const(kernel.accumulate ? 1 : 0)) : kernel.accumulate;
    const block = (depth: number): void => {
      const place = { a, b, out };
      if (packA) {
        place.a = f.let(plus(workspace, bytesB));
        emitPack(f, packingA, a, place.a, depth);
      }
      if (bytesB > 0) {
        place.b = workspace;
        emitPack(f, packingB, b, place.b, depth);
      }
      emitNest(f, {
        m,
        n,
        depth,
        rowsOfTile: tuning.rows,
        blockRows: packA ? m : Math.max(tuning.rows, Math.floor(tuning.blockBytes / (depth * BYTES))),
        aRow: packA || kernel.transposeA ? BYTES : kernel.a.stride * BYTES,
        aTile: packA ? panelBytes(packingA) : tuning.rows * (kernel.transposeA ? BYTES : kernel.a.stride * BYTES),
        aDepth: packA ? tuning.rows * BYTES : aDepth,
        bDepth: packB ? PANEL * BYTES : kernel.b.stride * BYTES,
        bPanel: packB ? panelBytes(packingB) : PANEL * BYTES,
        outRow: kernel.out.stride * BYTES,
        accumulate,
        ...place,
      });
      advance(f, a, depth * aDepth);
      advance(f, b, depth * bDepth);
      if (typeof accumulate !== "boolean") f.set(accumulate, i32.const(1));
    };
    times(f, depths.count, () => block(depths.size));
    if (depths.rest > 0) block(depths.rest);
  });
  return { prepare, call: { target, parameters } };
}

/** One block of the depth: byte steps through A, B and out, and where they begin. */
interface Nest {
  readonly m: number;
  readonly n: number;
  readonly depth: number;
  readonly rowsOfTile: number;
  readonly blockRows: number;
  readonly aRow: number;
  readonly aTile: number;
  readonly aDepth: number;
  readonly bDepth: number;
  readonly bPanel: number;
  readonly outRow: number;
  readonly accumulate: boolean | Pointer;
  readonly a: Pointer;
  readonly b: Pointer;
  readonly out: Pointer;
}

function emitNest(f: FunctionBuilder, nest: Nest): void {
  const { m, n, rowsOfTile } = nest;
  const tiles = Math.floor(m / rowsOfTile);
  const a = moving(f, nest.a);
  const out = moving(f, nest.out);
  const blocks = split(tiles, Math.max(1, Math.floor(nest.blockRows / rowsOfTile)));
  const rowBlock = (count: number): void => {
    forPanels(f, nest, n, PANEL, out, (b, end, target, columns) => {
      const [aTile, outTile] = [moving(f, a), moving(f, target)];
      times(f, count, () => {
        emitTile(f, tileOf(nest, rowsOfTile, columns), { a: aTile, b, out: outTile, end, accumulate: nest.accumulate });
        advance(f, aTile, nest.aTile);
        advance(f, outTile, rowsOfTile * nest.outRow);
      });
    });
    advance(f, a, count * nest.aTile);
    advance(f, out, count * rowsOfTile * nest.outRow);
  };
  if (tiles > 0) {
    times(f, blocks.count, () => rowBlock(blocks.size));
    if (blocks.rest > 0) rowBlock(blocks.rest);
  }
  const rest = m % rowsOfTile;
  if (rest === 0) return;
  forPanels(f, nest, n, TAIL_COLUMNS[rest]!, out, (b, end, target, columns) =>
    emitTile(f, tileOf(nest, rest, columns), { a, b, out: target, end, accumulate: nest.accumulate }),
  );
}

/** Runs over the columns in groups of `width`, a number of whole panels, and once for the columns left. */
function forPanels(
  f: FunctionBuilder,
  nest: Nest,
  n: number,
  width: number,
  out: Pointer,
  body: (b: Pointer, end: I32, out: Pointer, columns: number) => void,
): void {
  const b = moving(f, nest.b);
  const target = moving(f, out);
  const group = (columns: number): void => body(b, f.let(plus(b, nest.depth * nest.bDepth)), target, columns);
  times(f, Math.floor(n / width), () => {
    group(width);
    advance(f, b, (width / PANEL) * nest.bPanel);
    advance(f, target, width * BYTES);
  });
  if (n % width > 0) group(n % width);
}

const tileOf = (nest: Nest, rows: number, columns: number): Tile => ({
  rows,
  columns,
  aRow: nest.aRow,
  aDepth: nest.aDepth,
  bDepth: nest.bDepth,
  bVector: (v) => Math.floor((v * 4) / PANEL) * nest.bPanel + ((v * 4) % PANEL) * BYTES,
  outRow: nest.outRow,
});
