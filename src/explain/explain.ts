/**
 * A cell explained: its equations, the backward equations derived from them, and what runs before, inside and after the time
 * loop. All of it is read off the graph that training runs; nothing here knows any cell.
 */
import type { Cell } from "../cells/cell.js";
import { checkOptions, UserError } from "../errors.js";
import { equationsOf, type Line, type Part, type Pass } from "./equations.js";
import { type Sizes, sizesOf, traced } from "./sizes.js";
import { type TracedCell, traceCell } from "./step.js";

/** Options of `explain`; all have defaults. */
export interface ExplainOptions {
  /** Features of the input. Default: any number, D; as many as the output has where the cell wants that. */
  readonly input?: number;
  /** Columns of the terminal. Default 100. */
  readonly width?: number;
}

/**
 * The cell's equations, the derived backward equations, and what runs before, inside and after the time loop, as plain text.
 * @throws UserError where the cell cannot take an input of that size
 */
export function explain(cell: Cell, options: ExplainOptions = {}): string {
  const { input, width = 100 } = options;
  if (typeof cell?.step !== "function")
    throw new UserError("explain: wants a cell, such as lstm(64), not a layer or anything else");
  checkOptions("explain", options, "input width");
  if (input !== undefined && (!Number.isInteger(input) || input < 1))
    throw new UserError(`explain: input must be a whole number of features of at least 1, not ${input}`);
  const { trace, features } = traceWith(cell, input);
  const sizes = sizesOf(cell, features);
  const { forward, kept, backward } = equationsOf(trace, sizes);
  const names = kept.names.join(", ");
  const parts = [forward, backward].flatMap(({ before, inside, after }) => [before, inside, after]);
  const formulas = parts.flatMap(({ lines }) => lines.map((line) => line.right)).join("\n");
  return `${[
    ...heading(cell, trace, sizes, features),
    "",
    ...section("FORWARD, from the first step to the last", forward, width),
    ...(names
      ? [`  kept for the way back: ${kept.size} numbers a step and sequence`, ...wrapped(names, 4, width)]
      : []),
    "",
    ...section("BACKWARD, from the last step to the first", backward, width),
    "",
    ...notes(formulas, width),
  ]
    .join("\n")
    .replaceAll("'", "′")}\n`;
}

function traceWith(cell: Cell, input: number | undefined): { readonly trace: TracedCell; readonly features: number } {
  if (input !== undefined) return { trace: traceCell(cell, input), features: input };
  try {
    return { trace: traceCell(cell, traced.D), features: traced.D };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { trace: traceCell(cell, cell.hidden), features: cell.hidden };
  }
}

function heading(cell: Cell, { parameters }: TracedCell, sizes: Sizes, features: number): string[] {
  const rows = (size: number): string => `[N, ${sizes.size(size)}]`;
  const table: [string, string, string][] = [
    ["x", rows(features), "input"],
    ...Object.entries(cell.state).map(([key, size]): [string, string, string] => [
      key,
      rows(size),
      key === cell.output ? "state and output" : "state",
    ]),
    ...parameters.map(({ symbol, name, tensor }): [string, string, string] => [
      symbol,
      sizes.shape(tensor),
      `${name} [${tensor.shape.map((size) => (size === traced.D ? "D" : size)).join(", ")}]`,
    ]),
  ];
  const [first, second] = [0, 1].map((column) => Math.max(...table.map((row) => row[column]!.length))) as [
    number,
    number,
  ];
  return [
    cell.name,
    `  ${sizes.legend}`,
    "",
    ...table.map(([symbol, shape, what]) => `  ${symbol.padEnd(first)}  ${shape.padEnd(second)}  ${what}`),
  ];
}

function section(title: string, { before, inside, after }: Pass, width: number): string[] {
  const lines = [before, inside, after].flatMap((part) => part.lines);
  const left = Math.max(0, ...lines.map((line) => line.left?.length ?? 0));
  const shape = Math.max(0, ...lines.map((line) => line.shape.length));
  const space = Math.max(20, width - left - shape - 9);
  const right = Math.min(space, Math.max(0, ...lines.map((line) => line.right.length)));
  const show = (line: Line): string[] => {
    const [start = "", ...more] = wrapped(line.right, 0, space);
    const head = line.left === undefined ? " ".repeat(left + 3) : `${line.left.padEnd(left)} = `;
    return [
      `    ${head}${start.padEnd(right)}  ${line.shape}`.trimEnd(),
      ...more.map((rest) => `    ${" ".repeat(left + 3)}${rest}`),
    ];
  };
  const part = (name: string, when: string, { lines: own, products }: Part): string[] => {
    if (own.length === 0) return [`  ${name}: nothing`];
    const count = products === 0 ? "" : `, ${products} matrix product${products > 1 ? "s" : ""}`;
    return [`  ${name}, ${when}${count}`, ...own.flatMap(show)];
  };
  return [
    title,
    ...part("before the loop", "once over all T·N rows", before),
    ...part("inside", "at each step", inside),
    ...part("after the loop", "once over all T·N rows", after),
  ];
}

/** Lines of at most `width` columns, broken at spaces. */
function wrapped(text: string, indent: number, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line && indent + line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line ? `${line} ${word}` : word;
  }
  return [...lines, line].map((each) => " ".repeat(indent) + each);
}

/** What the signs mean, as far as they occur. */
function notes(formulas: string, width: number): string[] {
  const signs: readonly (readonly [RegExp, string])[] = [
    [/·/, "a·b matrix product"],
    [/∘/, "a∘b pointwise product"],
    [/ᵀ/, "aᵀ transpose"],
    [/\w\[[^\] ]*:/, "a[i:j] elements i to j−1"],
    [/(^|[^\wᵀ)'])\[[^\]]*, /m, "[a, b] put together"],
    [/(^|[^\w)'])\[[^\],]* [<>≤≥=≠] /m, "[a > b] 1 where it holds, else 0"],
    [/σ\(/, "σ(a) = 1 / (1 + e⁻ᵃ)"],
    [/\w'/, "v' what v is after the step"],
    [/\bd\w/, "dv = ∂loss/∂v"],
    [/\bdy\b/, "dy that of the output at this step"],
    [/ₜ₊₁/, "dvₜ₊₁ dv as the step after found it"],
    [/Σₜ/, "Σₜ over all steps and sequences"],
    [/Σₙ/, "Σₙ over the sequences"],
    [/Σⱼ/, "Σⱼ over the features"],
  ];
  const lines: string[] = [];
  for (const [sign, meaning] of signs) {
    if (!sign.test(formulas)) continue;
    const last = lines.at(-1);
    if (last !== undefined && last.length + 3 + meaning.length <= width)
      lines[lines.length - 1] = `${last}   ${meaning}`;
    else lines.push(`  ${meaning}`);
  }
  return lines;
}
