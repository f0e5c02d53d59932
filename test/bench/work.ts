/** The multiplications and additions of a workload's matrix products: what no way of computing it can leave out. */
import type { Kernel, Program, Statement } from "../../src/program/program.js";
import { productWork } from "../../src/program/work.js";
import type { Subject } from "./subject.js";
import type { Workload } from "./workloads.js";

/** In one measured piece, over all threads. */
export function workOf(workload: Workload, { programs }: Subject): number {
  const program = programs.at(-1)!;
  const { shard } = program;
  // Threads have nearly equal parts of the rows, and all products go by the row.
  const parts = shard ? shard.of / shard.rows : 1;
  return productWork(program) * parts * (workload.kind === "sample" ? workload.characters : 1);
}

/** In one run of the program, by the label of the kernels. */
export function workByLabel(program: Program): Map<string, number> {
  const work = new Map<string, number>();
  const add = (kernel: Kernel, statement: Statement): void => {
    const alone = productWork({ ...program, compute: [statement], commit: [] });
    if (alone > 0) work.set(kernel.label, (work.get(kernel.label) ?? 0) + alone);
  };
  for (const statement of [...program.compute, ...program.commit]) {
    if (statement.kind !== "loop") add(statement, statement);
    else for (const kernel of statement.body) add(kernel, { ...statement, body: [kernel] });
  }
  return work;
}

/** As `workByLabel`, of whole loops by their names. */
export function workByLoop(program: Program): Map<string, number> {
  const loops = program.compute.flatMap((statement) => (statement.kind === "loop" ? [statement] : []));
  return new Map(loops.map((loop) => [loop.name, productWork({ ...program, compute: [loop], commit: [] })]));
}
