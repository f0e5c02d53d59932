import type { Kernel, Program, View } from "../../program/program.js";
import { reads, writes } from "../../program/program.js";

/** WebAssembly checks the ends of memory, not of buffers: a view that leaves its own would destroy another's numbers. */
export function checkBounds(program: Program): void {
  const { shard } = program;
  const sizes = new Map(program.buffers.map((buffer) => [buffer.id, buffer]));
  const check = (view: View, label: string, lastStep: number): void => {
    const buffer = sizes.get(view.buffer);
    const place = `program "${program.name}", kernel "${label}"`;
    if (!buffer) throw new Error(`${place}: there is no buffer ${view.buffer}`);
    if (buffer.kind === "temporary" && !program.plan.offsets.has(buffer.id))
      throw new Error(`${place}: "${buffer.name}" has no place`);
    if (!(view.rows >= 1 && view.columns >= 1)) throw new Error(`${place}: an empty view of "${buffer.name}"`);
    const rowsBefore = view.perRow && shard ? (shard.of - shard.rows) * view.perRow : 0;
    const ends = [view.offset, view.offset + lastStep * view.step];
    const extent = (view.rows - 1) * view.stride + view.columns + rowsBefore;
    if (Math.min(...ends) < 0 || Math.max(...ends) + extent > buffer.size) {
      throw new Error(
        `${place}: a view of ${view.rows} × ${view.columns} reaches outside "${buffer.name}" (${buffer.size} elements)`,
      );
    }
  };
  const kernel = (item: Kernel, lastStep: number): void => {
    for (const view of [...reads(item), ...writes(item)]) check(view, item.label, lastStep);
  };
  for (const statement of [...program.compute, ...program.commit]) {
    if (statement.kind === "loop") for (const item of statement.body) kernel(item, statement.steps - 1);
    else kernel(statement, 0);
  }
  for (const guard of program.guards) check(guard, "guard", 0);
}
