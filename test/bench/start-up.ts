/**
 * Time until training begins, on this machine:
 *
 *   node --import tsx test/bench/start-up.ts [--runs N] [--threads N]
 *
 * Builds the package and has processes of their own import it and begin to train char-lstm-128, one after the other, and a model of
 * 96 hidden units twice after it; medians, and the middle half, in milliseconds. "createTrainer" makes the session; starting threads is
 * what it takes of the main thread's time.
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { build } from "tsup";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));
const child = fileURLToPath(new URL("first-step.mjs", import.meta.url));

type Stages = Readonly<Record<string, number>>;

const { values } = parseArgs({ options: { runs: { type: "string" }, threads: { type: "string" } } });
const runs = Number(values.runs ?? 20);
const threads = values.threads === undefined ? [1, 2] : [Number(values.threads)];
if (![runs, ...threads].every((count) => Number.isInteger(count) && count > 0))
  throw new Error("--runs and --threads take a whole number of at least 1");

const quantile = (all: readonly number[], share: number): number =>
  [...all].sort((a, b) => a - b)[Math.round(share * (all.length - 1))]!;
const summary = (all: readonly number[]): string =>
  [0.5, 0.25, 0.75].map((share) => quantile(all, share).toFixed(1).padStart(8)).join("");

const cache = join(root, "node_modules/.cache");
await mkdir(cache, { recursive: true });
const folder = await mkdtemp(join(cache, "start-up-"));
try {
  const dist = resolve(folder, "dist");
  await build({ config: join(root, "tsup.config.ts"), outDir: dist, dts: false, sourcemap: false, silent: true });
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
  // In turn, so that a machine that grows slower does so for all.
  const taken = threads.map((): Stages[] => []);
  for (let i = 0; i < runs; i++)
    for (const [k, count] of threads.entries()) {
      const { stdout } = await run(process.execPath, [child, dist, String(count)]);
      taken[k]!.push(JSON.parse(stdout));
    }
  for (const [k, count] of threads.entries()) {
    const all = taken[k]!;
    const of = (stages: readonly string[]) => (taken: Stages) =>
      stages.reduce((sum, stage) => sum + (taken[stage] ?? 0), 0);
    const compiling = ["tracing", "lowering and compiling"];
    const apart = ["createTrainer", "drawing weights", "starting threads"];
    const rows: [string, (stages: Stages) => number][] = [
      ...["import", ...apart, ...compiling].map((stage): [string, (stages: Stages) => number] => [stage, of([stage])]),
      ["tracing, lowering and compiling", of(compiling)],
      ["from createTrainer to the first step", of([...apart, ...compiling])],
      ["first step", of(["first step"])],
      ["another model to its first step", of(["another"])],
      ["one of the same shapes, likewise", of(["again"])],
    ];
    console.log(`Node ${process.version}, ${count === 1 ? "1 thread" : `${count} threads`}, ${all.length} processes`);
    console.log(`${"".padEnd(38)}  median  from    to`);
    for (const [name, of] of rows) console.log(`${name.padEnd(38)}${summary(all.map(of))}`);
  }
} finally {
  await rm(folder, { recursive: true });
}
