/** Whether a computation is shared by threads, each with its rows of the batch, and what each of them runs. */
import type { ProgramOptions } from "../../../program/lower.js";
import { lowerShard } from "../../../program/lower-shard.js";
import type { Program } from "../../../program/program.js";
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

/** A program for each of up to `threads` workers; undefined where one thread is to do it all, as it is for less work than `from`. */
export function sharedByRows(source: ProgramOptions, threads: number, from = WORTH_SHARING): Program[] | undefined {
  if (source.keep) return undefined;
  const { results, commit = [], guards = [] } = source;
  const batch = batchOf([...[...results, ...commit].map(({ tensor }) => tensor), ...guards]) ?? 1;
  const workers = Math.min(threads, batch);
  if (workers < 2) return undefined;
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

/** Workers read one another's buffers by place: those they exchange must lie alike. */
function exchangeAlike(programs: readonly Program[]): boolean {
  const layout = ({ buffers }: Program): string =>
    buffers
      .filter(({ kind }) => kind === "partial" || kind === "common")
      .map(({ kind, name, size }) => `${kind} ${name} ${size}`)
      .join();
  return programs.every((program) => layout(program) === layout(programs[0]!));
}
