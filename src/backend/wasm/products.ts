/**
 * Matrix products out [m, n] (+)= A [m, k]·B [k, n]. How one is done is decided by its shape, once:
 *
 * - dots: B's columns lie along the depth and there are few rows or columns (`dots.ts`).
 * - tiles: a tile of out in registers walks down the depth (`tiles.ts`). B is read from panels of 8 columns. A B that a
 *   loop leaves as it is is packed once before it; any other B in the call where enough rows share the work. A is
 *   packed in panels of 5 rows where enough columns share that work.
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
  moving,
  type Pointer,
  times,
  viewArgument,
} from "./emission.js";
import { i32, plus } from "./instructions.js";
import { emitPack, type Packing, packedBytes, panelBytes } from "./packing.js";
import { emitTile } from "./tiles.js";

export interface Tuning {
  /** Rows of a tile, where they lie side by side, and columns of a panel. */
  readonly rows: number;
  readonly panel: number;
  /** Columns of a panel for a single row. */
  readonly rowPanel: number;
  /** Greatest depth of a block. */
  readonly depth: number;
  /** Greatest size in bytes of a block of A. */
  readonly blockBytes: number;
}

/** Measured on Node 20 and 24 without 256-bit revectorisation: `test/backend/wasm/bench.ts`. */
export const defaultTuning: Tuning = { rows: 5, panel: 8, rowPanel: 28, depth: 512, blockBytes: 32768 };

/** Rows of a tile whose rows do not lie side by side. */
const ROWS_APART = 4;
/** From this many rows on, packing B in the call pays. */
const ROWS_WORTH_PACKING = 8;
/** From this many columns on, packing A pays: a transposed one is copied, another one turned round. */
const COLUMNS_WORTH_COPYING = 16;
const COLUMNS_WORTH_TURNING = 48;

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

/** How a tiled product is carried out. */
interface Plan {
  readonly m: number;
  readonly n: number;
  readonly depths: ReturnType<typeof split>;
  readonly packedA: Packing | undefined;
  /** In the call, or before the loop with `constantB`. */
  readonly packedB: Packing | undefined;
  readonly constantB: boolean;
  /** Rows of a tile in the main part, the number of such tiles, and their blocks. */
  readonly tileRows: number;
  readonly tiles: number;
  readonly blocks: ReturnType<typeof split>;
  /** The tiles of the rows left over, which read A where it lies. */
  readonly restTiles: readonly number[];
  readonly panel: number;
}

