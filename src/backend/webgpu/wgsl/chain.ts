/** The fused chain: an invocation for each element does all loads, the straight-line code, all stores. */
import type { Chain, View } from "../../../program/program.js";
import { isDense } from "../../../program/views.js";
import type { KernelDispatch, Planning } from "../dispatch.js";
import { elementKernel } from "./elements.js";
import { evaluate, type RandomSource } from "./pointwise.js";
import { createSource, type Matrix, type Source } from "./source.js";

/** How an element's number leads to its place in a view. */
type Access = "element" | "matrix" | "row" | "column" | "scalar" | "period" | "column period";

function accessOf(view: View, { rows, columns }: Chain): Access {
  const repeatsColumn = view.columns === 1 && columns > 1;
  if (view.rows === 1 && rows > 1) return repeatsColumn || columns === 1 ? "scalar" : "row";
  if (view.rows !== rows) return repeatsColumn ? "column period" : "period";
  if (repeatsColumn) return rows === 1 ? "scalar" : "column";
  return isDense(view) ? "element" : "matrix";
}

/** The place in a view of element `i`, in row `r` and column `c`. */
function placeOf(matrix: Matrix, access: Access, period: string): string {
  switch (access) {
    case "element":
      return `${matrix.base} + i`;
    case "matrix":
      return matrix.at("r", "c");
    case "row":
      return `${matrix.base} + c`;
    case "column":
      return matrix.at("r", "0u");
    case "scalar":
      return matrix.base;
    case "period":
      return matrix.at(`(r % ${period})`, "c");
    case "column period":
      return matrix.at(`(r % ${period})`, "0u");
  }
}

/**
 * The statements for element `i` of the chain, where `i`, and `r` and `c` if they are wanted, are declared.
 * `count`: the elements of a step, for random numbers.
 */
export function chainElement(source: Source, chain: Chain, count: string): { text: string; wantsRows: boolean } {
  const lines: string[] = [];
  const seeds = new Set(chain.code.flatMap((instruction) => (instruction.op === "random" ? [instruction.seed] : [])));
  const operands = new Set(chain.code.flatMap((instruction) => ("args" in instruction ? instruction.args : [])));
  for (const { value } of chain.stores) operands.add(value);
  let wantsRows = false;
  const places = (view: View): { matrix: Matrix; place: string } => {
    const access = accessOf(view, chain);
    if (access !== "element" && access !== "scalar") wantsRows = true;
    const matrix = source.matrix(view);
    const period = access === "period" || access === "column period" ? source.word(view.rows) : "";
    return { matrix, place: placeOf(matrix, access, period) };
  };
  const loads = chain.loads.map(places);
  const stores = chain.stores.map(({ value, to }) => ({ value, ...places(to) }));
  const isIndex = ({ matrix }: { matrix: Matrix }): boolean => matrix.space === "indices";
  // Whole numbers that are only copied stay as they are: a float would lose those above 2²⁴.
  const copiesIndices = chain.code.length === 0 && [...loads, ...stores].every(isIndex);
  loads.forEach((load, i) => {
    if (!operands.has(i)) return;
    const number = load.matrix.load(load.place);
    lines.push(`let x${i} = ${isIndex(load) && !copiesIndices ? `f32(${number})` : number};`);
  });
  const random: RandomSource = {
    counter: "counter",
    seed: (load) => `u32(${loads[load]!.matrix.load(loads[load]!.place)})`,
    key: (mixed) => source.word(mixed),
  };
  if (seeds.size > 0) lines.push(`let counter = t * ${count} + i;`);
  const { lines: code, values } = evaluate(
    loads.map((_, i) => `x${i}`),
    chain.code,
    random,
  );
  lines.push(...code);
  for (const { value, matrix, place } of stores) {
    const text = values[value]!;
    lines.push(matrix.store(place, isIndex({ matrix }) && !copiesIndices ? `i32(${text})` : text));
  }
  return { text: lines.join("\n  "), wantsRows };
}

/** Elements from which on workgroups are large. */
const MANY = 32_768;

export function planChain(chain: Chain, { locate, flag, limits }: Planning): readonly KernelDispatch[] {
  const source = createSource(locate, flag);
  const elements = chain.rows * chain.columns;
  const count = source.word(elements);
  const { text, wantsRows } = chainElement(source, chain, count);
  const columns = wantsRows ? source.word(chain.columns) : undefined;
  const size = elements < MANY ? 64 : Math.min(256, limits.invocations);
  return [{ how: "chain", ...elementKernel({ source, elements, count, columns, text, size }) }];
}
