/** Sizes under their letters. A cell is traced with sizes that occur nowhere else, so that each says what it stands for. */
import type { Cell } from "../cells/cell.js";
import { rowsOf, type Shape } from "../graph/shape.js";
import type { Tensor } from "../graph/tensor.js";

/** Primes that no hidden size divides. Nothing of such a size is ever allocated: a graph is only described. */
export const traced = { T: 100_003, N: 100_019, D: 100_043 } as const;

export interface Sizes {
  /** "4H" for four times the hidden size. */
  size(value: number): string;
  /** A constant of a formula. */
  number(value: number): string;
  /** "[T, N, 4H]". */
  shape(tensor: Tensor): string;
  /** Whether the rows are the sequences of the batch, at one step or at all: a formula then speaks of one of them. */
  perRow(tensor: Tensor): boolean;
  /** Whether the rows are those of all steps. */
  overTime(tensor: Tensor): boolean;
  /** What the letters stand for. */
  readonly legend: string;
}

/** Letters for the sizes of a cell: H for its output, D for its input, and for other states their names in capitals. */
export function sizesOf(cell: Cell, input: number): Sizes {
  const letters = new Map<number, string>([[cell.hidden, "H"]]);
  for (const [key, size] of Object.entries(cell.state)) {
    const letter = key.toUpperCase();
    if (!letters.has(size) && ![...letters.values(), "D", "N", "T"].includes(letter)) letters.set(size, letter);
  }
  const own = [...letters].map(([size, letter]) => `${letter} = ${size}`);
  const features = letters.has(input) ? [] : [input === traced.D ? "D input features" : `D = ${input} input features`];
  if (!letters.has(input)) letters.set(input, "D");
  letters.set(traced.T, "T").set(traced.N, "N");
  const largestFirst = [...letters].sort(([a], [b]) => b - a);
  const size = (value: number): string => {
    const unit = largestFirst.find(([each]) => each > 1 && value > 0 && value % each === 0 && value / each <= 16);
    if (!unit) return value === 1 && letters.has(1) ? letters.get(1)! : String(value);
    return letters.get(value) ?? `${value / unit[0]}${unit[1]}`;
  };
  const overTime = ({ shape }: Tensor): boolean => rowsOf(shape) === traced.T * traced.N;
  return {
    size,
    number(value) {
      if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
      return value >= traced.T && Number.isInteger(value)
        ? size(value)
        : String(Number(value.toPrecision(4))).replace("-", "−");
    },
    shape: ({ shape }) => `[${(shape as Shape).map(size).join(", ")}]`,
    perRow: (tensor) => rowsOf(tensor.shape) === traced.N || overTime(tensor),
    overTime,
    legend: ["T steps", "N sequences in the batch", ...features, ...own].join(", "),
  };
}
