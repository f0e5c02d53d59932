/** Whether a computation is shared by threads, each with its rows of the batch, and what each of them runs. */
import { varyingTensors } from "../../../graph/partition.js";
import { reachable } from "../../../graph/reachable.js";
import { columnsOf, rowsOf, sizeOf } from "../../../graph/shape.js";
import type { Tensor } from "../../../graph/tensor.js";
import { type ProgramOptions, rootsOf } from "../../../program/lower.js";
import { lowerShard } from "../../../program/lower-shard.js";
import type { Program, Statement } from "../../../program/program.js";
import { batchOf } from "../../../program/rewriting/shard.js";
import { productWork } from "../../../program/work.js";
import { checkBounds } from "../bounds.js";

export { teamOf } from "../kernels/team.js";

/**
 * Multiplications and additions of a run from which threads share it: below, waiting for one another costs what they save. A
 * step of 2·10⁷ (an LSTM of 32 units, batch 32, 24 steps) takes 0.88 ms on one thread and 0.64 on two where the machine is
 * theirs; where it is not, two can be slower.
 */
const WORTH_SHARING = 1e7;

/**
 * A program for each of up to `threads` workers; undefined where one thread is to do it all, as it is for less work than `from`.
 * `begin` is told beforehand how many there will be, so that they are started meanwhile.
 */
export function sharedByRows(
  source: ProgramOptions,
  threads: number,
  from = WORTH_SHARING,
  begin: (workers: number) => void = () => {},
): Program[] | undefined {
  if (source.keep) return undefined;
  const tensors = reachable(rootsOf(source));
  const batch = batchOf(tensors) ?? 1;
  const workers = Math.min(threads, batch);
  if (workers < 2) return undefined;
  if (productsIn(tensors) >= from) begin(workers);
  const byRows = new Map<number, Program | undefined>();
  const programs: Program[] = [];
  for (let worker = 0; worker < workers; worker++) {
    const rows = Math.floor(batch / workers) + (worker < batch % workers ? 1 : 0);
    if (!byRows.has(rows)) byRows.set(rows, lowerShard(source, { rows, of: batch }));
    const program = byRows.get(rows);
    if (!program) return undefined;
    programs.push(program);
  }
  const work = programs.reduce((sum, program) => sum + productWork(program), 0);
  if (work < from || !exchangeAlike(programs)) return undefined;
  new Set(programs).forEach(checkBounds);
  return programs;
}

/** About as much as `productWork` of the program: no rewriting makes or saves large products. */
function productsIn(tensors: readonly Tensor[], steps = 1): number {
  let work = 0;
  for (const { op, inputs, shape, attributes } of tensors) {
    const { loop, transposeA } = attributes;
    if (loop) {
      const placeholders = new Set([...loop.stepInputs, ...loop.states]);
      work += productsIn(varyingTensors(placeholders, [...loop.next, ...loop.sequences]), loop.steps);
    }
    if (op !== "matmul") continue;
    const of = inputs[0]!.shape;
    work += 2 * steps * sizeOf(shape) * (transposeA ? rowsOf(of) : columnsOf(of));
  }
  return work;
}

/** Workers read one another's buffers by place: those they exchange must lie alike. And they must meet as often. */
function exchangeAlike(programs: readonly Program[]): boolean {
  const meets = ({ kind, by }: Statement): boolean => kind === "allReduce" || kind === "barrier" || by === "any";
  const layout = ({ buffers, compute, commit }: Program): string =>
    [
      ...buffers
        .filter(({ kind }) => kind === "partial" || kind === "common")
        .map(({ kind, name, size }) => `${kind} ${name} ${size}`),
      ...[...compute, ...commit].filter(meets).map(({ kind }) => kind),
    ].join();
  return programs.every((program) => layout(program) === layout(programs[0]!));
}
