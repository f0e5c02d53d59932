/** Where a workload's time goes: by kernel, on one thread or on the graphics processor. */
import { median, type Peak } from "./measure.js";
import type { BenchBackend } from "./options.js";
import { createSubject } from "./subject.js";
import { workByLabel, workByLoop } from "./work.js";
import type { Workload } from "./workloads.js";

export interface ProfiledKernel {
  readonly label: string;
  readonly calls: number;
  /** Milliseconds in a piece (a step, a text). */
  readonly ms: number;
  /** Floating-point operations of its products, and GFLOP/s. */
  readonly work: number;
  readonly rate: number | undefined;
  /** Whether it is a whole time loop. */
  readonly isLoop: boolean;
}

export interface Profile {
  readonly workload: Workload;
  readonly backend: BenchBackend;
  /** Milliseconds of a piece without looking, and with it. */
  readonly ms: number;
  readonly profiled: number;
  readonly peak: number;
  /** Longest first. */
  readonly kernels: readonly ProfiledKernel[];
}

export interface ProfileOptions {
  readonly backend: BenchBackend;
  readonly seconds: number;
  readonly peak: Peak;
}

export async function profile(workload: Workload, { backend, seconds, peak }: ProfileOptions): Promise<Profile> {
  const plain = await createSubject(workload, { backend, threads: 1 });
  const ms = median(await plain.measure(seconds / 2));
  plain.dispose();
  const { profiled, kernels } = await kernelsOf(workload, backend, seconds / 2);
  return { workload, backend, ms, profiled, peak: await peak(), kernels };
}

/** Each kernel of a piece, longest first, and milliseconds of a piece meanwhile. */
export async function kernelsOf(
  workload: Workload,
  backend: BenchBackend,
  seconds: number,
): Promise<Pick<Profile, "profiled" | "kernels">> {
  const subject = await createSubject(workload, { backend, threads: 1, profile: true });
  const before = new Map(subject.profile().map((entry) => [entry.label, entry]));
  const times = await subject.measure(seconds);
  const pieces = times.length * subject.together;
  const runs = workload.kind === "sample" ? workload.characters : 1;
  const program = subject.programs.at(-1)!;
  const loops = workByLoop(program);
  const work = new Map([...loops, ...workByLabel(program)]);
  const kernels = subject.profile().map(({ label, calls, milliseconds }): ProfiledKernel => {
    const known = before.get(label);
    const each = (milliseconds - (known?.milliseconds ?? 0)) / pieces;
    const flops = label.split(" + ").reduce((sum, each) => sum + (work.get(each) ?? 0), 0) * runs;
    return {
      label,
      calls: (calls - (known?.calls ?? 0)) / pieces,
      ms: each,
      work: flops,
      rate: flops > 0 ? flops / each / 1e6 : undefined,
      isLoop: loops.has(label),
    };
  });
  subject.dispose();
  return {
    profiled: times.reduce((sum, time) => sum + time, 0) / times.length,
    kernels: kernels.filter((kernel) => kernel.calls > 0).sort((a, b) => b.ms - a.ms),
  };
}

/** The kernels that tell how near to its peak a device comes: the product with the most work, and the loops that are one dispatch. */
export function telling(kernels: readonly ProfiledKernel[]): readonly ProfiledKernel[] {
  const working = kernels.filter(({ rate }) => rate !== undefined);
  const [largest] = working.filter(({ isLoop }) => !isLoop).sort((a, b) => b.work - a.work);
  return [...(largest ? [largest] : []), ...working.filter(({ isLoop }) => isLoop)];
}
