/**
 * The device that WebGPU's tests run on, through Dawn: one for each test file. Without a driver they do not run, and `npm test` says
 * so in one line (announce.ts); with THROUGHTIME_WEBGPU=required they fail.
 */
import { create } from "webgpu";
import { type WebGpuBackend, webgpu } from "../../../src/backend/webgpu/index.js";

/** Software drivers take a second to compile what clears a workgroup's memory; no kernel needs it. */
const FLAGS = ["enable-dawn-features=disable_workgroup_init"];

/** As our own devices have them. */
const limits = [
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxStorageBufferBindingSize",
  "maxBufferSize",
] as const;

export const isRequired = (): boolean => process.env.THROUGHTIME_WEBGPU === "required";

/** Dawn's devices end when this is collected. */
const kept: GPU[] = [];

async function requestDevice(flags: readonly string[]): Promise<GPUDevice | undefined> {
  const gpu = create([...flags]);
  kept.push(gpu);
  const adapter = await gpu.requestAdapter();
  const features = (["shader-f16", "timestamp-query"] as const).filter((feature) => adapter?.features.has(feature));
  return adapter?.requestDevice({
    requiredFeatures: features,
    requiredLimits: Object.fromEntries(limits.map((name) => [name, adapter.limits[name]])),
  });
}

/** A new device; undefined where there is no driver. @throws where one is required */
export async function testDevice(): Promise<GPUDevice | undefined> {
  const device = await requestDevice(FLAGS);
  if (!device && isRequired()) throw new Error("THROUGHTIME_WEBGPU=required, but Dawn finds no Vulkan driver");
  return device;
}

/** A device that checks all that it is given, and does nothing. */
export async function nullDevice(): Promise<GPUDevice> {
  const device = await requestDevice(["backend=null"]);
  if (!device) throw new Error("Dawn has no null backend");
  return device;
}

/** A device with some of its parts replaced. */
export function wrapped(device: GPUDevice, parts: object): GPUDevice {
  return new Proxy(device, {
    get(target, name) {
      if (name in parts) return parts[name as keyof typeof parts];
      const part = target[name as keyof GPUDevice];
      return typeof part === "function" ? part.bind(target) : part;
    },
  });
}

let shared: Promise<GPUDevice | undefined> | undefined;

/** The backend on this file's device; undefined where there is no driver. */
export async function testBackend(): Promise<WebGpuBackend | undefined> {
  shared ??= testDevice();
  const device = await shared;
  return device && webgpu({ device });
}
