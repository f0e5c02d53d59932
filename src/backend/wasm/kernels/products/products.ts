/**
 * Matrix products out [m, n] (+)= A [m, k]·B [k, n]. How one is done is decided by its shape, once:
 *
 * - dots: B's columns lie along the depth and there are few rows or columns (`dots.ts`).
 * - swapped: of a transposed A few columns, as outᵀ (`swapped.ts`).
 * - tiles: a tile of out in registers walks down the depth (`tiles.ts`). B is read from panels of 8 columns: one that a
 *   loop leaves as it is is packed once before it, any other in the call where enough rows share the work. A is packed
 *   in the call, in panels of the rows of a tile (`chunks.ts`).
 *
 * Loops, outside in: blocks of the depth, blocks of rows, panels of B, tiles of rows. A panel of B stays in the
 * first-level cache while the tiles pass over it, and a block of A at least in the second-level cache.
 */
import { kept } from "../../../../graph/maps.js";
import type { Product } from "../../../../program/program.js";
import type { FunctionBuilder, ModuleBuilder } from "../../assembler/assembler.js";
import { i32, plus } from "../../assembler/instructions.js";
import {
  type Argument,
  advance,
  BYTES,
  type Call,
  type Emission,
  FAR,
  LANES,
  moving,
  type Pointer,
  prefetch,
  times,
  viewArgument,
} from "../emission.js";
import { type Blocking, blocking, type RowBlocks, rowsOf, type Tuning, tuning128, tuning256 } from "./blocking.js";
import { CHUNK, type Layout, packChunks, panelBytes as packedRows } from "./chunks.js";
import { emitPack, type Packing, packedBytes, panelBytes } from "./packing.js";
import { tileStrip } from "./tiles.js";

/** From this many rows on, packing B in the call pays. */
const ROWS_WORTH_PACKING = 8;

const FEW_COLUMNS = 4;

/** Whether a product may be one that is not tiled as it stands: those are done by what is loaded on demand. */
export const hasFew = ({ out: { rows, columns } }: Product): boolean =>
  columns < FEW_COLUMNS || rows < ROWS_WORTH_PACKING;

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
  tuning: Tuning = emission.revectorized ? tuning256 : tuning128,
): ProductCalls {
  const { rows: m, columns: n } = kernel.out;
  const columnsAlongDepth = kernel.transposeB || (n === 1 && kernel.b.stride === 1);
  const few = n < FEW_COLUMNS || (m < ROWS_WORTH_PACKING && !constantB);
  if (!kernel.transposeA && columnsAlongDepth && few) return { call: emission.rare!.emitDots(emission, kernel, label) };
  const tiled = (product: Product, constant: boolean): ProductCalls =>
    emitTiled(emission, product, label, planOf(product, constant, tuning));
  if (kernel.transposeA && n < FEW_COLUMNS && m >= ROWS_WORTH_PACKING)
    return { call: emission.rare!.emitSwapped(emission, kernel, label, (swapped) => tiled(swapped, false).call) };
  return tiled(kernel, constantB);
}

/** How a tiled product is carried out. */
interface Plan extends Blocking {
  readonly n: number;
  /** Bytes of the largest block of A. */
  readonly blockBytes: number;
  /** In the call, or before the loop with `constantB`; undefined where B is read as it lies. */
  readonly packedB: Packing | undefined;
  readonly constantB: boolean;
  /** Columns of a panel of B. */
  readonly panel: number;
  /** How A lies packed in tiles of so many rows. */
  readonly layoutOf: (rows: number) => Layout;
}

function planOf(kernel: Product, constantB: boolean, tuning: Tuning): Plan {
  const { rows: m, columns: n } = kernel.out;
  const k = kernel.transposeA ? kernel.a.rows : kernel.a.columns;
  const { depths, blocks } = blocking(m, n, k, kernel.transposeA, tuning);
  const layoutOf = (rows: number): Layout => ({ rows, transposed: kernel.transposeA });
  const bytesOf = ({ tiles }: RowBlocks): number =>
    tiles.reduce((sum, { rows, count }) => sum + count * packedRows(layoutOf(rows), depths.size), 0);
  const panel = tuning.fewRows[m - 1] ?? tuning.panel;
  const packedB: Packing = {
    width: panel,
    lanes: n,
    stride: kernel.b.stride * BYTES,
    alongDepth: kernel.transposeB,
    capacity: constantB ? k : depths.size,
  };
  const packs = constantB || kernel.transposeB || m >= ROWS_WORTH_PACKING;
  const blockBytes = Math.max(...blocks.map(bytesOf));
  return { n, depths, blocks, blockBytes, packedB: packs ? packedB : undefined, constantB, panel, layoutOf };
}

