/** The choice whether a loop is carried out whole, in one dispatch or a few, and by how many workgroups. */
import {
  type Buffer,
  type Chain,
  type Kernel,
  type Loop,
  type Product,
  reads,
  type Transpose,
  type View,
  writes,
} from "../../../program/program.js";
import type { Planning } from "../dispatch.js";
import type { Spanning } from "../join.js";
import { type Span, spanOf, spansOf } from "../span.js";
import { planChain } from "../wgsl/chain.js";
import { loopKernel, loopStorage } from "../wgsl/loop.js";
import { planTranspose } from "../wgsl/moves.js";
import { rowLocal } from "./row-local.js";
import { stepsAtOnce } from "./steps-at-once.js";
import { type TiledLoop, tiled, tileNumber } from "./tiles.js";

/**
 * Weights of a step, from which on it is better to read them once for all rows: a workgroup reads all of them at every step, which
 * takes a processor of the device about 10 µs for so many (64 bytes a cycle from the second cache), what a dispatch or two cost.
 */
const MOST_WEIGHTS = 3 * 2 ** 17;
/** More workgroups than this do not run side by side, and all read the weights. */
const MOST_WORKGROUPS = 512;
/**
 * Rows of a workgroup: as many as leave this many workgroups, since each reads the weights from a cache that all share. A few rows
 * take hardly longer than one, as long as the weights are what is waited for; more workgroups use more of the device.
 */
const ENOUGH_WORKGROUPS = 32;
const MOST_ROWS = 8;
/** Weights for each invocation at a step, and the invocations at most: more hide more of the way to the cache. */
const WEIGHTS_EACH = 64;
const MOST_INVOCATIONS = 512;
const LEAST_INVOCATIONS = 64;

/**
 * The dispatches of a loop that is carried out whole; or why it is better, or only, done step by step. `isWanted`: whether anything
 * else reads a buffer that the loop writes.
 */
export function planWholeLoop(
  loop: Loop,
  buffers: readonly Buffer[],
  isWanted: (buffer: number) => boolean,
  planning: Planning,
): readonly Spanning[] | string {
  if (loop.steps === 1) return "it is a single step";
  const local = rowLocal(loop, buffers);
  if (typeof local === "string") return local;
  const plan = tiled(loop, local, isWanted);
  const weights = productsOf(plan).reduce((sum, { b }) => sum + b.rows * b.columns, 0);
  if (weights > MOST_WEIGHTS * (planning.halves ? 2 : 1)) return `${weights} weights are read once for all rows`;
  const { limits } = planning;
  const most = 2 ** Math.floor(Math.log2(Math.min(MOST_INVOCATIONS, limits.invocations)));
  const size = Math.min(most, Math.max(LEAST_INVOCATIONS, 2 ** Math.ceil(Math.log2(weights / WEIGHTS_EACH))));
  let perGroup = 1;
  while (perGroup < MOST_ROWS && local.rows / (2 * perGroup) >= ENOUGH_WORKGROUPS) perGroup *= 2;
  while (perGroup > 1 && loopStorage(plan, { size, perGroup }) > limits.workgroupStorage) perGroup /= 2;
  if (loopStorage(plan, { size, perGroup }) > limits.workgroupStorage)
    return "its state does not fit a workgroup's memory";
  if (local.rows / perGroup > MOST_WORKGROUPS) return "its rows are more than run side by side";
  const { kernels, body } = readied(plan, planning);
  const { steps, reverse, name } = loop;
  const { rows } = local;
  const atOnce = stepsAtOnce(steps, plan, { rows, perGroup, halves: planning.halves !== undefined });
  const spans = spansOfLoop({ ...plan, body }, steps, planning);
  const pieces = Array.from({ length: Math.ceil(steps / atOnce) }, (_, piece): Spanning => {
    const done = piece * atOnce;
    const shape = { steps, reverse, rows, perGroup, size, done, atOnce: Math.min(atOnce, steps - done) };
    return { planned: { label: name, ...loopKernel({ ...plan, body }, shape, planning) }, spans };
  });
  return [
    ...kernels.flatMap((each) => {
      const alone = { ...planning, flag: undefined };
      const made = each.kind === "transpose" ? planTranspose(each, alone) : planChain(each, alone);
      const label = `${name}: weights`;
      return made.map(
        (dispatch): Spanning => ({
          planned: { label, ...dispatch },
          spans: spansOf({ ...each, label }, 1, planning),
        }),
      );
    }),
    ...pieces,
  ];
}

/** What it reads and writes of the device's memory; tiles are each workgroup's own. */
function spansOfLoop({ first, body, last }: TiledLoop, steps: number, { locate }: Planning): Span[] {
  const kernels: Kernel[] = [...first, ...body.map(({ kernel }) => kernel as Kernel), ...last];
  const inMemory = (view: View): boolean => tileNumber(view) === undefined;
  return kernels.flatMap((kernel) => [
    ...reads(kernel)
      .filter(inMemory)
      .map((view) => spanOf(view, steps, false, locate)),
    ...writes(kernel)
      .filter(inMemory)
      .map((view) => spanOf(view, steps, true, locate)),
  ]);
}

const productsOf = ({ body }: TiledLoop): Product[] =>
  body.flatMap(({ kernel }) => (kernel.kind === "product" ? [kernel] : []));

/**
 * Weights that would be read across their rows are transposed ahead of the loop, so that neighbours read what lies side by side;
 * where a step reads numbers of 16 bits, all weights are copied to such.
 */
function readied(
  plan: TiledLoop,
  { scratch, halves }: Planning,
): Pick<TiledLoop, "body"> & { kernels: (Transpose | Chain)[] } {
  const kernels: (Transpose | Chain)[] = [];
  const body = plan.body.map((step) => {
    const { kernel } = step;
    if (kernel.kind !== "product" || !(kernel.transposeB || halves)) return step;
    const { rows, columns } = kernel.b;
    const [across, down] = kernel.transposeB ? [rows, columns] : [columns, rows];
    const out = (halves ?? scratch)(down, across);
    kernels.push(
      kernel.transposeB
        ? { kind: "transpose", input: kernel.b, out }
        : { kind: "chain", rows, columns, loads: [kernel.b], code: [], stores: [{ value: 0, to: out, flush: false }] },
    );
    return { ...step, kernel: { ...kernel, b: out, transposeB: false } };
  });
  return { kernels, body };
}
