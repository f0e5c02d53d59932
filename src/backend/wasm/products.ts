/**
 * Matrix products out [m, n] (+)= A [m, k]·B [k, n]. How one is done is decided by its shape, once:
 *
 * - dots: B's columns lie along the depth and there are few rows or columns (`dots.ts`).
 * - tiles: a tile of out in registers walks down the depth (`tiles.ts`). B is read from panels of 8 columns: one that a
 *   loop leaves as it is is packed once before it, any other in the call where enough rows share the work. A is packed
 *   in the call, in panels of 5 rows.
 *
 * Loops, outside in: blocks of the depth, blocks of rows, panels of B, tiles of rows. A block of A and a panel of B stay
 * in the first-level cache while the tiles pass over them.
 */
import type { Product } from "../../program/program.js";
import type { FunctionBuilder } from "./assembler.js";
import { emitDots } from "./dots.js";
import {
  type Argument,
  advance,
  BYTES,
  type Call,
  type Emission,
  LANES,
  moving,
  type Pointer,
  times,
  viewArgument,
} from "./emission.js";
import { i32, plus } from "./instructions.js";
import { emitPack, type Packing, packedBytes, panelBytes } from "./packing.js";
import { emitTile } from "./tiles.js";

export interface Tuning {
  /** Rows of a tile and columns of a panel. */
  readonly rows: number;
  readonly panel: number;
  /** Columns of a panel for a single row. */
  readonly rowPanel: number;
  /** Greatest depth of a block of A, and its greatest size in bytes. */
  readonly block: { readonly depth: number; readonly bytes: number };
  /** The same for a transposed A, whose rows lie across: a deep block would touch too many pages. */
  readonly transposedBlock: { readonly depth: number; readonly bytes: number };
}

/** Measured on Node 20 and 24 without 256-bit revectorisation: `test/backend/wasm/bench.ts`. */
export const defaultTuning: Tuning = {
  rows: 5,
  panel: 8,
  rowPanel: 28,
  block: { depth: 512, bytes: 32768 },
  transposedBlock: { depth: 128, bytes: 65536 },
};

/** From this many rows on, packing B in the call pays. */
const ROWS_WORTH_PACKING = 8;

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
  const { rows: m, columns: n } = kernel.out;
  const columnsAlongDepth = kernel.transposeB || (n === 1 && kernel.b.stride === 1);
  const few = n < 4 || (m < ROWS_WORTH_PACKING && !constantB);
  if (!kernel.transposeA && columnsAlongDepth && few) return { call: emitDots(emission, kernel, label) };
  return emitTiled(emission, kernel, label, planOf(kernel, constantB, tuning));
}

/** A total in `count` parts of `size` and a rest: even parts where some divisor is at least half of the greatest size. */
export function split(total: number, greatest: number): { size: number; count: number; rest: number } {
  if (total <= greatest) return { size: total, count: 1, rest: 0 };
  for (let size = greatest; 2 * size >= greatest; size--)
    if (total % size === 0) return { size, count: total / size, rest: 0 };
  const size = Math.ceil(total / Math.ceil(total / greatest));
  return { size, count: Math.floor(total / size), rest: total % size };
}

/** Rows of out that go through tiles of one height. */
interface RowGroup {
  readonly rows: number;
  readonly tiles: number;
  /** Tiles in a block of A. */
  readonly blocks: ReturnType<typeof split>;
  /** Columns of a tile. */
  readonly columns: number;
}

/** How a tiled product is carried out. */
interface Plan {
  readonly n: number;
  readonly depths: ReturnType<typeof split>;
  readonly groups: readonly RowGroup[];
  /** Bytes of the largest block of A. */
  readonly blockBytes: number;
  /** In the call, or before the loop with `constantB`; undefined where B is read as it lies. */
  readonly packedB: Packing | undefined;
  readonly constantB: boolean;
  readonly panel: number;
}

function planOf(kernel: Product, constantB: boolean, tuning: Tuning): Plan {
  const { rows: m, columns: n } = kernel.out;
  const k = kernel.transposeA ? kernel.a.rows : kernel.a.columns;
  const limits = kernel.transposeA ? tuning.transposedBlock : tuning.block;
  const depths = split(k, limits.depth);
  const packB = constantB || kernel.transposeB || m >= ROWS_WORTH_PACKING;
  const panel = m === 1 ? tuning.rowPanel : tuning.panel;
  const groups = rowTiles(m, tuning.rows).map(({ rows, tiles }): RowGroup => {
    const blocks = split(tiles, Math.max(1, Math.floor(limits.bytes / (rows * depths.size * BYTES))));
    return { rows, tiles, blocks, columns: rows > 2 ? panel : wideColumns(rows, panel) };
  });
  return {
    n,
    depths,
    groups,
    blockBytes: Math.max(...groups.map(({ rows, blocks }) => blocks.size * rows)) * depths.size * BYTES,
    constantB,
    panel,
    packedB: packB
      ? {
          width: panel,
          lanes: n,
          stride: kernel.b.stride * BYTES,
          alongDepth: kernel.transposeB,
          capacity: constantB ? k : depths.size,
        }
      : undefined,
  };
}

/** Tiles of `size` rows and one of the rows left; two tiles of 4 in place of 5 and 3. */
function rowTiles(m: number, size: number): { rows: number; tiles: number }[] {
  const rest = m % size;
  const even = size === 5 && rest === 3 && m > size;
  const groups = [
    { rows: size, tiles: Math.floor(m / size) - (even ? 1 : 0) },
    { rows: even ? 4 : rest, tiles: even ? 2 : 1 },
  ];
  return groups.filter(({ rows, tiles }) => rows > 0 && tiles > 0);
}

