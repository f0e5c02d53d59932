/**
 * Activations in 16 bits: temporaries that the loss is computed from and that its derivative reads again. A gradient is none of
 * them, whatever it is called: no loss comes from its own derivative.
 *
 *   kept for the derivative                       is a half
 *   read only on the way to such                  too, so that they can lie in one place
 *   what a loop writes anew at every step         stays: it is a state or a sum, and would be rounded again and again
 *   what is copied into a variable                stays: it is handed on (carried states, outputs); the end of a state's values over
 *                                                 time is written once more, in 32 bits
 */
import type { Placed } from "../lower.js";
import {
  type Buffer,
  type Chain,
  type Kernel,
  kernelsIn,
  type MemoryPlan,
  reads,
  type Statement,
  type View,
  viewsOf,
  writes,
} from "../program.js";
import { throughput } from "../throughput.js";
import { sameView, viewKey } from "../views.js";
import { inPlace } from "./in-place.js";
import { planMemory } from "./plan.js";

/** Elements below which nothing is gained. */
const LEAST = 1024;

type Halved = Omit<Placed, "plan">;

/**
 * The same program with `half` buffers, put onto one another, in the least memory found: gradients do not lie where halves lie, so
 * that what the first of them would lie on (the gates of the last layer) had better stay as it is. `loss`: where it is computed.
 */
export function halfActivations(buffers: readonly Buffer[], statements: readonly Statement[], loss: View): Placed {
  const all = halved(buffers, statements, loss);
  const placed = placements(all);
  const stay = lastOfWidest(all, placed[0]);
  const others = stay.size > 0 ? placements(halved(buffers, statements, loss, stay)) : [];
  const bytesOf = ({ plan: { size, halves = 0 } }: Placed): number => 4 * size + 2 * halves;
  return [...placed, ...others].reduce((best, each) => (bytesOf(each) < bytesOf(best) ? each : best));
}

const placements = ({ buffers, statements: separate }: Halved): [Placed, Placed] => {
  const placed = (early: boolean): Placed => {
    const statements = inPlace(buffers, separate, early);
    const [floats, halves] = [false, true].map((half) =>
      planMemory(
        buffers.filter((buffer) => (buffer.half ?? false) === half),
        statements,
        false,
        throughput.apart,
      ),
    ) as [MemoryPlan, MemoryPlan];
    const offsets = new Map([...floats.offsets, ...halves.offsets]);
    return { buffers, statements, plan: { offsets, size: floats.size, halves: halves.size } };
  };
  return [placed(true), placed(false)];
};

/** Of the halves that share the most memory, those that are written last. */
function lastOfWidest({ buffers, statements }: Halved, placed: Placed): ReadonlySet<number> {
  const places = placed.statements.flatMap(kernelsIn).flatMap(viewsOf);
  const hosts = new Map(
    statements
      .flatMap(kernelsIn)
      .flatMap(viewsOf)
      .map(({ buffer }, i) => [buffer, places[i]!.buffer] as const),
  );
  let widest: number | undefined;
  for (const host of hosts.values())
    if (buffers[host]!.half && buffers[host]!.size >= (widest === undefined ? 0 : buffers[widest]!.size)) widest = host;
  return new Set([...hosts].flatMap(([buffer, host]) => (host === widest ? buffer : [])));
}

/** `stay`: buffers that are no halves. */
function halved(
  buffers: readonly Buffer[],
  statements: readonly Statement[],
  loss: View,
  stay: ReadonlySet<number> = new Set(),
): Halved {
  const halves = keptForDerivative(buffers, statements, ancestorsOf(loss.buffer, statements));
  for (const buffer of stay) halves.delete(buffer);
  const made: Buffer[] = [];
  /** The end of a half's values over time, by the view of it, in a buffer of its own. */
  const ends = new Map<string, { readonly from: View; readonly to: View }>();
  for (const { buffer, ...view } of copiesIntoVariables(buffers, statements)) {
    const from = { buffer, ...view };
    if (!halves.has(buffer) || ends.has(viewKey(from))) continue;
    if (!statements.some((statement) => lastStore(statement, from))) {
      halves.delete(buffer);
      continue;
    }
    const id = buffers.length + made.length;
    const size = from.rows * from.columns;
    made.push({ id, size, type: "float", name: `${buffers[buffer]!.name} at the end`, kind: "temporary" });
    ends.set(viewKey(from), { from, to: { ...from, buffer: id, offset: 0, stride: from.columns } });
  }
  const wanted = [...ends.values()].filter(({ from }) => halves.has(from.buffer));
  return {
    buffers: [...buffers.map((buffer) => (halves.has(buffer.id) ? { ...buffer, half: true } : buffer)), ...made],
    statements: wanted.length === 0 ? statements : statements.map((statement) => withEnds(statement, wanted, buffers)),
  };
}

