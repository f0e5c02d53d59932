/**
 * What left a loop in the graph but is better done in it: passes over all time steps that do little arithmetic. By step,
 * what they read or write is still in the cache; over all steps it comes from memory.
 *
 *   a sum over all rows of what a loop writes (the gradient of a bias)   is added up at each step
 *   a lookup that only a loop reads (one-hot inputs times weights)       is made for each step
 */
import {
  type Buffer,
  type Gather,
  type Kernel,
  kernelsIn,
  type Loop,
  type Reduce,
  reads,
  type Statement,
  type View,
  viewsOf,
  writes,
} from "../program.js";
import { withViews } from "../views.js";

/** Elements from which on a sequence does not stay in the cache. */
const LARGE = 65_536;

type LoopStatement = Loop & Statement;

/** The same program with such passes within their loops. `buffer` makes a temporary. */
export function intoLoops(
  buffers: readonly Buffer[],
  statements: readonly Statement[],
  buffer: (name: string, size: number) => number,
): Statement[] {
  let result = [...statements];
  for (const statement of statements) {
    if (statement.kind === "reduce") result = sumIntoLoop(result, statement);
    if (statement.kind === "gather" && buffers[statement.out.buffer]!.kind === "temporary")
      result = gatherIntoLoop(result, statement, buffer);
  }
  return result;
}

const touches = (statement: Statement, buffer: number, views: typeof reads = viewsOf): boolean =>
  kernelsIn(statement).some((kernel) => views(kernel).some((view) => view.buffer === buffer));
const writesTo = (statement: Statement, buffer: number): boolean => touches(statement, buffer, writes);

/** The rows of each step of a view over all steps; undefined where they do not divide. */
function stepOf(view: View, steps: number): View | undefined {
  const rows = view.rows / steps;
  return Number.isInteger(rows) && steps > 1 ? { ...view, rows, step: rows * view.stride } : undefined;
}

/** Whether a view in a loop has none but this step's rows. */
const within = (view: View, step: View): boolean =>
  view.step === step.step &&
  view.offset >= step.offset &&
  view.offset + (view.rows - 1) * view.stride + view.columns <= step.offset + step.step;

function sumIntoLoop(statements: Statement[], sum: Reduce & Statement): Statement[] {
  const { input, out, op, axis } = sum;
  if (op !== "sum" || axis !== "rows" || out.rows !== 1 || input.rows * input.columns < LARGE) return statements;
  const at = statements.indexOf(sum);
  const from = statements.findLastIndex((statement, i) => i < at && writesTo(statement, input.buffer));
  const loop = statements[from];
  const step = loop?.kind === "loop" && stepOf(input, loop.steps);
  if (!step || statements.slice(from, at).some((statement) => touches(statement, out.buffer))) return statements;
  const inner = (loop as LoopStatement).body;
  const writers = inner.flatMap((kernel) => writes(kernel)).filter((view) => view.buffer === input.buffer);
  if (!writers.every((view) => within(view, step))) return statements;
  const last = inner.findLastIndex((kernel) => writesTo(kernel, input.buffer));
  const added: Kernel = { ...sum, input: step, accumulate: true };
  const clear: Kernel = { kind: "fill", value: 0, out, label: sum.label };
  const body = [...inner.slice(0, last + 1), added, ...inner.slice(last + 1)];
  return [
    ...statements.slice(0, from),
    clear,
    { ...(loop as LoopStatement), body },
    ...statements.slice(from + 1, at),
    ...statements.slice(at + 1),
  ];
}

function gatherIntoLoop(
  statements: Statement[],
  gather: Gather & Statement,
  buffer: (name: string, size: number) => number,
): Statement[] {
  const { out, index } = gather;
  if (out.rows * out.columns < LARGE) return statements;
  const at = statements.indexOf(gather);
  const users = statements.flatMap((statement, i) => (i !== at && touches(statement, out.buffer) ? [i] : []));
  const loop = statements[users[0] ?? -1];
  if (users.length !== 1 || users[0]! < at || loop?.kind !== "loop") return statements;
  const [step, ids] = [stepOf(out, loop.steps), stepOf(index, loop.steps)];
  const between = statements.slice(at + 1, users[0]! + 1);
  const stays = ![gather.table, index].some((view) => between.some((statement) => writesTo(statement, view.buffer)));
  const views = loop.body.flatMap((kernel) => reads(kernel)).filter((view) => view.buffer === out.buffer);
  if (!step || !ids || !stays || writesTo(loop, out.buffer) || !views.every((view) => within(view, step)))
    return statements;
  const local = buffer(gather.label, step.rows * step.columns);
  const made: Kernel = {
    ...gather,
    index: ids,
    out: { ...step, buffer: local, offset: 0, stride: step.columns, step: 0 },
  };
  const moved = (view: View): View =>
    view.buffer === out.buffer ? { ...view, buffer: local, offset: view.offset - step.offset, step: 0 } : view;
  if (step.stride !== step.columns) return statements;
  const body = [made, ...loop.body.map((kernel) => withViews(kernel, moved))];
  return statements.flatMap((statement, i) => (i === at ? [] : i === users[0] ? [{ ...loop, body }] : [statement]));
}
