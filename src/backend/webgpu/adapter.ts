/** Finding WebGPU and a device: in a page `navigator.gpu`, in Node the package "webgpu" (Dawn). */
import { UserError } from "../../errors.js";

export interface AdapterOptions {
  /** Which device where there are several; the browser or the driver decides by default. */
  readonly powerPreference?: GPUPowerPreference;
  /** What the device must be able to do beside the usual. */
  readonly features?: readonly GPUFeatureName[];
}

/** Asked for as far as the adapter has them; a device has the least that the specification allows otherwise. */
const wantedLimits = [
  "maxStorageBufferBindingSize",
  "maxBufferSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
] as const satisfies readonly (keyof GPUSupportedLimits)[];

/** What the package "webgpu" gives. */
interface NodePackage {
  create(flags: readonly string[]): GPU;
}

/** Kept for as long as the process lives: its devices end with it. */
let inNode: Promise<GPU> | undefined;

/**
 * No result depends on workgroup memory that was not written: a loop's product reads rows beyond the batch's last, and drops what
 * comes of them. To clear it takes time; software drivers take seconds to compile it.
 */
const DAWN_FLAGS = ["enable-dawn-features=disable_workgroup_init"];

export async function findGpu(): Promise<GPU> {
  const here = typeof navigator === "undefined" ? undefined : navigator.gpu;
  if (here) return here;
  if (typeof process === "undefined" || !process.versions?.node)
    throw new UserError(
      "this page has no WebGPU: it takes a browser that has it, and a page from https or localhost; the backend wasm runs everywhere",
    );
  inNode ??= loadPackage();
  inNode.catch(() => {
    inNode = undefined;
  });
  return inNode;
}

async function loadPackage(): Promise<GPU> {
  // A name that bundlers do not look at: pages have no need of the package.
  const name = "webgpu";
  let loaded: NodePackage;
  try {
    loaded = (await import(/* webpackIgnore: true */ /* @vite-ignore */ name)) as NodePackage;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const missing = code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND";
    throw new UserError(
      missing && message.includes(`'${name}'`)
        ? 'in Node the backend webgpu needs the package "webgpu": npm install webgpu'
        : `the package "webgpu" could not be loaded (${message.split("\n")[0]}): it needs a newer system, or another version of it`,
    );
  }
  return loaded.create(DAWN_FLAGS);
}

/** A browser whose graphics process has ended may need some seconds for another. */
const ATTEMPTS = 24;
const PAUSE = 250;

/** A new device. `again`: one was lost before, so that none may be there at once. @throws UserError where there is none */
export async function requestDevice(options: AdapterOptions, again: boolean): Promise<GPUDevice> {
  const gpu = await findGpu();
  for (let attempt = 1; ; attempt++) {
    const found = await attemptDevice(gpu, options);
    if (!(found instanceof UserError)) return found;
    if (!again || attempt === ATTEMPTS) throw found;
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}

/** A device, or why there is none. @throws UserError where there can be none */
async function attemptDevice(
  gpu: GPU,
  { powerPreference, features = [] }: AdapterOptions,
): Promise<GPUDevice | UserError> {
  const adapter = await gpu.requestAdapter(powerPreference ? { powerPreference } : {});
  if (!adapter)
    return new UserError(
      typeof window === "undefined" && inNode
        ? "WebGPU found no graphics adapter: install the card's driver; on Linux it takes Vulkan (libvulkan1 and a driver such as mesa-vulkan-drivers)"
        : "this browser's WebGPU found no graphics adapter; the backend wasm runs everywhere",
    );
  checkFeatures(features, adapter.features);
  const requiredLimits = Object.fromEntries(wantedLimits.map((name) => [name, adapter.limits[name]]));
  try {
    return await adapter.requestDevice({ label: "throughtime", requiredLimits, requiredFeatures: features });
  } catch (error) {
    const [reason] = (error as Error).message.split("\n");
    return new UserError(`WebGPU found a graphics adapter, but got no device from it: ${reason}`);
  }
}

/** What a feature is for, in an error. */
const uses: Partial<Record<GPUFeatureName, string>> = {
  "timestamp-query": "times of kernels want",
  "shader-f16": "weights or activations in float16 want",
};

/** @throws UserError where one is missing */
export function checkFeatures(wanted: readonly GPUFeatureName[], there: ReadonlySet<string>): void {
  const missing = wanted.find((feature) => !there.has(feature));
  if (missing)
    throw new UserError(`${uses[missing]} a graphics device with the feature ${missing}, which this one has not`);
}
