/** Ours and theirs in turn: whatever the machine does meanwhile, it does to both. */
import { setTimeout as pause } from "node:timers/promises";
import type { BenchBackend } from "./options.js";
import type { Measured, PyTorch } from "./pytorch.js";
import { createSubject } from "./subject.js";
import { workOf } from "./work.js";
import type { Workload } from "./workloads.js";

export interface Result {
  readonly workload: Workload;
  readonly backend: BenchBackend;
  readonly threads: number;
  /** Of a step on a graphics processor. */
  readonly dispatches?: number | undefined;
  /** Milliseconds of a piece: a step, or a text. */
  readonly ms: number;
  /** Milliseconds until the first piece begins, and of that piece. */
  readonly ready: number;
  readonly first: number;
  /** Floating-point operations of a piece's products. */
  readonly work: number;
  /** GFLOP/s that one core, or the graphics processor, could do in the same minutes. */
  readonly peak: number;
  readonly against: readonly Rival[];
}

export interface Rival {
  readonly peer: string;
  readonly configuration: Measured;
  readonly ms: number;
  /** How many times as long it takes. */
  readonly ratio: number;
}

/** Measures, for some milliseconds, what could be done at most: GFLOP/s. */
export type Peak = () => number | Promise<number>;

export interface MeasureOptions {
  readonly backend: BenchBackend;
  readonly threads: number | undefined;
  readonly seconds: number;
  readonly peak: Peak;
  readonly pytorch: PyTorch | undefined;
}

/** Short ones: the host swings from second to second, and only what is done in the same seconds can be compared. */
const ROUNDS = 9;
/** Milliseconds for the threads of the one before to stop looking for work. */
const REST = 10;
/** Milliseconds of a piece that needs no piece before it; as in pytorch.py. */
const LONG = 100;

/** The middle one of some numbers, the higher of two middle ones. */
export const median = (numbers: readonly number[]): number => [...numbers].sort((a, b) => a - b)[numbers.length >> 1]!;

export async function measure(workload: Workload, options: MeasureOptions): Promise<Result> {
  const { backend, threads, seconds, peak, pytorch } = options;
  const subject = await createSubject(workload, { backend, threads });
  try {
    const rivals = ((await pytorch?.prepare(workload)) ?? []).map((configuration) => ({
      configuration,
      times: [] as number[],
    }));
    const ours: number[] = [];
    const peaks: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      await pause(REST);
      peaks.push(await peak());
      // The caches have served others meanwhile, which a long piece hardly notices.
      if ((ours[0] ?? 0) < LONG) await subject.measure(0);
      ours.push(median(await subject.measure(seconds / ROUNDS)));
      for (const { configuration, times } of rivals) {
        await pause(REST);
        times.push(median(await configuration.measure(seconds / ROUNDS, subject.together)));
      }
    }
    await pytorch?.forget();
    return {
      workload,
      backend,
      dispatches: subject.dispatches(),
      threads: subject.threads,
      ms: median(ours),
      ready: subject.ready,
      first: subject.first,
      work: workOf(workload, subject),
      peak: median(peaks),
      against: rivals.map(({ configuration, times }) => ({
        peer: pytorch!.name,
        configuration,
        ms: median(times),
        ratio: median(times.map((time, round) => time / ours[round]!)),
      })),
    };
  } finally {
    subject.dispose();
  }
}

/** The configuration that needs the least time. */
export const best = (rivals: readonly Rival[]): Rival | undefined => [...rivals].sort((a, b) => a.ms - b.ms)[0];

/** Milliseconds of the products alone, at the peak on every thread. */
export const floorOf = ({ work, peak, threads }: Result): number => work / (peak * 1e6 * threads);
