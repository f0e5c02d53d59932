/** Kernels that have an invocation for each element. */
import type { View } from "../../../program/program.js";
import { isDense } from "../../../program/views.js";
import type { KernelDispatch } from "../dispatch.js";
import { gridOf, type Matrix, type Source, shaderOf } from "./source.js";

export interface Elements {
  readonly source: Source;
  readonly elements: number;
  /** Their number as a word of the source. */
  readonly count: string;
  /** The columns as a word: where it is given, row `r` and column `c` of the element are declared. */
  readonly columns?: string | undefined;
  /** The statements for element `i`. */
  readonly text: string;
  /** Invocations of a workgroup. Default 64. */
  readonly size?: number;
}

export function elementKernel(kernel: Elements): Omit<KernelDispatch, "how"> {
  const { source, elements, count, columns, text, size = 64 } = kernel;
  const body = `let i = group * ${size}u + lane;
  if (i >= ${count}) { return; }
  ${columns ? `let r = i / ${columns};\n  let c = i % ${columns};` : ""}
  ${text}`;
  const code = shaderOf({ source, size, body });
  return { code, workgroups: gridOf(Math.ceil(elements / size)), parameters: source.parameters };
}

/** The place of element `i` in a view of so many columns. */
export const placeOf = (matrix: Matrix, view: View, columns: string, i = "i"): string =>
  isDense(view) ? `${matrix.base} + ${i}` : matrix.at(`(${i} / ${columns})`, `(${i} % ${columns})`);
