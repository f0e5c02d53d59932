/**
 * Time of a training step on this machine, and of characters drawn: `npm run bench -- --help`.
 */
import { enableRelaxedSimd, enableRevectorize } from "../../src/backend/wasm/flags-node.js";
import { UserError } from "../../src/errors.js";
import { openGraphics } from "./graphics.js";
import { measure, type Peak, type Result } from "./measure.js";
import { type BenchOptions, benchOptions, usage } from "./options.js";
import { createPeak } from "./peak.js";
import { kernelsOf, profile } from "./profile.js";
import { type PyTorch, startPyTorch, startPyTorchOn } from "./pytorch.js";
import { graphicsLine, jsonLines, machine, profileTable, roofline, table } from "./table.js";

async function bench(options: BenchOptions): Promise<void> {
  enableRelaxedSimd();
  if (options.revectorize && !enableRevectorize())
    throw new UserError(
      `--revectorize wants Node 24 or newer on an x64 processor: this is Node ${process.version} (V8 ${process.versions.v8}) on ${process.arch}`,
    );
  if (options.backend === "webgpu") await onGraphics(options);
  else await onProcessor(options);
}

async function onProcessor(options: BenchOptions): Promise<void> {
  const peak = createPeak();
  if (!options.json) console.log(`${machine(options.revectorize)}\n`);
  if (options.profile) return profiles(options, peak);
  const pytorch = options.against && (await startPyTorch());
  try {
    await results(options, peak, pytorch);
  } finally {
    pytorch?.stop();
  }
}

async function onGraphics(options: BenchOptions): Promise<void> {
  const graphics = await openGraphics();
  const { backend, seconds, json } = options;
  let pytorch: PyTorch | undefined;
  try {
    if (!json) console.log(`${graphicsLine(graphics)}\n`);
    if (options.profile) return await profiles(options, graphics.peak);
    if (options.against)
      try {
        pytorch = await startPyTorchOn(graphics);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        console.error(`Without PyTorch: ${error.message}\n`);
      }
    const measured = await results(options, graphics.peak, pytorch);
    if (json) return;
    if (!graphics.hasTimestamps) {
      console.log("\nNo share of the peak by kernel: this device has no timestamp queries.");
      return;
    }
    console.log("\nWhat the largest product and the loops that are one dispatch reach of that peak, by timestamps:");
    for (const { workload, peak } of measured) {
      const { kernels } = await kernelsOf(workload, backend, seconds / 2);
      console.log(roofline(workload, peak, kernels));
    }
  } finally {
    pytorch?.stop();
    graphics.dispose();
  }
}

async function profiles({ workloads, backend, seconds }: BenchOptions, peak: Peak): Promise<void> {
  for (const workload of workloads)
    console.log(`${profileTable(await profile(workload, { backend, seconds, peak }))}\n`);
}

async function results(options: BenchOptions, peak: Peak, pytorch: PyTorch | undefined): Promise<readonly Result[]> {
  const { backend, threads, seconds, json } = options;
  const { head, row, foot } = table(backend, pytorch !== undefined);
  if (!json) console.log(head);
  const all: Result[] = [];
  for (const workload of options.workloads) {
    const result = await measure(workload, { backend, threads, seconds, peak, pytorch });
    all.push(result);
    console.log(json ? jsonLines(result).join("\n") : row(result));
  }
  if (!json) console.log(`\n${foot(all)}`);
  return all;
}

try {
  const options = benchOptions(process.argv.slice(2));
  if (options.help) console.log(usage);
  else await bench(options);
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
