/**
 * Workers that share a batch, at the places where they meet: which of them does what outside of its own rows, and where
 * they wait for one another.
 */
import {
  type Buffer,
  type Chain,
  type Kernel,
  kernelsIn,
  type Product,
  reads,
  type Statement,
  type View,
  viewsOf,
  writes,
} from "../program.js";

/** Elements of a gradient from which workers do it for one another. Not of its depth: workers of other rows must find the same. */
const LARGE = 2 ** 12;
/** Narrower ones are done in other ways, in one piece. */
const NARROW = 8;

/**
 * All-reduces put off, and with them whatever needs one, until there is nothing else to do or an all-reduce needs another
 * one's outcome: then they are done together, with one wait for all of them.
 *
 * Products whose outcome only goes there, the gradients of weights, are put off till then too, and done by whoever is free:
 * two processors are seldom equally fast for long, and who waited for the slower one before would wait for all of its work.
 */
export function reduceTogether(statements: readonly Statement[], buffers: readonly Buffer[]): Statement[] {
  const result: Statement[] = [];
  let products: (Kernel & Product)[] = [];
  let reduces: Statement[] = [];
  let others: Statement[] = [];
  /** Buffers that all-reduces and what is behind them read, and those they write. */
  const [later, made] = [new Set<number>(), new Set<number>()];
  const goOn = (): void => {
    const together = products.map((product) => (reduces.length > 0 ? { ...product, by: "any" as const } : product));
    result.push(...together, ...reduces, ...others);
    [products, reduces, others] = [[], [], []];
    later.clear();
    made.clear();
  };
  for (const statement of statements) {
    const kernels = kernelsIn(statement);
    const [read, written] = [reads, writes].map((views) => new Set(kernels.flatMap(views).map(({ buffer }) => buffer)));
    const waits = [...read!, ...written!].some((id) => made.has(id)) || [...written!].some((id) => later.has(id));
    if (statement.kind === "allReduce") {
      if (waits) goOn();
      reduces.push(statement);
    } else if (waits) others.push(statement);
    else {
      const [free, needed] = [products, [] as (Kernel & Product)[]];
      products = [];
      for (const product of free) {
        const touched = viewsOf(product).some(({ buffer }) => written!.has(buffer)) || read!.has(product.out.buffer);
        (touched ? needed : products).push(product);
      }
      result.push(...needed);
      if (isGradient(statement, buffers)) products.push(statement);
      else result.push(statement);
      continue;
    }
    for (const id of read!) later.add(id);
    for (const id of written!) made.add(id);
  }
  goOn();
  return result;
}

function isGradient(statement: Statement, buffers: readonly Buffer[]): statement is Kernel & Product {
  if (statement.kind !== "product" || buffers[statement.out.buffer]!.kind !== "partial") return false;
  const { rows, columns } = statement.out;
  return columns >= NARROW && rows * columns >= LARGE;
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