/** The buffers that a buffer's numbers come from, itself included. */
function ancestorsOf(buffer: number, statements: readonly Statement[]): Set<number> {
  const found = new Set([buffer]);
  const visit = (kernel: Kernel): void => {
    if (kernel.kind === "chain") {
      const needed = valuesBehind(
        kernel,
        kernel.stores.flatMap(({ value, to }) => (found.has(to.buffer) ? value : [])),
      );
      kernel.loads.forEach((load, i) => {
        if (needed.has(i)) found.add(load.buffer);
      });
      // Gates go into the next state unstored, and are stored for the derivative alone.
      for (const { value, to } of kernel.stores) if (needed.has(value)) found.add(to.buffer);
    } else if (writes(kernel).some((view) => found.has(view.buffer)))
      for (const view of reads(kernel)) found.add(view.buffer);
  };
  for (const statement of [...statements].reverse()) {
    let before: number;
    // A loop's step reads what the one before it wrote.
    do {
      before = found.size;
      for (const kernel of [...kernelsIn(statement)].reverse()) visit(kernel);
    } while (statement.kind === "loop" && found.size > before);
  }
  return found;
}

/** The values of a chain that some of them come from, these included. */
function valuesBehind({ loads, code }: Chain, values: readonly number[]): Set<number> {
  const needed = new Set(values);
  for (let i = code.length - 1; i >= 0; i--) {
    const instruction = code[i]!;
    if (!needed.has(loads.length + i) || instruction.op === "constant") continue;
    for (const argument of instruction.op === "random" ? [instruction.seed] : instruction.args) needed.add(argument);
  }
  return needed;
}

function keptForDerivative(
  buffers: readonly Buffer[],
  statements: readonly Statement[],
  forward: ReadonlySet<number>,
): Set<number> {
  const kernels = statements.flatMap(kernelsIn);
  const overwritten = new Set(
    statements.flatMap((statement) =>
      statement.kind === "loop"
        ? statement.body.flatMap(writes).flatMap(({ step, buffer }) => (step === 0 ? buffer : []))
        : [],
    ),
  );
  const mayBe = (id: number): boolean => {
    const { kind, type, size } = buffers[id]!;
    return kind === "temporary" && type === "float" && size >= LEAST && forward.has(id) && !overwritten.has(id);
  };
  const halves = new Set<number>();
  for (const kernel of kernels)
    if (writes(kernel).some(({ buffer }) => !forward.has(buffer)))
      for (const { buffer } of reads(kernel)) if (mayBe(buffer)) halves.add(buffer);
  const rest = buffers.flatMap(({ id }) => (mayBe(id) && !halves.has(id) ? id : []));
  let before: number;
  do {
    before = halves.size;
    for (const id of rest) {
      const readers = kernels.filter((kernel) => reads(kernel).some(({ buffer }) => buffer === id));
      if (readers.every((kernel) => writes(kernel).some(({ buffer }) => halves.has(buffer) || buffer === id)))
        halves.add(id);
    }
  } while (halves.size > before);
  return halves;
}

function copiesIntoVariables(buffers: readonly Buffer[], statements: readonly Statement[]): View[] {
  return statements.flatMap(kernelsIn).flatMap((kernel) => {
    if (kernel.kind !== "chain") return [];
    return kernel.stores.flatMap(({ value, to }) =>
      buffers[to.buffer]!.kind === "variable" && value < kernel.loads.length ? kernel.loads[value]! : [],
    );
  });
}

/** The store, in a loop's chain, that writes a view at the last step. */
function lastStore(statement: Statement, view: View): { readonly kernel: Kernel; readonly value: number } | undefined {
  if (statement.kind !== "loop") return undefined;
  const { steps, reverse, body } = statement;
  for (const kernel of body) {
    if (kernel.kind !== "chain") continue;
    const store = kernel.stores.find(({ to }) => {
      const offset = to.offset + (reverse ? 0 : (steps - 1) * to.step);
      return to.step !== 0 && sameView({ ...to, offset, step: 0 }, view);
    });
    if (store) return { kernel, value: store.value };
  }
  return undefined;
}

type End = { readonly from: View; readonly to: View };

/** A loop that also writes the ends, or a copy that reads them. */
function withEnds(statement: Statement, ends: readonly End[], buffers: readonly Buffer[]): Statement {
  if (statement.kind === "loop") {
    const found = ends.flatMap(({ from, to }) => {
      const store = lastStore(statement, from);
      return store ? [{ ...store, to }] : [];
    });
    if (found.length === 0) return statement;
    const body = statement.body.map((kernel) => {
      if (kernel.kind !== "chain") return kernel;
      const more = found.filter((each) => each.kernel === kernel).map(({ value, to }) => ({ value, to, flush: true }));
      return more.length > 0 ? { ...kernel, stores: [...kernel.stores, ...more] } : kernel;
    });
    return { ...statement, body };
  }
  if (statement.kind !== "chain" || !statement.stores.some(({ to }) => buffers[to.buffer]!.kind === "variable"))
    return statement;
  const loads = statement.loads.map((load) => ends.find(({ from }) => sameView(from, load))?.to ?? load);
  return { ...statement, loads };
}