function emitTiled(emission: Emission, kernel: Product, label: string, plan: Plan): ProductCalls {
  const { packedB, constantB, depths } = plan;
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

  const { module } = emission;
  const target = module.function(label, ["i32", "i32", "i32", "i32"], undefined, (f, a, b, out, workspace) => {
    const workA = f.let(plus(workspace, bytesB));
    const several = depths.count > 1 || depths.rest > 0;
    const accumulate = several ? f.let(i32.const(kernel.accumulate ? 1 : 0)) : kernel.accumulate;
    const steps = stepsOf(kernel, plan);
    const block = (depth: number): void => {
      if (packedB && !constantB) emitPack(f, packedB, b, workspace, depth);
      const nest = { module, kernel, plan, steps, depth, accumulate, b: bytesB > 0 ? workspace : b, workA };
      emitRows(f, nest, a, out);
      if (!several) return;
      advance(f, a, depth * steps.aDepth);
      advance(f, b, depth * (constantB ? steps.bDepth : kernel.transposeB ? BYTES : kernel.b.stride * BYTES));
      f.set(accumulate as Pointer, i32.const(1));
    };
    times(f, depths.count, () => block(depths.size));
    if (depths.rest > 0) block(depths.rest);
  });
  return { prepare, call: { target, parameters } };
}

/** Byte steps: through A where it lies, through B as the tiles read it, through out. */
function stepsOf(kernel: Product, plan: Plan) {
  return {
    aDepth: kernel.transposeA ? kernel.a.stride * BYTES : BYTES,
    bDepth: plan.packedB ? plan.panel * BYTES : kernel.b.stride * BYTES,
    bPanel: plan.packedB ? panelBytes(plan.packedB) : plan.panel * BYTES,
    outRow: kernel.out.stride * BYTES,
  };
}

/** One block of the depth. */
interface Nest {
  readonly module: ModuleBuilder;
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
  const { kernel, plan, steps, depth, workA } = nest;
  const a = moving(f, aStart);
  const out = moving(f, outStart);
  for (const { count, tiles } of plan.blocks) {
    times(f, count, () => {
      const work = moving(f, workA);
      const stride = kernel.a.stride * BYTES;
      const all = rowsOf(tiles);
      const [lines, line] = kernel.transposeA ? [depth, all] : [all, depth];
      // Unless a loop makes it at every step.
      if (!plan.constantB && kernel.a.rows * kernel.a.columns > FAR) prefetch(f, a, stride, lines, line);
      for (const { rows, count: panels } of tiles)
        packChunks(f, plan.layoutOf(rows), { depth, stride, panels }, a, work);
      // As many panels at a time as the widest tile takes.
      const width = Math.max(...tiles.map(({ columns }) => columns));
      const [b, target] = [moving(f, nest.b), moving(f, out)];
      const group = (columns: number): void => emitPanels(f, nest, tiles, { b, out: target, columns });
      times(f, Math.floor(plan.n / width), () => {
        group(width);
        advance(f, b, (width / plan.panel) * steps.bPanel);
        advance(f, target, width * BYTES);
      });
      if (plan.n % width > 0) group(plan.n % width);
      advance(f, out, all * steps.outRow);
    });
  }
}

interface Panels {
  readonly b: Pointer;
  readonly out: Pointer;
  readonly columns: number;
}

/** The tiles of a block over a few panels of B: a wide tile takes all, the others one after the other. */
function emitPanels(f: FunctionBuilder, nest: Nest, tiles: RowBlocks["tiles"], { b, out, columns }: Panels): void {
  const { plan, steps, depth, accumulate } = nest;
  const chunks = Math.floor(depth / CHUNK);
  let [aBytes, outBytes] = [0, 0];
  for (const { rows, count, columns: most } of tiles) {
    const layout = plan.layoutOf(rows);
    for (let first = 0; first < columns; first += most) {
      const tile = {
        layout,
        columns: Math.min(most, columns - first),
        chunks: chunks > 0,
        rest: depth % CHUNK,
        bDepth: steps.bDepth,
        bVector: (v: number) => vectorOffset(nest, v),
      };
      // Tiles that are alike in several products, edges and blocks are compiled once.
      const wide = tile.columns > plan.panel;
      const key = JSON.stringify([tile, wide && [plan.panel, steps.bPanel]]);
      const strip = kept(nest.module.known, key, () => tileStrip(nest.module, tile));
      f.call(
        strip,
        plus(nest.workA, aBytes),
        plus(b, (first / plan.panel) * steps.bPanel),
        plus(out, outBytes + first * BYTES),
        i32.const(count),
        i32.const(steps.outRow),
        i32.const(chunks * CHUNK * steps.bDepth),
        typeof accumulate === "boolean" ? i32.const(Number(accumulate)) : accumulate,
      );
    }
    aBytes += count * packedRows(layout, depth);
    outBytes += count * rows * steps.outRow;
  }
}

/** The offset of the v-th vector of B from the first, at one depth. */
function vectorOffset({ plan, steps }: Nest, v: number): number {
  const column = v * LANES;
  return Math.floor(column / plan.panel) * steps.bPanel + (column % plan.panel) * BYTES;
}
