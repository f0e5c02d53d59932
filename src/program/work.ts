/** How much arithmetic a program does. */
import type { Kernel, Program } from "./program.js";

/** Multiplications and additions in the matrix products of one run: 2·m·n·k each. */
export function productWork(program: Program): number {
  let work = 0;
  for (const statement of [...program.compute, ...program.commit]) {
    if (statement.kind === "loop") for (const kernel of statement.body) work += statement.steps * workOf(kernel);
    else work += workOf(statement);
  }
  return work;
}

/** The statement of a program with the most work in its products, by the name that a profile gives it: a loop's own, else its kernel's. */
export function heaviest(program: Program): string | undefined {
  let [most, label]: [number, string | undefined] = [0, undefined];
  for (const statement of program.compute) {
    const work = productWork({ ...program, compute: [statement], commit: [] });
    if (work > most) [most, label] = [work, statement.kind === "loop" ? statement.name : statement.label];
  }
  return label;
}

function workOf(kernel: Kernel): number {
  if (kernel.kind !== "product") return 0;
  const depth = kernel.transposeA ? kernel.a.rows : kernel.a.columns;
  return 2 * kernel.out.rows * kernel.out.columns * depth;
}
