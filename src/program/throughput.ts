/**
 * How programs are made for a device that is fast at much at once and slow to begin: small passes over all time steps stay as they
 * are, where a processor better does them step by step, in a cache; and loops that can be carried out side by side share no memory.
 */
import type { LowerOptions } from "./lower.js";
import { kernelsIn, reads, type Statement, type View, writes } from "./program.js";

export const throughput = { whole: true, apart } satisfies LowerOptions;

/** Whether the last of some statements reads nothing that comes from the first, as of a layer's two directions. */
function apart(statements: readonly Statement[]): boolean {
  const [first, ...others] = statements as [Statement, ...Statement[]];
  const from = kernelsIn(first).flatMap(writes);
  let latest = false;
  for (const statement of others) {
    latest = kernelsIn(statement).some((kernel) =>
      reads(kernel).some((view) => from.some((made) => meets(made, view))),
    );
    if (latest) from.push(...kernelsIn(statement).flatMap(writes));
  }
  return !latest;
}

/** Of one buffer, where they are not other columns of the same rows at every step. */
function meets(a: View, b: View): boolean {
  if (a.buffer !== b.buffer) return false;
  const { stride } = a;
  const isRegular = ({ rows, step }: View): boolean => rows > 1 && step % stride === 0;
  if (stride !== b.stride || !isRegular(a) || !isRegular(b)) return true;
  const [from, other] = [a.offset % stride, b.offset % stride];
  return from < other + b.columns && other < from + a.columns;
}
