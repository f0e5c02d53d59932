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
 * All-reduces put off, and with them whatever needs one, until there is nothing else to do or an all-reduce needs another
 * one's outcome: then they are done together, with one wait for all of them.
 */
export function reduceTogether(statements: readonly Statement[]): Statement[] {
  const result: Statement[] = [];
  let reduces: Statement[] = [];
  let others: Statement[] = [];
  /** Buffers that what is put off reads, and those it writes. */
  const [later, made] = [new Set<number>(), new Set<number>()];
  const goOn = (): void => {
    result.push(...reduces, ...others);
    [reduces, others] = [[], []];
    later.clear();
    made.clear();
  };
  for (const statement of statements) {
    const kernels = kernelsIn(statement);
    const [read, written] = [reads, writes].map((views) => kernels.flatMap(views).map(({ buffer }) => buffer));
    const waits = read!.some((id) => made.has(id)) || written!.some((id) => made.has(id) || later.has(id));
    const isReduce = statement.kind === "allReduce";
    if (isReduce && waits) goOn();
    else if (!isReduce && !waits) {
      result.push(statement);
      continue;
    }
    (isReduce ? reduces : others).push(statement);
    for (const id of read!) later.add(id);
    for (const id of written!) made.add(id);
  }
  goOn();
  return result;
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
