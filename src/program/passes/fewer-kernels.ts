/**
 * Kernels that only move or add what others have just written, done by those:
 *
 *   a copy of what a chain stores            is one more store of that chain
 *   a sum of a product and a stored value    is added up by the product, on that value
 */
import { listed } from "../../graph/maps.js";
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
import { sameView } from "../views.js";

/**
 * The same statements in fewer kernels, on buffers of kind "temporary"; those that are not read any more are not written.
 * `others` come later in the program.
 */
export function fewerKernels(
  buffers: readonly Buffer[],
  statements: readonly Statement[],
  others: readonly Statement[] = [],
): Statement[] {
  const uses = usesOf([...statements, ...others]);
  const isTemporary = ({ buffer }: View): boolean => buffers[buffer]!.kind === "temporary";
  /** Whether these kernels alone touch the buffer of a temporary. */
  const onlyIn = (view: View, kernels: readonly Kernel[]): boolean =>
    isTemporary(view) && uses.get(view.buffer)!.every((kernel) => kernels.includes(kernel));
  const within = (list: readonly Statement[]): Statement[] => summedByProducts(storedTwice(list, onlyIn), onlyIn);
  const inner = statements.map((statement) =>
    statement.kind === "loop" ? { ...statement, body: within(statement.body) as Kernel[] } : statement,
  );
  return within(inner);

  function storedTwice(list: readonly Statement[], isOnlyIn: typeof onlyIn): Statement[] {
    const result = [...list];
    for (const copy of list) {
      const source = isCopy(copy) ? copy.loads[0]! : undefined;
      const to = isCopy(copy) ? copy.stores[0]! : undefined;
      if (!source || !to || !isTemporary(to.to) || source.rows !== to.to.rows || source.columns !== to.to.columns)
        continue;
      const at = result.indexOf(copy);
      const from = result.findLastIndex((statement, i) => i < at && touchesAny(statement, source, writes));
      const chain = result[from];
      if (chain?.kind !== "chain" || chain.by !== copy.by) continue;
      const store = chain.stores.find((each) => sameView(each.to, source));
      if (!store || result.slice(from, at).some((statement) => touchesAny(statement, to.to, viewsOf))) continue;
      const unread = isOnlyIn(source, [chain, copy as Kernel]) && !touchesAny(chain, source, reads);
      const merged: Kernel & Chain = {
        ...chain,
        stores: [...chain.stores.filter((each) => !unread || each !== store), { ...to, value: store.value }],
      };
      replaceUses(uses, [chain, copy as Kernel], merged);
      result[from] = merged;
      result.splice(at, 1);
    }
    return result;
  }

  function summedByProducts(list: readonly Statement[], isOnlyIn: typeof onlyIn): Statement[] {
    const result = [...list];
    for (const sum of list) {
      if (!isSum(sum)) continue;
      const at = result.indexOf(sum);
      const { to, flush } = sum.stores[0]!;
      if (!isTemporary(to)) continue;
      for (const [product, other] of [sum.loads, [...sum.loads].reverse()] as [View, View][]) {
        const last = result.findLastIndex((statement, i) => i < at && touchesAny(statement, product, writes));
        const first = result.findLastIndex((statement, i) => i < last && touchesAny(statement, other, writes));
        const [maker, chain] = [result[last], result[first]];
        if (maker?.kind !== "product" || maker.accumulate || chain?.kind !== "chain") continue;
        const store = chain.stores.find((each) => sameView(each.to, other));
        if (!store || maker.by || chain.by || sum.by || !sameView(maker.out, product)) continue;
        if (![product, other, to].every((view) => view.rows === sum.rows && view.columns === sum.columns)) continue;
        if (!isOnlyIn(product, [maker, sum]) || !isOnlyIn(other, [chain, sum]) || touchesAny(chain, other, reads))
          continue;
        // The place of the sum is taken from the chain on.
        const between = [...result.slice(first + 1, at)];
        const apart = chain.loads.every((view) => sameView(view, to) || !overlap(view, to));
        const free = chain.stores.every((each) => !overlap(each.to, to));
        if (!apart || !free || between.some((statement) => touchesAny(statement, to, viewsOf))) continue;
        const [early, late]: [Kernel & Chain, Kernel & Product] = [
          { ...chain, stores: chain.stores.map((each) => (each === store ? { ...each, to, flush } : each)) },
          { ...maker, out: to, accumulate: true },
        ];
        replaceUses(uses, [chain, sum], early);
        replaceUses(uses, [maker], late);
        result[first] = early;
        result[last] = late;
        result.splice(at, 1);
        break;
      }
    }
    return result;
  }
}

type ChainStatement = Kernel & Chain;

const isCopy = (statement: Statement): statement is ChainStatement =>
  statement.kind === "chain" &&
  statement.code.length === 0 &&
  statement.loads.length === 1 &&
  statement.stores.length === 1;

/** a + b, stored once. */
function isSum(statement: Statement): statement is ChainStatement {
  if (statement.kind !== "chain" || statement.loads.length !== 2 || statement.stores.length !== 1) return false;
  const [add, ...rest] = statement.code;
  return add?.op === "add" && rest.length === 0 && add.args[0] !== add.args[1] && statement.stores[0]!.value === 2;
}

const touchesAny = (statement: Statement, view: View, views: typeof reads): boolean =>
  kernelsIn(statement).some((kernel) =>
    views(kernel).some((other) => (statement.kind === "loop" ? other.buffer === view.buffer : overlap(other, view))),
  );

/** Whether two views may share an element at the same time step, as far as is easily seen. */
function overlap(a: View, b: View): boolean {
  if (a.buffer !== b.buffer) return false;
  if (a.step !== b.step) return true;
  const ends = (view: View): number => view.offset + (view.rows - 1) * view.stride + view.columns;
  if (ends(a) <= b.offset || ends(b) <= a.offset) return false;
  if (a.stride !== b.stride) return true;
  // Columns of the same matrix.
  const [left, right] = [a.offset % a.stride, b.offset % a.stride];
  if (left + a.columns > a.stride || right + b.columns > a.stride || a.step % a.stride !== 0) return true;
  return left < right + b.columns && right < left + a.columns;
}

function usesOf(statements: readonly Statement[]): Map<number, Kernel[]> {
  const uses = new Map<number, Kernel[]>();
  for (const statement of statements)
    for (const kernel of kernelsIn(statement)) for (const { buffer } of viewsOf(kernel)) listed(uses, buffer, kernel);
  return uses;
}

function replaceUses(uses: Map<number, Kernel[]>, old: readonly Kernel[], made: Kernel): void {
  for (const { buffer } of old.flatMap(viewsOf)) {
    const left = uses.get(buffer)!.filter((kernel) => !old.includes(kernel));
    uses.set(buffer, viewsOf(made).some((view) => view.buffer === buffer) ? [...left, made] : left);
  }
  for (const { buffer } of viewsOf(made))
    if (!uses.get(buffer)?.includes(made)) uses.set(buffer, [...(uses.get(buffer) ?? []), made]);
}
