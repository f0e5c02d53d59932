/** Series made for tests: the same ones each time. */
import { createRng } from "../../src/parameters/rng.js";

/** What row t holds; `normal` gives noise of deviation 1, `last` is the row before (0 before the first). */
type Row = (t: number, normal: () => number, last: number) => number;

export function made(rows: number, row: Row, seed = 1): Float64Array {
  const rng = createRng(`series ${seed}`);
  const values = new Float64Array(rows);
  for (let t = 0; t < rows; t++) values[t] = row(t, () => rng.normal(), values[t - 1] ?? 0);
  return values;
}

/** What twelve months stand above or below their year. */
export const profile = [3, -2, 5, 8, -6, -9, 1, 4, 7, -3, -5, -3] as const;
export const month = (t: number): number => profile[t % 12]!;

export const months = (rows: number): string[] =>
  Array.from({ length: rows }, (_, i) => `${2000 + Math.floor(i / 12)}-${String((i % 12) + 1).padStart(2, "0")}`);

export const days = (rows: number): string[] =>
  Array.from({ length: rows }, (_, i) => new Date(Date.UTC(2021, 0, 1 + i)).toISOString().slice(0, 10));

export const meanDistance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((sum, v, i) => sum + Math.abs(v - b[i]!), 0) / a.length;