/** A tile of one or two rows reads several panels of 8, 1 × 24 or 2 × 16: enough accumulators to be busy. */
const wideColumns = (rows: number, panel: number): number =>
  Math.max(1, Math.floor((rows === 1 ? 24 : 16) / panel)) * panel;

function emitTiled(emission: Emission, kernel: Product, label: string, plan: Plan): ProductCalls {
  const { packedB, constantB } = plan;
  const parameters: Argument[] = [viewArgument(kernel.a), viewArgument(kernel.b), viewArgument(kernel.out)];
  let prepare: Call | undefined;
  if (constantB && packedB) {
    const packed: Argument = { kind: "scratch", scratch: emission.scratch(packedBytes(packedB), "program") };
    const pack = emission.module.function(`${label}: pack`, ["i32", "i32"], undefined, (f, source, to) =>
      emitPack(f, packedB, source, to, packedB.capacity),
    );
    prepare = { target: pack, parameters: [viewArgument(kernel.b), packed] };
    parameters[1] = packed;
  }
  const bytesB = packedB && !constantB ? packedBytes(packedB) : 0;
  parameters.push({ kind: "scratch", scratch: emission.scratch(bytesB + plan.blockBytes, "call") });

  const target = emission.module.function(
    label,
    ["i32", "i32", "i32", "i32"],
    undefined,
    (f, aStart, bStart, out, workspace) => {
      const [a, b] = [moving(f, aStart), moving(f, bStart)];
      const workA = f.let(plus(workspace, bytesB));
      const { depths } = plan;
      const several = depths.count > 1 || depths.rest > 0;
      const accumulate = several ? f.let(i32.const(kernel.accumulate ? 1 : 0)) : kernel.accumulate;
      const steps = stepsOf(kernel, plan);
      const block = (depth: number): void => {
        if (bytesB > 0) emitPack(f, packedB!, b, workspace, depth);
        const nest = { kernel, plan, steps, depth, accumulate, b: bytesB > 0 ? workspace : b, workA };
        emitRows(f, nest, a, out);
        if (!several) return;
        advance(f, a, depth * steps.aDepth);
        advance(f, b, depth * (constantB ? steps.bDepth : kernel.transposeB ? BYTES : kernel.b.stride * BYTES));
        f.set(accumulate as Pointer, i32.const(1));
      };
      times(f, depths.count, () => block(depths.size));
      if (depths.rest > 0) block(depths.rest);
    },
  );
  return { prepare, call: { target, parameters } };
}

/** Byte steps: through A where it lies, through B as the tiles read it, through out. */
function stepsOf(kernel: Product, plan: Plan) {
  const aStride = kernel.a.stride * BYTES;
  return {
    aRow: kernel.transposeA ? BYTES : aStride,
    aDepth: kernel.transposeA ? aStride : BYTES,
    bDepth: plan.packedB ? plan.panel * BYTES : kernel.b.stride * BYTES,
    bPanel: plan.packedB ? panelBytes(plan.packedB) : plan.panel * BYTES,
    outRow: kernel.out.stride * BYTES,
  };
}

/** One block of the depth. */
interface Nest {
  readonly kernel: Product;
  readonly plan: Plan;
  readonly steps: ReturnType<typeof stepsOf>;
  readonly depth: number;
  readonly accumulate: boolean | Pointer;
  readonly b: Pointer;
  /** Where a block of A is packed to. */
  readonly workA: Pointer;
}

/** Blocks of rows: each is packed, and all of B passes over it. */
function emitRows(f: FunctionBuilder, nest: Nest, aStart: Pointer, outStart: Pointer): void {
  const { kernel, steps, depth, workA } = nest;
  const a = moving(f, aStart);
  const out = moving(f, outStart);
  for (const group of nest.plan.groups) {
    const { rows, blocks } = group;
    const rowBlock = (tiles: number): void => {
      const packing: Packing = {
        width: rows,
        lanes: tiles * rows,
        stride: kernel.a.stride * BYTES,
        alongDepth: !kernel.transposeA,
        capacity: depth,
      };
      emitPack(f, packing, a, workA, depth);
      forPanels(f, nest, group.columns, out, (b, end, target, columns) => {
        const [aTile, outTile] = [moving(f, workA), moving(f, target)];
        times(f, tiles, () => {
          const place = { a: aTile, b, out: outTile, end, accumulate: nest.accumulate };
          emitTile(f, { rows, columns, ...steps, bVector: (v) => vectorOffset(nest, v) }, place);
          advance(f, aTile, panelBytes(packing));
          advance(f, outTile, rows * steps.outRow);
        });
      });
      advance(f, a, tiles * rows * steps.aRow);
      advance(f, out, tiles * rows * steps.outRow);
    };
    times(f, blocks.count, () => rowBlock(blocks.size));
    if (blocks.rest > 0) rowBlock(blocks.rest);
  }
}

/** Runs over the columns in groups of `width`, a number of whole panels, and once for the columns left. */
function forPanels(
  f: FunctionBuilder,
  { plan, steps, depth, b: start }: Nest,
  width: number,
  out: Pointer,
  body: (b: Pointer, end: Pointer, out: Pointer, columns: number) => void,
): void {
  const b = moving(f, start);
  const target = moving(f, out);
  const group = (columns: number): void => body(b, f.let(plus(b, depth * steps.bDepth)), target, columns);
  times(f, Math.floor(plan.n / width), () => {
    group(width);
    advance(f, b, (width / plan.panel) * steps.bPanel);
    advance(f, target, width * BYTES);
  });
  if (plan.n % width > 0) group(plan.n % width);
}

/** The offset of the v-th vector of B from the first, at one depth. */
function vectorOffset({ plan, steps }: Nest, v: number): number {
  const column = v * LANES;
  return Math.floor(column / plan.panel) * steps.bPanel + (column % plan.panel) * BYTES;
}
