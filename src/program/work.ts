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

function workOf(kernel: Kernel): number {
  if (kernel.kind !== "product") return 0;
  const depth = kernel.transposeA ? kernel.a.rows : kernel.a.columns;
  return 2 * kernel.out.rows * kernel.out.columns * depth;
}
