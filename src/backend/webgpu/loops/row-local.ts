/**
 * Whether the rows of a loop go their own ways: what it computes for a row of the batch depends on that row, and on what the loop
 * leaves as it is. Then workgroups that have rows of their own need not wait for one another, whatever the number of steps.
 */
import { type Buffer, type Kernel, type Loop, reads, type View, writes } from "../../../program/program.js";
import type { Range } from "../range.js";

/** The columns of a view in a buffer that the loop writes: such a buffer is seen as matrices of all rows, one after the other. */
export interface Area extends Range {
  /** The number of the matrix at t = 0. */
  readonly slot: number;
}

export interface Touch extends Area {
  /** The number of the kernel in the loop's body. */
  readonly kernel: number;
  readonly writes: boolean;
}

/** A buffer that the loop writes. */
export interface Written {
  /** Elements from a row to the next. */
  readonly stride: number;
  /** Elements from a step to the next: those of one matrix, or 0. */
  readonly step: number;
  readonly touches: readonly Touch[];
}

export interface RowLocal {
  readonly rows: number;
  /** By the number of the buffer. */
  readonly written: ReadonlyMap<number, Written>;
}

/** Kernels that know how to do some rows. */
export type RowKernel = Extract<Kernel, { kind: "chain" | "product" | "reduce" | "softmax" | "gather" | "fill" }>;

const isRowKernel = ({ kind }: Kernel): boolean =>
  ["chain", "product", "reduce", "softmax", "gather", "fill"].includes(kind);

/** The rows of a loop and what it writes; or, where its rows do not go their own ways, why. */
export function rowLocal(loop: Loop, buffers: readonly Buffer[]): RowLocal | string {
  const rows = loop.body.flatMap((kernel) => writes(kernel))[0]?.rows ?? 0;
  const ids = new Set(loop.body.flatMap((kernel) => writes(kernel).map(({ buffer }) => buffer)));
  for (const kernel of loop.body) {
    const reason = refusal(kernel, rows, ids);
    if (reason) return `${kernel.label}: ${reason}`;
  }
  const written = new Map<number, Written>();
  for (const id of ids) {
    const found = buffers[id]!.type === "float" ? writtenBuffer(loop, rows, buffers[id]!) : undefined;
    if (!found) return `${buffers[id]!.name} is not written and read by rows of the batch`;
    written.set(id, found);
  }
  return { rows, written };
}

/** Why a kernel cannot be done by rows. */
function refusal(kernel: Kernel, rows: number, written: ReadonlySet<number>): string | undefined {
  if (!isRowKernel(kernel)) return `a ${kernel.kind} is not done by rows of the batch`;
  if (writes(kernel).some((view) => view.rows !== rows)) return "other rows than those of the batch";
  const isOne = kernel.kind === "reduce" && kernel.axis === "all" && kernel.input.rows === 1;
  if (kernel.kind === "reduce" && kernel.axis !== "columns" && !isOne) return "it looks at several rows";
  if (kernel.kind === "gather" && written.has(kernel.table.buffer)) return "it looks at any row";
  if (kernel.kind !== "product") return undefined;
  if (kernel.transposeA) return "it sums over rows";
  if (written.has(kernel.b.buffer) || kernel.b.step !== 0) return "its weights change from step to step";
  return undefined;
}

/** A buffer's views as matrices of all rows; undefined where one is anything else. */
function writtenBuffer(loop: Loop, rows: number, { id, size }: Buffer): Written | undefined {
  const all = loop.body.flatMap((kernel, i) => [
    ...reads(kernel).map((view) => ({ view, kernel: i, writes: false })),
    ...writes(kernel).map((view) => ({ view, kernel: i, writes: true })),
  ]);
  const mine = all.filter(({ view }) => view.buffer === id);
  const first = mine[0]!.view;
  const { step } = first;
  // One row is a matrix of as many columns as it has room for.
  const stride = rows > 1 ? first.stride : step || size;
  if (step !== 0 && step !== rows * stride) return undefined;
  const touches: Touch[] = [];
  for (const { view, ...moment } of mine) {
    const area = areaOf(view, { stride }, rows);
    const same = view.rows === rows && view.step === step && (rows === 1 || view.stride === stride);
    if (!same || !area || (step === 0 && area.slot !== 0)) return undefined;
    touches.push({ ...area, ...moment });
  }
  return { stride, step, touches };
}

/** Undefined where a view begins at another row than the first, or reaches beyond its rows. */
export function areaOf({ offset, columns }: View, { stride }: Pick<Written, "stride">, rows: number): Area | undefined {
  const row = Math.floor(offset / stride);
  const from = offset % stride;
  if (row % rows !== 0 || from + columns > stride) return undefined;
  return { slot: row / rows, from, to: from + columns };
}
