/** Where a workload's time goes: by kernel, on one thread or on the graphics processor. */
import { median } from "./measure.js";
import type { BenchBackend } from "./options.js";
import { createSubject } from "./subject.js";
import { workByLabel, workByLoop } from "./work.js";
import type { Workload } from "./workloads.js";

export interface ProfiledKernel {
  readonly label: string;
  readonly calls: number;
  /** Milliseconds in a piece (a step, a text). */
  readonly ms: number;
  /** GFLOP/s, of products. */
  readonly rate: number | undefined;
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
  readonly peak: () => number;
}

export async function profile(workload: Workload, { backend, seconds, peak }: ProfileOptions): Promise<Profile> {
  const plain = await createSubject(workload, { backend, threads: 1 });
  const ms = median(await plain.measure(seconds / 2));
  plain.dispose();

  const subject = await createSubject(workload, { backend, threads: 1, profile: true });
  const before = new Map(subject.profile().map((entry) => [entry.label, entry]));
  const times = await subject.measure(seconds / 2);
  const pieces = times.length * subject.together;
  const runs = workload.kind === "sample" ? workload.characters : 1;
  const program = subject.programs.at(-1)!;
  const work = new Map([...workByLoop(program), ...workByLabel(program)]);
  const kernels = subject.profile().map(({ label, calls, milliseconds }): ProfiledKernel => {
    const known = before.get(label);
    const each = (milliseconds - (known?.milliseconds ?? 0)) / pieces;
    const flops = label.split(" + ").reduce((sum, each) => sum + (work.get(each) ?? 0), 0) * runs;
    return {
      label,
      calls: (calls - (known?.calls ?? 0)) / pieces,
      ms: each,
      rate: flops > 0 ? flops / each / 1e6 : undefined,
    };
  });
  subject.dispose();
  return {
    workload,
    backend,
    ms,
    profiled: times.reduce((sum, time) => sum + time, 0) / times.length,
    peak: peak(),
    kernels: kernels.filter((kernel) => kernel.calls > 0).sort((a, b) => b.ms - a.ms),
  };
}
