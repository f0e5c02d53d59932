/**
 * The rows of a series: those that a network looks back on, learns from and is tried on, and whether there are enough of them.
 * n rows, H horizon, L lookback, m season.
 */
import { count } from "../data/check.js";

interface Wanted {
  /** n */
  readonly rows: number;
  /** H */
  readonly horizon: number;
  /** L, before it is made to fit. */
  readonly lookback: number;
  /** m */
  readonly season: number;
}

/** Fewer windows than this teach a network nothing. */
const FEWEST_WINDOWS = 8;

/** L where none is given. */
export const usualLookback = (season: number): number => Math.min(100, Math.max(24, 3 * season));

/** L as it fits: at least as many rows to look ahead from as to look back on. */
export const fittingLookback = ({ rows, horizon, lookback }: Omit<Wanted, "season">): number =>
  Math.max(1, Math.min(lookback, Math.floor((rows - Math.min(horizon, Math.floor(rows / 2))) / 2)));

/** The first row that is forecast in training, and how many at the end are held out to try the network on. */
export function division(wanted: Wanted): { readonly first: number; readonly held: number } {
  const { rows, horizon, season } = wanted;
  return {
    first: Math.max(fittingLookback(wanted), Math.min(2 * season, rows)),
    held: Math.max(horizon, Math.min(2 * horizon, Math.floor(rows / 4)), Math.min(400, Math.floor(rows / 5))),
  };
}

/** Whether the rows that are not held out have enough windows. */
export function areEnough(wanted: Wanted): boolean {
  const { first, held } = division(wanted);
  return wanted.rows - held - first >= FEWEST_WINDOWS;
}

/** Why rows that are not enough are too few, and what would fit. */
export function tooFew(wanted: Wanted): string {
  const { rows, horizon } = wanted;
  let most = Math.min(horizon, rows);
  while (most > 0 && !areEnough({ ...wanted, horizon: most })) most--;
  let least = rows;
  while (!areEnough({ ...wanted, rows: least })) least++;
  return (
    `${count(rows, "row")} are too few to train a network for a horizon of ${horizon} ` +
    `(${most > 0 ? `a horizon of at most ${most} would fit, or ${least} rows` : `it takes ${least} rows`})`
  );
}
