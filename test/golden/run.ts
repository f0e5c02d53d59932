/**
 * Runs golden cases and prints a line for each case and backend: npm run test:golden
 *
 *   GOLDEN    the folder of cases; default the copies in the repository
 *   BACKENDS  reference,wasm,wasm-threads by default, and webgpu where there is a Vulkan driver
 */
import { spawnSync } from "node:child_process";
import { testBackend } from "../backend/webgpu/driver.js";
import { vulkanEnvironment } from "../backend/webgpu/vulkan.js";
import { type BackendName, backends, casesIn, committedCases, runCase } from "./suites.js";

const environment = vulkanEnvironment();
if (Object.keys(environment).length > 0) {
  const { status } = spawnSync(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    stdio: "inherit",
    env: { ...process.env, ...environment },
  });
  process.exit(status ?? 1);
}

const known = Object.keys(backends) as BackendName[];
const usual = (await testBackend()) ? known : known.filter((name) => name !== "webgpu");

function chosenBackends(text: string): BackendName[] {
  const names = [...new Set(text.split(",").map((name) => name.trim()))];
  const strange = names.find((name) => !known.includes(name as BackendName));
  if (strange !== undefined) throw new Error(`BACKENDS names "${strange}"; there are ${known.join(", ")}`);
  return names as BackendName[];
}

async function main(): Promise<boolean> {
  const { GOLDEN = committedCases, BACKENDS = usual.join(",") } = process.env;
  const names = chosenBackends(BACKENDS);
  const paths = await casesIn(GOLDEN);
  let [passed, failed] = [0, 0];
  for (const path of paths) {
    for await (const report of runCase(path, names)) {
      if (report.passed) passed++;
      else failed++;
      console.log(
        `${report.passed ? "pass" : "FAIL"}  ${report.backend.padEnd(12)}  ${report.name.padEnd(28)}  ${report.detail}`,
      );
    }
  }
  console.log(`${paths.length} cases on ${names.join(", ")}: ${passed} passed, ${failed} failed`);
  return failed === 0 && passed > 0;
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
