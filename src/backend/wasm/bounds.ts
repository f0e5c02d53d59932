import { kernelsIn, type Program, type View, viewsOf } from "../../program/program.js";

/** WebAssembly checks the ends of memory, not of buffers: a view that leaves its own would destroy another's numbers. */
export function checkBounds({ name, buffers, compute, guards, commit, plan, shard }: Program): void {
  const byId = new Map(buffers.map((buffer) => [buffer.id, buffer]));
  const check = (view: View, label: string, steps = 1): void => {
    const { offset, rows, columns, stride, step, perRow = 0 } = view;
    const refuse = (what: string): never => {
      throw new Error(`program "${name}", kernel "${label}": ${what}`);
    };
    const buffer = byId.get(view.buffer) ?? refuse(`there is no buffer ${view.buffer}`);
    if (buffer.kind === "temporary" && !plan.offsets.has(buffer.id)) refuse(`"${buffer.name}" has no place`);
    if (!(rows >= 1 && columns >= 1)) refuse(`an empty view of "${buffer.name}"`);
    const last = offset + (steps - 1) * step;
    const rowsBefore = shard ? (shard.of - shard.rows) * perRow : 0;
    const end = Math.max(offset, last) + (rows - 1) * stride + columns + rowsBefore;
    if (Math.min(offset, last) < 0 || end > buffer.size)
      refuse(`a view of ${rows} × ${columns} reaches outside "${buffer.name}" (${buffer.size} elements)`);
  };
  for (const statement of [...compute, ...commit])
    for (const kernel of kernelsIn(statement))
      for (const view of viewsOf(kernel))
        check(view, kernel.label, statement.kind === "loop" ? statement.steps : undefined);
  for (const guard of guards) check(guard, "guard");
}
