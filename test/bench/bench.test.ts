/** The bench's command line, and that what it says of the work is so. How fast anything is, no test decides. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { UserError } from "../../src/errors.js";
import { productWork } from "../../src/program/work.js";
import { testDevice } from "../backend/webgpu/driver.js";
import { type Info, isSoftware, openGraphics } from "./graphics.js";
import { best, floorOf, median, type Rival } from "./measure.js";
import { benchOptions } from "./options.js";
import { createPeak } from "./peak.js";
import { type ProfiledKernel, telling } from "./profile.js";
import { cardOf, onCard, start, startPyTorch, startPyTorchOn } from "./pytorch.js";
import { createSubject } from "./subject.js";
import { jsonLines, roofline, table } from "./table.js";
import { workByLabel, workOf } from "./work.js";
import { type Workload, workloads } from "./workloads.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const bench = (...parameters: string[]) =>
  spawnSync(process.execPath, ["--import", "tsx", "test/bench/run.ts", ...parameters], { cwd: root, encoding: "utf8" });

const small: Workload = {
  kind: "train",
  name: "small",
  cell: "lstm",
  features: 3,
  hidden: 5,
  layers: 1,
  batch: 4,
  time: 6,
};
const writing: Workload = {
  kind: "sample",
  name: "writing",
  cell: "gru",
  vocabulary: 9,
  hidden: 8,
  layers: 1,
  characters: 11,
};

describe("the command line", () => {
  it("measures everything by default", () => {
    expect(benchOptions([])).toEqual({
      backend: "wasm",
      workloads,
      json: false,
      threads: undefined,
      seconds: 4,
      against: undefined,
      profile: false,
      revectorize: false,
      help: false,
    });
  });

  it("takes what it is given", () => {
    const options = benchOptions(
      "--only long-gru-128,char-rnn-128 --threads 2 --seconds 0.5 --against pytorch --json".split(" "),
    );
    expect(options.workloads.map(({ name }) => name)).toEqual(["long-gru-128", "char-rnn-128"]);
    expect(options).toMatchObject({ threads: 2, seconds: 0.5, against: "pytorch", json: true });
  });

  it("takes PyTorch beside a graphics processor too", () => {
    expect(benchOptions("--backend webgpu --against pytorch".split(" "))).toMatchObject({
      backend: "webgpu",
      against: "pytorch",
    });
  });

  it.each([
    ["--only lstm", /^no workload "lstm"; there are char-lstm-128, .*sample-lstm-128$/],
    ["--only char-rnn-128,", /^no workload ""/],
    ["--threads 0", '--threads must be a whole number of at least 1, not "0"'],
    ["--threads 1.5", '--threads must be a whole number of at least 1, not "1.5"'],
    ["--seconds soon", '--seconds must be a number above 0, not "soon"'],
    ["--against tfjs", '--against knows pytorch only, not "tfjs"'],
    ["--profile --json", "--profile prints a table of its own: leave out --json"],
    ["--profile --against pytorch", "--profile prints a table of its own: leave out --against"],
    ["--profile --threads 2", "--profile measures one thread: leave out --threads 2"],
    ["--backend cuda", '--backend is wasm or webgpu, not "cuda"'],
    ["--backend webgpu --threads 2", "--threads is for the processor: leave it out with --backend webgpu"],
    ["--fast", "Unknown option '--fast'"],
    ["char-rnn-128", "Unexpected argument 'char-rnn-128'"],
  ])("refuses %s in one sentence", (line, message) => {
    expect(() => benchOptions(line.split(" "))).toThrow(UserError);
    expect(() => benchOptions(line.split(" "))).toThrow(message);
    try {
      benchOptions(line.split(" "));
    } catch (error) {
      expect((error as Error).message).not.toContain("\n");
    }
  });

  it("prints one JSON line a workload and nothing else", () => {
    const { status, stdout, stderr } = bench(
      "--json",
      "--only",
      "online-lstm-64",
      "--threads",
      "1",
      "--seconds",
      "0.1",
    );
    expect([status, stderr]).toEqual([0, ""]);
    const line = JSON.parse(stdout);
    expect(Object.keys(line)).toEqual(["peer", "threads", "workload", "ms", "steps_per_s"]);
    expect(line).toMatchObject({ peer: "throughtime-wasm", threads: 1, workload: "online-lstm-64" });
    expect(line.steps_per_s / ((100 * 1000) / line.ms)).toBeCloseTo(1, 2);
  });

  it("ends with a sentence, not a stack", () => {
    const { status, stdout, stderr } = bench("--only", "nothing");
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^no workload "nothing"; there are .*\n$/);
  });

  it("says which packages PyTorch is in", async () => {
    await expect(startPyTorch("/nowhere/python3")).rejects.toThrow(
      /Debian packages python3-torch libopenblas0-pthread libopenblas0-openmp .*: there is no \/nowhere\/python3$/,
    );
  });
});

describe("a subject", () => {
  it("trains, and counts the work of its products", async () => {
    const subject = await createSubject(small, { threads: 1 });
    expect((await subject.measure(0)).length).toBe(1);
    const program = subject.programs.at(-1)!;
    const byLabel = [...workByLabel(program).values()].reduce((sum, work) => sum + work, 0);
    expect(byLabel).toBe(productWork(program));
    // Forward: x·W_ih, h·W_hh of 4H columns and the head; backward twice that, less dx and a first dh that nobody wants.
    const [T, N, D, H] = [6, 4, 3, 5];
    const forward = 2 * T * N * (4 * H * (D + H) + H);
    expect(workOf(small, subject)).toBeGreaterThan(2 * forward);
    expect(workOf(small, subject)).toBeLessThanOrEqual(3 * forward);
    subject.dispose();
  });

  it("writes, and has the work of each character counted", async () => {
    const subject = await createSubject(writing);
    expect(subject.threads).toBe(1);
    expect((await subject.measure(0)).length).toBe(1);
    // The input is one-hot: its product is a row looked up.
    const [V, H] = [9, 8];
    expect(workOf(writing, subject)).toBe(11 * 2 * (3 * H * H + H * V));
    subject.dispose();
  });

  it("profiles each kernel", async () => {
    const subject = await createSubject(small, { threads: 1, profile: true });
    const labels = new Set(subject.profile().map(({ label }) => label));
    for (const label of workByLabel(subject.programs.at(-1)!).keys()) expect(labels).toContain(label);
    subject.dispose();
  });
});

const device = await testDevice();
describe.skipIf(device === undefined)("a subject on a graphics processor", () => {
  it("trains, and profiles each kernel", async () => {
    const subject = await createSubject(small, { backend: "webgpu", profile: true });
    const before = subject.profile().reduce((sum, { calls }) => sum + calls, 0);
    const times = await subject.measure(0);
    const kernels = subject.profile();
    const calls = kernels.reduce((sum, entry) => sum + entry.calls, 0) - before;
    expect(calls).toBe(subject.dispatches()! * times.length * subject.together);
    expect(kernels.every(({ milliseconds }) => milliseconds >= 0)).toBe(true);
    // Several kernels may be one dispatch, and so may a loop.
    const labels = new Set(kernels.flatMap(({ label }) => label.split(" + ")));
    const { compute } = subject.programs.at(-1)!;
    for (const statement of compute) {
      const whole = statement.kind === "loop" && labels.has(statement.name);
      const inside = statement.kind === "loop" ? statement.body : [statement];
      if (!whole) for (const { label } of inside) expect(labels).toContain(label);
    }
    subject.dispose();
  });
});

const card: Info = {
  vendor: "nvidia",
  architecture: "hopper",
  device: "nvidia-h200",
  description: "NVIDIA: 570.1",
  isFallbackAdapter: false,
};

describe("PyTorch on a graphics card", () => {
  const on = (info: Info) => ({ name: info.device, info, isSoftware: isSoftware(info) });

  it("is the card that WebGPU computes on, or none", () => {
    expect(cardOf(on(card), "2", ["NVIDIA A100", "NVIDIA H200"])).toBe(1);
    expect(cardOf(on({ ...card, device: "", description: "" }), "2", ["NVIDIA H200"])).toBe(0);
    expect(() => cardOf(on(card), "2", [])).toThrow(
      new UserError("PyTorch 2 finds no CUDA: PYTHON names another Python whose PyTorch has it"),
    );
    expect(() => cardOf(on(card), "2", ["NVIDIA A100", "NVIDIA L4"])).toThrow(
      new UserError("WebGPU computes on nvidia-h200, but PyTorch's cards are NVIDIA A100, NVIDIA L4"),
    );
    expect(() => cardOf(on({ ...card, vendor: "amd", device: "radeon" }), "2", ["NVIDIA L4"])).toThrow(UserError);
  });

  it("is not compared with a processor that plays a card", () => {
    for (const info of [
      { ...card, isFallbackAdapter: true },
      { ...card, vendor: "mesa", device: "llvmpipe", description: "LLVM 15" },
    ])
      expect(() => startPyTorchOn(on(info))).toThrow(/^WebGPU computes on the processor here \(.+\): /);
  });
});

/** A processor is a device to PyTorch like a card, and nothing has to be waited for. */
const pytorch = await start("/usr/bin/python3", undefined, () => onCard("cpu")).catch(() => undefined);
afterAll(() => pytorch?.stop());
describe.skipIf(pytorch === undefined)("PyTorch on a device", () => {
  it("trains and writes in each precision, several pieces together", async () => {
    for (const workload of [small, { ...small, vocabulary: 7 }, writing]) {
      const prepared = await pytorch!.prepare(workload);
      expect(prepared.map(({ name, tf32 }) => [name, tf32])).toEqual([
        ["float32", false],
        ["TF32", true],
      ]);
      for (const { measure } of prepared) {
        const times = await measure(0.01, 3);
        expect(times.length).toBeGreaterThanOrEqual(1);
        expect(times.every((time) => time > 0)).toBe(true);
      }
      await pytorch!.forget();
    }
  });
});

