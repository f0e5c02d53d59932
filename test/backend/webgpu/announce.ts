/** Before all tests: says in one line where WebGPU's cannot run. */
import { spawnSync } from "node:child_process";
import { vulkanEnvironment } from "./vulkan.js";

const PROBE =
  'const { create } = await import("webgpu"); process.exit((await create([]).requestAdapter().catch(() => null)) ? 0 : 1);';

export function setup(): void {
  // By itself, since the variables must be there when a process starts, and Dawn's library prints what it lacks.
  const env = { ...process.env, ...vulkanEnvironment() };
  const { status } = spawnSync(process.execPath, ["--input-type=module", "-e", PROBE], { env, stdio: "ignore" });
  if (status === 0) return;
  const how = "on Debian: apt install libvulkan1 chromium-common, or a newer mesa-vulkan-drivers than 22";
  console.log(`The WebGPU tests need a Vulkan driver (${how}): without one their kernels are only checked, not run.`);
}
