/**
 * Where a chain in a loop takes a vector of each of several gates in turn, and they come from far, they are fetched before it,
 * in the order in which they lie, and in a reverse loop from the end: the machine then fetches ahead, into the next step's
 * too. The chain of an LSTM's backward pass takes a third of the time behind its fetch, and with it half to two thirds.
 * Of what one load alone reads the machine fetches ahead anyway.
 */
import { listed } from "../../../graph/maps.js";
import { type Kernel, type Loop, type View, viewsOf, writes } from "../../../program/program.js";
import { plus } from "../assembler/instructions.js";
import { BYTES, type Call, callOf, type Emission, FAR, prefetch, type Rare } from "./emission.js";

export const withFetches: Rare["withFetches"] = (emission, loop, calls) =>
  calls.flatMap((own, i) => [
    ...fetchesOf(emission, loop, loop.body[i]!).map((call) => ({ call, label: `${own.label}: fetch` })),
    own,
  ]);

const rowOf = ({ offset, stride }: View): number => Math.floor(offset / stride);
const inSameRows = (a: View, b: View): boolean => a.buffer === b.buffer && a.step === b.step && rowOf(a) === rowOf(b);

/** Numbers of all steps together, which the second-level cache does not hold until they are wanted. */
const MANY = 4 * FAR;

/** Numbers between those that are read for this: as many as are touched at once. */
const APART = 8;

function fetchesOf(emission: Emission, { body, steps, reverse }: Loop, kernel: Kernel): Call[] {
  if (kernel.kind !== "chain") return [];
  const before = body.slice(0, body.indexOf(kernel)).flatMap(viewsOf);
  const written = body.flatMap(writes);
  // Neither what an earlier kernel has had in its hands at this step, nor what was written at the last one.
  const isFar = (load: View): boolean =>
    Math.abs(load.step) * steps > MANY &&
    !before.some((view) => inSameRows(view, load)) &&
    written.every((view) => view.buffer !== load.buffer || inSameRows(view, load));
  const together = new Map<string, View[]>();
  for (const load of kernel.loads.filter(isFar))
    listed(together, [load.buffer, load.stride, load.step, load.rows, rowOf(load)].join(), load);
  return [...together.values()].flatMap((loads) => {
    const [base] = loads.sort((a, b) => a.offset - b.offset) as [View];
    const numbers = loads.reduce((sum, { columns }) => sum + columns, 0);
    if (loads.length === 1 || 2 * numbers < base.stride) return [];
    const { offset, columns } = loads.at(-1)!;
    const span = (base.rows - 1) * base.stride + offset + columns - base.offset;
    const step = (reverse ? -APART : APART) * BYTES;
    return callOf(emission, "fetch", [base], (f, source) => {
      const start = reverse ? f.let(plus(source, (span - 1) * BYTES)) : source;
      prefetch(f, start, step, Math.ceil(span / APART), 1);
    });
  });
}
