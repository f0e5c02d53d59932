/** Whole numbers from one to another, exclusive. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

export const meet = (a: Range, b: Range): boolean => a.from < b.to && b.from < a.to;

/** Ranges that touch or overlap, made one; in order. */
export function united(ranges: readonly Range[]): Range[] {
  const all: Range[] = [];
  for (const { from, to } of [...ranges].sort((a, b) => a.from - b.from)) {
    const latest = all.at(-1);
    if (latest && from <= latest.to) all[all.length - 1] = { from: latest.from, to: Math.max(latest.to, to) };
    else all.push({ from, to });
  }
  return all;
}

/** Whether all of a range lies in others. */
export const covered = ({ from, to }: Range, ranges: readonly Range[]): boolean =>
  united(ranges).some((range) => range.from <= from && to <= range.to);
