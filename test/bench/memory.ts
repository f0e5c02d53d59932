/**
 * Memory of training, on this machine:
 *
 *   node --import tsx test/bench/memory.ts                        long-gru-128 and T = 100,000, whole windows and recomputed ones,
 *                                                                 beside PyTorch where it is installed
 *   node --import tsx test/bench/memory.ts --updates 100000       so many updates of series-lstm-32, with what they hold on the way
 *
 * Every figure is of a process of its own: how far its peak of resident memory rises from what it was when all was loaded.
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { enableRelaxedSimd } from "../../src/backend/wasm/flags-node.js";
import { wasm } from "../../src/backend/wasm/index.js";
import { mse } from "../../src/train/losses.js";
import { adam } from "../../src/train/optimizers.js";
import { createTrainer, type Trainer } from "../../src/train/trainer.js";
import { modelOf, windowOf } from "./model.js";
import { type Training, workloads } from "./workloads.js";

const MIB = 2 ** 20;
/** Resident memory at its peak so far, in bytes. */
const peak = (): number => process.resourceUsage().maxRSS * 1024;
const median = (all: readonly number[]): number => [...all].sort((a, b) => a - b)[all.length >> 1]!;
const named = (name: string): Training => workloads.find((workload) => workload.name === name) as Training;

const trainerOf = (workload: Training, recompute: boolean | number): Promise<Trainer> =>
  createTrainer(modelOf(workload), {
    loss: mse(),
    optimizer: adam({ learningRate: 2e-3 }),
    clip: { norm: 5 },
    bptt: { window: workload.time, recompute },
    batch: workload.batch,
    backend: wasm({ threads: 1 }),
  });

interface Figures {
  /** Milliseconds of a step. */
  readonly ms: number;
  /** Bytes that the process took beyond what it had when all was loaded, at its peak. */
  readonly grown: number;
  /** Bytes of the session. */
  readonly held?: number;
}

async function one(workload: Training, recompute: boolean | number, steps: number): Promise<Figures> {
  const before = peak();
  const trainer = await trainerOf(workload, recompute);
  const times: number[] = [];
  let last = performance.now();
  for await (const _ of trainer.fit(windowOf(workload), { steps })) {
    times.push(performance.now() - last);
    last = performance.now();
  }
  const { total } = trainer.memory();
  trainer.dispose();
  return { ms: median(times.slice(1)), grown: peak() - before, held: total };
}

/** Milliseconds of a step of each, in turn. */
async function inTurn(
  workload: Training,
  recomputes: readonly (boolean | number)[],
  rounds: number,
): Promise<number[]> {
  const runs = [];
  for (const recompute of recomputes) {
    const trainer = await trainerOf(workload, recompute);
    runs.push({
      steps: trainer.fit(windowOf(workload), { steps: Number.MAX_SAFE_INTEGER }),
      trainer,
      times: [] as number[],
    });
  }
  for (let round = -3; round < rounds; round++)
    for (const { steps, times } of runs) {
      const began = performance.now();
      await steps.next();
      if (round >= 0) times.push(performance.now() - began);
    }
  for (const { trainer } of runs) trainer.dispose();
  return runs.map(({ times }) => median(times));
}

const run = promisify(execFile);

async function inChild<R>(command: string, args: readonly string[]): Promise<R | undefined> {
  const { stdout } = await run(command, args, { env: { ...process.env, OPENBLAS_NUM_THREADS: "1" } });
  return JSON.parse(stdout) as R;
}

const here = fileURLToPath(import.meta.url);
const child = (workload: Training, recompute: boolean | number, steps: number): Promise<Figures | undefined> =>
  inChild(process.execPath, ["--import", "tsx", here, "--child", JSON.stringify({ workload, recompute, steps })]);

/** PyTorch, plain and by torch.utils.checkpoint in segments of so many steps. Undefined where it is not installed. */
const pytorch = (workload: Training, segment: number, steps: number): Promise<Figures | undefined> =>
  inChild<Figures>("/usr/bin/python3", [
    fileURLToPath(new URL("memory.py", import.meta.url)),
    JSON.stringify({ ...workload, segment, steps }),
  ]).catch(() => undefined);

function row(what: string, figures: Figures | undefined): void {
  const mib = (bytes: number | undefined): string =>
    (bytes === undefined ? "" : (bytes / MIB).toFixed(bytes < 10 * MIB ? 1 : 0)).padStart(12);
  console.log(
    figures
      ? `${what.padEnd(52)}${figures.ms.toFixed(0).padStart(10)}${mib(figures.grown)}${mib(figures.held)}`
      : `${what.padEnd(52)}  not installed`,
  );
}

async function compare(): Promise<void> {
  const long = named("long-gru-128");
  const longer: Training = { ...long, name: "gru-32", hidden: 32, batch: 4, time: 100_000 };
  console.log(`${"".padEnd(52)}${"ms a step".padStart(10)}${"MiB grown".padStart(12)}${"session".padStart(12)}`);
  row("long-gru-128 (T 1000, N 16), kept", await child(long, false, 6));
  row("long-gru-128, recomputed in segments of 32", await child(long, true, 6));
  row("long-gru-128, PyTorch", await pytorch(long, 0, 6));
  row("long-gru-128, PyTorch, checkpoints every 32", await pytorch(long, 32, 6));
  row("gru-32, T 100,000, N 4, recomputed", await child(longer, true, 4));
  row("gru-32, T 100,000, N 4, kept", await child(longer, false, 4));
  const [kept, recomputed] = (await inTurn(long, [false, true], 7)) as [number, number];
  console.log(
    `\nlong-gru-128 in turn: ${kept.toFixed(1)} ms kept, ${recomputed.toFixed(1)} recomputed: ${(recomputed / kept).toFixed(2)}`,
  );
}

/** What is held while so many updates are made. */
async function updates(count: number): Promise<void> {
  const workload = named("series-lstm-32");
  const trainer = await trainerOf(workload, false);
  const began = performance.now();
  console.log("updates   heap, MiB   resident, MiB   session, MiB   ms a step");
  let since = began;
  const every = Math.max(1, Math.floor(count / 10));
  for await (const { step } of trainer.fit(windowOf(workload), { steps: count })) {
    if (step !== 1 && step % every !== 0) continue;
    globalThis.gc?.();
    const { heapUsed, rss } = process.memoryUsage();
    const now = performance.now();
    const figures = [heapUsed / MIB, rss / MIB, trainer.memory().total / MIB].map((x) => x.toFixed(2));
    const ms = ((now - since) / (step === 1 ? 1 : step === every ? every - 1 : every)).toFixed(2);
    console.log(
      `${String(step).padStart(7)}${figures[0]!.padStart(12)}${figures[1]!.padStart(16)}${figures[2]!.padStart(15)}${ms.padStart(12)}`,
    );
    since = performance.now();
  }
  trainer.dispose();
}

const { values } = parseArgs({ options: { child: { type: "string" }, updates: { type: "string" } } });
enableRelaxedSimd();
if (values.child) {
  const { workload, recompute, steps } = JSON.parse(values.child) as {
    workload: Training;
    recompute: boolean | number;
    steps: number;
  };
  console.log(JSON.stringify(await one(workload, recompute, steps)));
} else if (values.updates) await updates(Number(values.updates));
else await compare();
