/** The time of each dispatch, by timestamp queries: a pass for each, with the time of its beginning and its end. */
import type { Times } from "../times.js";
import { BufferUsage } from "./constants.js";
import type { Device } from "./device.js";
import type { Readback } from "./readback.js";

export interface Stopwatch {
  /** What the i-th pass of a run is to write. */
  writes(i: number): GPUComputePassTimestampWrites;
  /** Behind the last pass of a run. */
  collect(encoder: GPUCommandEncoder): void;
  /** After the run has been submitted: its times, by label, when they have come. */
  read(): void;
  destroy(): void;
}

/** Queries of a set, at most; a pass has two. */
const SET = 4096;
/** A time is 64 bits, in nanoseconds. */
const WORDS = 2;

export function createStopwatch(
  { gpu }: Device,
  labels: readonly string[],
  readback: Readback,
  times: Times,
): Stopwatch {
  const queries = 2 * labels.length;
  const sets = Array.from({ length: Math.ceil(queries / SET) }, (_, i) =>
    gpu.createQuerySet({ type: "timestamp", count: Math.min(SET, queries - i * SET) }),
  );
  const resolved = gpu.createBuffer({
    label: "times of kernels",
    size: queries * 8,
    usage: BufferUsage.queryResolve | BufferUsage.copySource,
  });
  return {
    writes: (i) => ({
      querySet: sets[Math.floor((2 * i) / SET)]!,
      beginningOfPassWriteIndex: (2 * i) % SET,
      endOfPassWriteIndex: (2 * i + 1) % SET,
    }),
    collect(encoder) {
      sets.forEach((set, i) => {
        encoder.resolveQuerySet(set, 0, set.count, resolved, i * SET * 8);
      });
    },
    read() {
      readback.read(resolved, 0, queries * WORDS).then(
        (data) => {
          const stamps = new BigUint64Array(data);
          labels.forEach((label, i) => {
            times.add(label, Number(stamps[2 * i + 1]! - stamps[2 * i]!) / 1e6);
          });
        },
        // Whoever waits for the run hears of it.
        () => undefined,
      );
    },
    destroy() {
      for (const set of sets) set.destroy();
      resolved.destroy();
    },
  };
}
