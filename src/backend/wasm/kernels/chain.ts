/**
 * The fused chain: for each vector of four elements all loads, the straight-line code in registers, all stores. Over
 * contiguous memory it is one flat loop, else rows of columns.
 *
 * Views that move together (same buffer, stride and step) share one pointer and differ by constant offsets, so that the
 * four gates of an LSTM cost one address.
 */
import { kept } from "../../../graph/maps.js";
import type { Chain, Kernel, View } from "../../../program/program.js";
import { isDense } from "../../../program/views.js";
import type { FunctionBuilder } from "../assembler/assembler.js";
import { f32x4, type I32, i32, i32x4, plus, type V128, v128 } from "../assembler/instructions.js";
import {
  type Argument,
  advance,
  at,
  BYTES,
  type Call,
  callOf,
  type Emission,
  flushed,
  forColumns,
  LANES,
  moving,
  type Pass,
  type Pointer,
  times,
  VECTOR,
} from "./emission.js";
import { batchOf, evaluate, floatLanes, isRandom, type Lanes } from "./pointwise.js";

/** How a view moves from one row of the chain to the next. */
type Rows = "each" | "once" | "period";

interface Group {
  readonly rows: Rows;
  readonly stride: number;
  readonly period: number;
  /** The view with the lowest offset. */
  base: View;
}

interface Access {
  readonly view: View;
  readonly group: Group;
  /** One column, repeated along the row. */
  readonly splat: boolean;
}

interface Layout {
  readonly flat: boolean;
  /** In the flat form: one row of all elements. */
  readonly rows: number;
  readonly columns: number;
  readonly groups: Group[];
  readonly loads: Access[];
  readonly stores: Access[];
}

function layoutOf(chain: Chain): Layout {
  const scalar = (view: View): boolean => view.rows === 1 && view.columns === 1;
  const full = (view: View): boolean => view.rows === chain.rows && view.columns === chain.columns;
  const stores = chain.stores.map((store) => store.to);
  const batch = batchOf(chain.code);
  const flat =
    (!batch || batch.rows === chain.rows) &&
    (chain.rows === 1 || [...chain.loads, ...stores].every((view) => (full(view) && isDense(view)) || scalar(view)));
  const rows = flat ? 1 : chain.rows;
  const columns = flat ? chain.rows * chain.columns : chain.columns;
  const groups = new Map<string, Group>();
  const access = (view: View): Access => {
    const moves: Rows = flat || view.rows === 1 ? "once" : view.rows === chain.rows ? "each" : "period";
    const splat = columns > 1 && view.columns === 1 && !(flat && full(view));
    const key = [view.buffer, view.step, moves, moves === "once" ? 0 : view.stride, view.rows, view.perRow].join();
    const group = kept(groups, key, () => ({ rows: moves, stride: view.stride, period: view.rows, base: view }));
    if (view.offset < group.base.offset) group.base = view;
    return { view, group, splat };
  };
  const loads = chain.loads.map(access);
  return { flat, rows, columns, loads, stores: stores.map(access), groups: [...groups.values()] };
}

/** How often each value (loads, then instructions) is used. */
function countUses(chain: Chain): number[] {
  const uses = new Array<number>(chain.loads.length + chain.code.length).fill(0);
  for (const instruction of chain.code)
    if ("args" in instruction) for (const argument of instruction.args) uses[argument]!++;
  for (const store of chain.stores) uses[store.value]!++;
  return uses;
}

export function emitChain(emission: Emission, chain: Chain & Pick<Kernel, "by">, label: string): Call {
  // Each worker does its part of the elements.
  const ranges = chain.by === "ranges" && emission.team;
  const layout = layoutOf(chain);
  const parameters: (View | Argument)[] = layout.groups.map((group) => group.base);
  if (chain.code.some(isRandom)) {
    const { rows, of } = batchOf(chain.code) ?? { rows: 1, of: 1 };
    const perRow = rows < of ? chain.columns : 0;
    parameters.push({ kind: "counter", perStep: (chain.rows / rows) * of * chain.columns, perRow });
  }
  if (ranges) parameters.push({ kind: "worker" });
  return callOf(emission, label, parameters, (f, ...pointers) =>
    emitBody(f, emission, chain, layout, pointers, ranges ? pointers.at(-1) : undefined),
  );
}

