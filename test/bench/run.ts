/**
 * Time of a training step on this machine, and of characters drawn: `npm run bench -- --help`.
 */
import { enableRelaxedSimd, enableRevectorize } from "../../src/backend/wasm/flags-node.js";
import { UserError } from "../../src/errors.js";
import { measure, type Result } from "./measure.js";
import { type BenchOptions, benchOptions, usage } from "./options.js";
import { createPeak } from "./peak.js";
import { profile } from "./profile.js";
import { startPyTorch } from "./pytorch.js";
import { graphics, jsonLines, machine, profileTable, table } from "./table.js";

async function bench(options: BenchOptions): Promise<void> {
  enableRelaxedSimd();
  if (options.revectorize && !enableRevectorize())
    throw new UserError(
      `--revectorize wants Node 24 or newer on an x64 processor: this is Node ${process.version} (V8 ${process.versions.v8}) on ${process.arch}`,
    );
  const peak = createPeak();
  const { backend } = options;
  if (!options.json) console.log(`${backend === "webgpu" ? await graphics() : machine(options.revectorize)}\n`);
  if (options.profile) {
    for (const workload of options.workloads)
      console.log(`${profileTable(await profile(workload, { backend, seconds: options.seconds, peak }))}\n`);
    return;
  }
  const pytorch = options.against && (await startPyTorch());
  try {
    const { head, row, foot } = table(backend, pytorch !== undefined);
    if (!options.json) console.log(head);
    const results: Result[] = [];
    for (const workload of options.workloads) {
      const { threads, seconds } = options;
      const result = await measure(workload, { backend, threads, seconds, peak, pytorch });
      results.push(result);
      console.log(options.json ? jsonLines(result).join("\n") : row(result));
    }
    if (!options.json) console.log(`\n${foot(results)}`);
  } finally {
    pytorch?.stop();
  }
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