describe.skipIf(device === undefined)("a graphics processor's peak", () => {
  it("is measured by multiply-adds", async () => {
    const graphics = await openGraphics();
    const peak = await graphics.peak();
    expect(peak).toBeGreaterThan(0.05);
    expect(peak).toBeLessThan(1e6);
    graphics.dispose();
  });

  it("lies beside the largest product and the loops", () => {
    const kernel = (label: string, work: number, ms: number, isLoop = false): ProfiledKernel => ({
      label,
      calls: 1,
      ms,
      work,
      rate: work > 0 ? work / ms / 1e6 : undefined,
      isLoop,
    });
    const kernels = [
      kernel("rnn", 4e6, 1, true),
      kernel("small", 1e6, 0.1),
      kernel("large", 8e6, 1),
      kernel("add", 0, 1),
    ];
    expect(telling(kernels).map(({ label }) => label)).toEqual(["large", "rnn"]);
    expect(roofline(small, 80, kernels)).toBe(
      'small, peak 80.0 GFLOP/s: largest product "large" 8.00 GFLOP/s (10 %), loop "rnn" 4.00 GFLOP/s (5 %)',
    );
  });
});

describe("results", () => {
  const rival = (name: string, ms: number): Rival => ({
    peer: "pytorch-1",
    configuration: { name, threads: 2, blas: "openmp", device: "cpu", tf32: false, measure: async () => [ms] },
    ms,
    ratio: ms / 2,
  });
  const result = {
    workload: small,
    backend: "wasm" as const,
    threads: 2,
    ms: 2,
    ready: 30,
    first: 5,
    work: 8e6,
    peak: 40,
    against: [rival("slow", 9), rival("quick", 6)],
  };

  it("are compared with the rival's best", () => {
    expect(best(result.against)!.configuration.name).toBe("quick");
    const cells = table("wasm", true).row(result).split(/ {2,}/);
    expect(cells).toEqual(["small", "2", "2.00", "12,000", "0.10", "40.0", "30.0", "5.00", "6.00", "quick", "3.00"]);
    expect(jsonLines(result).map((line) => JSON.parse(line).ratio)).toEqual([undefined, 4.5, 3]);
  });

  it("have a floor: the products at the peak of every thread", () => {
    expect(floorOf(result)).toBeCloseTo(8e6 / 80e9 / 1e-3, 12);
    expect(median([5, 1, 3])).toBe(3);
    expect(median([4, 1])).toBe(4);
  });

  it("lie beside a peak that is one of a processor", () => {
    const peak = createPeak()();
    expect(peak).toBeGreaterThan(0.5);
    expect(peak).toBeLessThan(1000);
  });
});