function emitBody(
  f: FunctionBuilder,
  emission: Emission,
  chain: Chain,
  layout: Layout,
  parameters: readonly Pointer[],
  worker: Pointer | undefined,
): void {
  const uses = countUses(chain);
  const start = new Map(layout.groups.map((group, i) => [group, parameters[i]!]));
  const pointers = new Map(
    layout.groups.map((group, i) => [group, group.rows === "once" ? parameters[i]! : moving(f, parameters[i]!)]),
  );
  const offsetOf = ({ view, group }: Access): number => (view.offset - group.base.offset) * BYTES;
  const isIndex = ({ view }: Access): boolean => emission.typeOf(view) === "index";
  // Whole numbers that are only copied stay as they are: a float would lose those above 2²⁴.
  const copiesIndices = chain.code.length === 0 && [...layout.loads, ...layout.stores].every(isIndex);
  const asFloat = (access: Access, x: V128): V128 => (isIndex(access) && !copiesIndices ? f32x4.convert(x) : x);
  const splatLoad = (access: Access): Lanes => {
    const local = f.let(asFloat(access, v128.load32Splat(pointers.get(access.group)!, offsetOf(access))));
    return floatLanes(f, () => local, { float: () => local });
  };

  const random = chain.code.some(isRandom)
    ? emission.rare!.randomNumbers(f, { ...layout, code: chain.code }, parameters[layout.groups.length]!, (load) => {
        const seed = layout.loads[load]!;
        return i32.load(pointers.get(seed.group)!, offsetOf(seed));
      })
    : undefined;
  const periods = layout.groups.filter((group) => group.rows === "period");
  const untilWrap = periods.length > 0 ? f.let(i32.const(periods[0]!.period)) : undefined;

  const forElements = (body: (offset: I32 | undefined, constant: number, lanes: number) => void): void =>
    worker
      ? emission.team!.forRange(f, layout.columns, worker, body)
      : forColumns(f, layout.columns, body, emission.revectorized ? 2 : 1);

  const whole: Pass = { stores: layout.stores.map((_, i) => i), given: new Map() };
  const passes = emission.rare?.passesOf(chain, layout.columns) ?? [whole];

  times(f, layout.rows, () => {
    // What only seeds `random` is not loaded as a number.
    const inRow = layout.loads.map((access, i) => (access.splat && uses[i] ? splatLoad(access) : undefined));
    for (const { stores, given } of passes) {
      forElements((offset, start, count) => {
        const addresses = new Map(layout.groups.map((group) => [group, f.let(at(pointers.get(group)!, offset))]));
        const resultsAt = (constant: number): V128[] => {
          const read = (access: Access): Lanes =>
            floatLanes(f, () => asFloat(access, v128.load(addresses.get(access.group)!, offsetOf(access) + constant)));
          const loads = layout.loads.map((access, i) => inRow[i] ?? read(access));
          const values = evaluate(f, loads, chain.code, {
            uses,
            random: random?.at(offset, constant),
            rare: emission.rare,
            given: (value) => given.has(value) && read(layout.stores[given.get(value)!]!),
          });
          return stores.map((i) => {
            const { value, flush } = chain.stores[i]!;
            const x = values[value]!.float();
            return flush && !copiesIndices ? f.let(flushed(f, x)) : x;
          });
        };
        // Side by side, so that V8 can make one instruction of two (an LSTM's gates 1.6 to 2 times as fast).
        const parts = Array.from({ length: Math.ceil(count / LANES) }, (_, v) => resultsAt(start + v * VECTOR));
        stores.forEach((store, i) => {
          const access = layout.stores[store]!;
          parts.forEach((results, v) => {
            const x = results[i]!;
            f.store(
              addresses.get(access.group)!,
              isIndex(access) && !copiesIndices ? i32x4.truncate(x) : x,
              offsetOf(access) + start + v * VECTOR,
              Math.min(LANES, count - v * LANES),
            );
          });
        });
      });
    }
    if (layout.rows === 1) return;
    for (const group of layout.groups)
      if (group.rows !== "once") advance(f, pointers.get(group)!, group.stride * BYTES);
    random?.nextRow();
    if (untilWrap) {
      f.set(untilWrap, plus(untilWrap, -1));
      f.if(i32.eqz(untilWrap), () => {
        f.set(untilWrap, i32.const(periods[0]!.period));
        for (const group of periods) f.set(pointers.get(group)!, start.get(group)!);
      });
    }
  });
}
