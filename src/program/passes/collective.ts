/**
 * Workers that share a batch, at the places where they meet: which of them does what outside of its own rows, and where
 * they wait for one another.
 */
import {
  type Buffer,
  type Chain,
  type Kernel,
  kernelsIn,
  reads,
  type Statement,
  type View,
  writes,
} from "../program.js";

/**
 * All-reduces put off until the first of them is needed, then done together: one wait for all of them. (The last ones are
 * needed at the end.)
 */
export function reduceTogether(statements: readonly Statement[]): Statement[] {
  const result: Statement[] = [];
  let waiting: (Kernel & { readonly kind: "allReduce" })[] = [];
  for (const statement of statements) {
    if (statement.kind === "allReduce") {
      waiting.push(statement);
      continue;
    }
    const needed = new Set(waiting.map(({ out }) => out.buffer));
    if (
      kernelsIn(statement).some((kernel) =>
        [...reads(kernel), ...writes(kernel)].some(({ buffer }) => needed.has(buffer)),
      )
    ) {
      result.push(...waiting);
      waiting = [];
    }
    result.push(statement);
  }
  return [...result, ...waiting];
}

const barrier: Statement = { kind: "barrier", label: "barrier" };

/** How a statement's work lies among the workers; two with the same pattern may follow one another without a wait. */
const patternOf = (statement: Statement): string =>
  statement.by === "ranges" && statement.kind === "chain"
    ? `ranges of ${statement.rows * statement.columns}`
    : (statement.by ?? "all");

/**
 * The statements that write what all workers share, each given to the workers that do it, with waits where one reads or
 * writes what another has not finished with. A wait comes first.
 */
export function sharedOut(statements: readonly Statement[], buffers: readonly Buffer[]): Statement[] {
  const isShared = (view: View): boolean => {
    const { kind } = buffers[view.buffer]!;
    return kind === "common" || (kind === "variable" && view.perRow === undefined);
  };
  const result: Statement[] = [barrier];
  let touched: { readonly buffer: number; readonly pattern: string; readonly written: boolean }[] = [];
  for (const statement of statements) {
    if (statement.kind === "allReduce") {
      result.push(statement); // waits by itself
      touched = [];
      continue;
    }
    const written = kernelsIn(statement).flatMap(writes).filter(isShared);
    const read = kernelsIn(statement).flatMap(reads).filter(isShared);
    const placed: Statement =
      written.length === 0
        ? statement
        : ({ ...statement, by: statement.kind === "chain" && isFlat(statement) ? "ranges" : "first" } as Statement);
    const pattern = patternOf(placed);
    const meets = (views: readonly View[], others: typeof touched): boolean =>
      others.some((other) => other.pattern !== pattern && views.some(({ buffer }) => buffer === other.buffer));
    if (
      meets(written, touched) ||
      meets(
        read,
        touched.filter((other) => other.written),
      )
    ) {
      result.push(barrier);
      touched = [];
    }
    touched.push(
      ...written.map(({ buffer }) => ({ buffer, pattern, written: true })),
      ...read.map(({ buffer }) => ({ buffer, pattern, written: false })),
    );
    result.push(placed);
  }
  return result;
}

/** Whether element i of every store depends on element i of the loads alone, all of them contiguous, and on scalars. */
function isFlat(chain: Chain): boolean {
  const full = (view: View): boolean =>
    view.rows === chain.rows && view.columns === chain.columns && (view.rows === 1 || view.stride === view.columns);
  return (
    chain.stores.every(({ to }) => full(to)) &&
    chain.loads.every((view) => full(view) || (view.rows === 1 && view.columns === 1)) &&
    chain.code.every(({ op }) => op !== "random")
  );
}
