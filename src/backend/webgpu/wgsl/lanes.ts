/** Invocations that work together on a row: each takes every so-many-th column, and what they find is put together in workgroup memory. */
import type { DeviceLimits } from "../dispatch.js";

export interface Lanes {
  /** Invocations for a row, a power of two: 1, 16 or 128 in a dispatch for rows, 8 to 512 in a loop, 256 for all of a matrix. */
  readonly perRow: number;
  /** Invocations of a workgroup. */
  readonly size: number;
  /** Rows of a workgroup. */
  readonly rows: number;
}

/** Few different numbers of lanes, so that there are few pipelines. */
export function lanesFor(columns: number, { invocations }: DeviceLimits): Lanes {
  const perRow = columns <= 4 ? 1 : columns <= 64 ? 16 : Math.min(128, invocations);
  const size = Math.max(64, perRow);
  return { perRow, size, rows: size / perRow };
}

/** Declares functions of these names that put together the lanes' values, each row's by itself; every invocation must call them. */
export function lanesTogether({ perRow, size }: Lanes, combine: Readonly<Record<string, string>>): string {
  if (perRow === 1)
    return Object.keys(combine)
      .map((name) => `fn ${name}(lane: u32, x: f32) -> f32 { return x; }`)
      .join("\n");
  const functions = Object.entries(combine).map(
    ([name, both]) => `fn ${name}(lane: u32, x: f32) -> f32 {
  meeting[lane] = x;
  workgroupBarrier();
  for (var half = ${perRow / 2}u; half > 0u; half >>= 1u) {
    if (lane % ${perRow}u < half) {
      let a = meeting[lane];
      let b = meeting[lane + half];
      meeting[lane] = ${both};
    }
    workgroupBarrier();
  }
  let y = meeting[lane - lane % ${perRow}u];
  workgroupBarrier();
  return y;
}`,
  );
  return [`var<workgroup> meeting: array<f32, ${size}>;`, ...functions].join("\n");
}

const combinations = { largestOf: "maximum(a, b)", sumOf: "a + b" } as const;

/** Declares those of `largestOf` and `sumOf` that a text calls: a row's largest value and its sum, from what its lanes have. */
export function meetings(lanes: Lanes, text: string): string {
  const called = Object.entries(combinations).filter(([name]) => text.includes(`${name}(`));
  return called.length > 0 ? lanesTogether(lanes, Object.fromEntries(called)) : "";
}

/** Declares `row`, its number clamped to a row that there is, `first`, the lane's first column, and whether the row is one. */
export const laneRow = (
  { perRow, rows }: Lanes,
  count: string,
): string => `let wanted = group * ${rows}u + lane / ${perRow}u;
  let isRow = wanted < ${count};
  let row = min(wanted, ${count} - 1u);
  let first = lane % ${perRow}u;`;

/** A loop of the lane over its columns `c`. */
export const eachColumn = ({ perRow }: Lanes, columns: string, body: string): string =>
  `for (var c = first; c < ${columns}; c += ${perRow}u) { ${body} }`;
