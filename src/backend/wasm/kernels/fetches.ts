/**
 * What a chain in a loop reads from far is fetched before it, in the order in which it lies. A chain takes a vector of each
 * gate in turn, and the machine, which fetches ahead where one line is read after the other, waits at each of them: the
 * chain of an LSTM's backward pass takes a quarter of the time behind its fetches, and with them less than the chain alone.
 */
import { listed } from "../../../graph/maps.js";
import { type Kernel, type View, viewsOf, writes } from "../../../program/program.js";
import { BYTES, type Call, callOf, type Emission, FAR, prefetch, type Rare } from "./emission.js";

export const withFetches: Rare["withFetches"] = (emission, { body, steps }, calls) =>
  calls.flatMap((own, i) => [
    ...fetchesOf(emission, body, steps, i).map((call) => ({ call, label: `${own.label}: fetch` })),
    own,
  ]);

const rowOf = ({ offset, stride }: View): number => Math.floor(offset / stride);
const inSameRows = (a: View, b: View): boolean => a.buffer === b.buffer && a.step === b.step && rowOf(a) === rowOf(b);

function fetchesOf(emission: Emission, body: readonly Kernel[], steps: number, index: number): Call[] {
  const kernel = body[index]!;
  if (kernel.kind !== "chain") return [];
  const before = body.slice(0, index).flatMap(viewsOf);
  const written = body.flatMap(writes);
  // Neither what an earlier kernel has had in its hands at this step, nor what was written at the last one.
  const isFar = (load: View): boolean =>
    load.rows > 1 &&
    load.columns > 1 &&
    Math.abs(load.step) * steps > FAR &&
    !before.some((view) => inSameRows(view, load)) &&
    written.every((view) => view.buffer !== load.buffer || inSameRows(view, load));
  const together = new Map<string, View[]>();
  for (const load of kernel.loads.filter(isFar))
    listed(together, [load.buffer, load.stride, load.step, load.rows, rowOf(load)].join(), load);
  return [...together.values()].map((loads) => {
    const [base] = loads.sort((a, b) => a.offset - b.offset) as [View];
    const width = Math.max(...loads.map(({ offset, columns }) => offset + columns)) - base.offset;
    const [rows, columns] = width === base.stride ? [1, base.rows * width] : [base.rows, width];
    return callOf(emission, "fetch", [base], (f, source) => prefetch(f, source, base.stride * BYTES, rows, columns));
  });
}
