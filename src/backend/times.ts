/** Time by kernel. */
import type { ProfileEntry } from "./contract.js";

export interface Times {
  /** One call of a kernel. */
  add(label: string, milliseconds: number): void;
  /** Longest first. */
  profile(): ProfileEntry[];
}

export function createTimes(): Times {
  const sums = new Map<string, { calls: number; milliseconds: number }>();
  return {
    add(label, milliseconds) {
      const known = sums.get(label) ?? { calls: 0, milliseconds: 0 };
      sums.set(label, { calls: known.calls + 1, milliseconds: known.milliseconds + milliseconds });
    },
    profile: () =>
      [...sums].map(([label, sum]) => ({ label, ...sum })).sort((one, other) => other.milliseconds - one.milliseconds),
  };
}