function planOf(kernel: Product, constantB: boolean, tuning: Tuning): Plan {
  const { rows: m, columns: n } = kernel.out;
  const k = kernel.transposeA ? kernel.a.rows : kernel.a.columns;
  const depths = split(k, tuning.depth);
  const packA = m >= tuning.rows && n >= (kernel.transposeA ? COLUMNS_WORTH_COPYING : COLUMNS_WORTH_TURNING);
  const packB = constantB || kernel.transposeB || m >= ROWS_WORTH_PACKING;
  const tileRows = kernel.transposeA || packA ? tuning.rows : ROWS_APART;
  const { tiles, rest } = rowTiles(m, tileRows);
  const blockTiles = Math.max(1, Math.floor(tuning.blockBytes / (tileRows * depths.size * BYTES)));
  const blocks = split(Math.max(1, tiles), blockTiles);
  const panel = m === 1 ? tuning.rowPanel : tuning.panel;
  return {
    m,
    n,
    depths,
    constantB,
    tileRows,
    tiles,
    blocks,
    panel,
    restTiles: rest,
    packedA: packA
      ? {
          width: tileRows,
          lanes: blocks.size * tileRows,
          stride: kernel.a.stride * BYTES,
          alongDepth: !kernel.transposeA,
          capacity: depths.size,
        }
      : undefined,
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

/** Tiles of `size` rows and what is left: 4, 2 or 1 rows, or two tiles of 4 in place of 5 and 3. */
function rowTiles(m: number, size: number): { tiles: number; rest: number[] } {
  const tiles = Math.floor(m / size);
  const rest = m % size;
  if (size === 5 && rest === 3 && tiles > 0) return { tiles: tiles - 1, rest: [4, 4] };
  return { tiles, rest: rest > 0 ? [rest] : [] };
}

/** Columns of a tile of few rows: 1 × 24 and 2 × 16 read several panels of 8. */
const restColumns = (rows: number, panel: number): number =>
  Math.max(1, Math.floor((rows === 1 ? 24 : rows === 2 ? 16 : 8) / panel)) * panel;

function emitTiled(emission: Emission, kernel: Product, label: string, plan: Plan): ProductCalls {
  const { packedA, packedB, constantB } = plan;
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
  const bytesA = packedA ? packedBytes(packedA) : 0;
  if (bytesA + bytesB > 0) parameters.push({ kind: "scratch", scratch: emission.scratch(bytesA + bytesB, "call") });

  const target = emission.module.function(
    label,
    parameters.map(() => "i32" as const),
    undefined,
    (f, ...[aStart, bStart, out, workspace]) => {
      const [a, b] = [moving(f, aStart!), moving(f, bStart!)];
      const workA = bytesA > 0 ? f.let(plus(workspace!, bytesB)) : undefined;
      const { depths } = plan;
      const several = depths.count > 1 || depths.rest > 0;
      const accumulate = several ? f.let(i32.const(kernel.accumulate ? 1 : 0)) : kernel.accumulate;
      const steps = stepsOf(kernel, plan);
      const block = (depth: number): void => {
        if (bytesB > 0) emitPack(f, packedB!, b, workspace!, depth);
        emitNest(f, { plan, steps, depth, accumulate, a, b: bytesB > 0 ? workspace! : b, out: out!, workA });
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
  readonly plan: Plan;
  readonly steps: ReturnType<typeof stepsOf>;
  readonly depth: number;
  readonly accumulate: boolean | Pointer;
  readonly a: Pointer;
  readonly b: Pointer;
  readonly out: Pointer;
  /** Where a block of A is packed to. */
  readonly workA: Pointer | undefined;
}

function emitNest(f: FunctionBuilder, nest: Nest): void {
  const { plan, steps, workA } = nest;
  const a = moving(f, nest.a);
  const out = moving(f, nest.out);
  const tileStep = workA ? panelBytes(plan.packedA!) : plan.tileRows * steps.aRow;
  const rowBlock = (tiles: number): void => {
    if (workA) emitPack(f, { ...plan.packedA!, lanes: tiles * plan.tileRows }, a, workA, nest.depth);
    forPanels(f, nest, plan.panel, out, (b, end, target, columns) => {
      const [aTile, outTile] = [moving(f, workA ?? a), moving(f, target)];
      times(f, tiles, () => {
        const place = { a: aTile, b, out: outTile, end, accumulate: nest.accumulate };
        emitTile(f, tileOf(nest, plan.tileRows, columns, workA !== undefined), place);
        advance(f, aTile, tileStep);
        advance(f, outTile, plan.tileRows * steps.outRow);
      });
    });
    advance(f, a, tiles * plan.tileRows * steps.aRow);
    advance(f, out, tiles * plan.tileRows * steps.outRow);
  };
  if (plan.tiles > 0) {
    times(f, plan.blocks.count, () => rowBlock(plan.blocks.size));
    if (plan.blocks.rest > 0) rowBlock(plan.blocks.rest);
  }
  for (const rows of plan.restTiles) {
    forPanels(f, nest, restColumns(rows, plan.panel), out, (b, end, target, columns) =>
      emitTile(f, tileOf(nest, rows, columns, false), { a, b, out: target, end, accumulate: nest.accumulate }),
    );
    advance(f, a, rows * steps.aRow);
    advance(f, out, rows * steps.outRow);
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

const tileOf = ({ plan, steps }: Nest, rows: number, columns: number, packedA: boolean) => ({
  rows,
  columns,
  aRow: packedA ? BYTES : steps.aRow,
  aDepth: packedA ? plan.tileRows * BYTES : steps.aDepth,
  bDepth: steps.bDepth,
  bVector: (v: number): number => Math.floor((v * 4) / plan.panel) * steps.bPanel + ((v * 4) % plan.panel) * BYTES,
  outRow: steps.outRow,
});
