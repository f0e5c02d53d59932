/** What dispatches read and write, and whether they may be carried out at once. */
import { type Kernel, reads, type View, writes } from "../../program/program.js";
import { meet, type Range } from "./range.js";
import type { Locate, Space } from "./wgsl/source.js";

/** Elements of a space that a dispatch reads or writes: of each row's `stride`, so many columns. */
export interface Span extends Range {
  readonly space: Space;
  readonly writes: boolean;
  /** 0 where it may be any element of the range. */
  readonly stride: number;
  readonly columns: number;
}

/** What is touched of a view in all of so many steps. */
export function spanOf(view: View, steps: number, isWritten: boolean, locate: Locate): Span {
  const { space, offset } = locate(view.buffer);
  const { rows, columns, step } = view;
  const way = (steps - 1) * step;
  const first = offset + view.offset;
  const from = first + Math.min(0, way);
  const to = first + Math.max(0, way) + (rows - 1) * view.stride + columns;
  const stride = rows > 1 ? view.stride : way === 0 ? 0 : Math.abs(step);
  const isRegular = stride > 0 && (steps === 1 || step % stride === 0);
  return { space, from, to, writes: isWritten, stride: isRegular ? stride : 0, columns };
}

export const spansOf = (kernel: Kernel, steps: number, { locate }: { readonly locate: Locate }): Span[] => [
  ...reads(kernel).map((view) => spanOf(view, steps, false, locate)),
  ...writes(kernel).map((view) => spanOf(view, steps, true, locate)),
];

/** Whether one must wait for the other. */
export const conflict = (a: Span, b: Span): boolean =>
  (a.writes || b.writes) && a.space === b.space && meet(a, b) && !areApart(a, b);

/** Whether they are other columns of the same rows, such as the two halves of a concatenation. */
function areApart(a: Span, b: Span): boolean {
  if (a.stride === 0 || a.stride !== b.stride) return false;
  const behind = (((b.from - a.from) % a.stride) + a.stride) % a.stride;
  return behind >= a.columns && behind + b.columns <= a.stride;
}
