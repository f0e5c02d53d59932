/** Results in print. */
import { cpus, loadavg } from "node:os";
import { hasRelaxedSimd } from "../../src/backend/wasm/features.js";
import type { Graphics } from "./graphics.js";
import { best, floorOf, median, type Result } from "./measure.js";
import type { BenchBackend } from "./options.js";
import { type Profile, type ProfiledKernel, telling } from "./profile.js";
import { stepsOf, type Workload } from "./workloads.js";

interface Column {
  readonly title: string;
  readonly width: number;
  readonly of: (result: Result) => string;
}

const count = (number: number): string => Math.round(number).toLocaleString("en-US");
/** Three digits that say something. */
const short = (number: number): string => number.toFixed(number < 10 ? 2 : number < 100 ? 1 : 0);
const rateOf = ({ workload, ms }: Result): number => (stepsOf(workload) * 1000) / ms;

const columns: readonly Column[] = [
  { title: "workload", width: -17, of: ({ workload }) => workload.name },
  { title: "threads", width: 7, of: ({ threads }) => String(threads) },
  { title: "ms", width: 9, of: ({ ms }) => short(ms) },
  { title: "steps a second", width: 16, of: (result) => count(rateOf(result)) },
  { title: "floor, ms", width: 11, of: (result) => short(floorOf(result)) },
  { title: "peak", width: 7, of: ({ peak }) => short(peak) },
  { title: "ready, ms", width: 11, of: ({ ready }) => short(ready) },
  { title: "first, ms", width: 11, of: ({ first }) => short(first) },
];
const rivalColumns: readonly Column[] = [
  { title: "PyTorch, ms", width: 13, of: ({ against }) => short(best(against)!.ms) },
  { title: "its best with", width: -20, of: ({ against }) => `  ${best(against)!.configuration.name}` },
  { title: "ratio", width: 7, of: ({ against }) => short(best(against)!.ratio) },
];

const ofGraphics = (title: string, width: number, of: Column["of"]): Column => ({ title, width, of });
const columnsOf = (backend: BenchBackend): readonly Column[] =>
  backend === "wasm"
    ? columns
    : [
        ...columns.filter(({ title }) => !["threads", "floor, ms", "peak"].includes(title)),
        ofGraphics("dispatches", 12, ({ dispatches }) => count(dispatches!)),
        ofGraphics("GFLOP/s", 10, ({ work, ms }) => short(work / ms / 1e6)),
        ofGraphics("peak", 10, ({ peak }) => short(peak)),
      ];

const cell = (text: string, width: number): string => (width < 0 ? text.padEnd(-width) : text.padStart(width));

/** What the numbers depend on beside the code. */
export function machine(revectorized: boolean): string {
  const processors = cpus();
  return [
    `Node ${process.version} (V8 ${process.versions.v8})`,
    hasRelaxedSimd() ? "relaxed SIMD" : "no relaxed SIMD",
    ...(revectorized ? ["256-bit revectorisation"] : []),
    `${processors.length} × ${processors[0]?.model ?? "processor"}`,
    `load ${loadavg()[0]!.toFixed(2)}`,
  ].join(", ");
}

export const graphicsLine = ({ name }: Pick<Graphics, "name">): string => `Node ${process.version}, WebGPU on ${name}`;

export interface Table {
  readonly head: string;
  row(result: Result): string;
  foot(results: readonly Result[]): string;
}

