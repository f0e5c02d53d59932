import { createTimes } from "../times.js";

/** Adds up the time between marks, by label. */
export function createClock() {
  const times = createTimes();
  let since = 0;
  return {
    start(): void {
      since = performance.now();
    },
    marker:
      (labels: readonly string[]) =>
      (index: number): void => {
        times.add(labels[index]!, performance.now() - since);
        since = performance.now();
      },
    profile: times.profile,
  };
}