export function table(backend: BenchBackend, withRival: boolean): Table {
  const all = [...columnsOf(backend), ...(withRival ? rivalColumns : [])];
  const line = (of: (column: Column) => string): string =>
    all
      .map((column) => cell(of(column), column.width))
      .join("")
      .trimEnd();
  return {
    head: line(({ title }) => (title === "its best with" ? `  ${title}` : title)),
    row: (result) => line((column) => column.of(result)),
    foot(results) {
      if (backend === "webgpu")
        return [
          "dispatches: of a step, which is one submission; GFLOP/s: of the products; peak: of a bare multiply-add loop on the same",
          "device in the same seconds; ready: until the first step begins, compiling included.",
          ...(withRival ? ["ratio: PyTorch's time over ours, the median of rounds in which the two take turns."] : []),
        ].join("\n");
      const peaks = results.map(({ peak }) => peak);
      return [
        `peak: GFLOP/s of a bare multiply-add loop on one core in the same seconds, ${short(Math.min(...peaks))} to ${short(Math.max(...peaks))}, median ${short(median(peaks))};`,
        "floor: the products alone at that peak on every thread; ready: until the first step begins, compiling included.",
        `load ${loadavg()[0]!.toFixed(2)} at the end.`,
        ...(withRival ? ["ratio: PyTorch's time over ours, the median of rounds in which the two take turns."] : []),
      ].join("\n");
    },
  };
}

/** One JSON line for us, and one for each way in which PyTorch was run. */
export function jsonLines(result: Result): string[] {
  const { workload, threads, ms, against } = result;
  const entry = (peer: string, threadsUsed: number, time: number) => ({
    peer,
    threads: threadsUsed,
    workload: workload.name,
    ms: Number(time.toFixed(3)),
    steps_per_s: Number(((stepsOf(workload) * 1000) / time).toFixed(1)),
  });
  return [
    entry(`throughtime-${result.backend}`, threads, ms),
    ...against.map(({ peer, configuration, ms: time, ratio }) => ({
      ...entry(peer, configuration.threads, time),
      ...(configuration.blas
        ? { blas: configuration.blas }
        : { device: configuration.device, tf32: configuration.tf32 }),
      ratio: Number(ratio.toFixed(3)),
    })),
  ].map((line) => JSON.stringify(line));
}

/** Kernels below this share of the time are summed up in one line. */
const SMALL = 0.005;

const share = (rate: number, peak: number): string => `${Math.round((100 * rate) / peak)} %`;

/** How near to its peak a device comes in a workload's largest product and in the loops that are one dispatch. */
export function roofline(workload: Workload, peak: number, kernels: readonly ProfiledKernel[]): string {
  const each = telling(kernels).map(
    ({ label, rate, isLoop }) =>
      `${isLoop ? "loop" : "largest product"} "${label}" ${short(rate!)} GFLOP/s (${share(rate!, peak)})`,
  );
  return `${workload.name}, peak ${short(peak)} GFLOP/s: ${each.join(", ") || "no products"}`;
}

export function profileTable({ workload, ms, profiled, peak, kernels }: Profile): string {
  const inside = kernels.reduce((sum, kernel) => sum + kernel.ms, 0);
  const large = kernels.filter((kernel) => kernel.ms >= SMALL * profiled);
  const rest = kernels.filter((kernel) => kernel.ms < SMALL * profiled);
  const line = (label: string, calls: string, time: number, rate = "", share = ""): string =>
    `  ${label.slice(0, 63).padEnd(64)}${calls.padStart(8)}${short(time).padStart(9)}${`${((100 * time) / profiled).toFixed(1)} %`.padStart(9)}${rate.padStart(10)}${share.padStart(9)}`.trimEnd();
  const sum = (part: typeof kernels): number => part.reduce((total, kernel) => total + kernel.ms, 0);
  return [
    `${workload.name}: ${short(ms)} ms (${short(profiled)} while profiled), peak ${short(peak)} GFLOP/s`,
    `  ${"kernel".padEnd(64)}${"calls".padStart(8)}${"ms".padStart(9)}${"share".padStart(9)}${"GFLOP/s".padStart(10)}${"of peak".padStart(9)}`,
    ...large.map(({ label, calls, ms: time, rate }) =>
      rate === undefined
        ? line(label, count(calls), time)
        : line(label, count(calls), time, short(rate), share(rate, peak)),
    ),
    ...(rest.length > 0 ? [line(`${rest.length} smaller ones`, "", sum(rest))] : []),
    line("outside of kernels", "", profiled - inside),
  ].join("\n");
}
