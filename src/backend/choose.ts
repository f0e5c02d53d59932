import { UserError } from "../errors.js";
import type { Backend } from "./contract.js";
import { hasSimd } from "./wasm/features.js";
import { wasm } from "./wasm/index.js";

export type BackendName = "auto" | "wasm" | "webgpu" | "reference";

/** Threads that share the batch, where the backend works on the processor; "auto" (default): as many as there are processors. */
export type Threads = number | "auto";

/** Loaded when it is used: few pages meet an engine without SIMD. */
const referenceOnDemand: Backend = {
  name: "reference",
  precision: "float64",
  async createSession() {
    const { reference } = await import("./reference/index.js");
    return reference().createSession();
  },
};

let graphics: Backend | undefined;

/** Loaded when it is used: a page that trains on the processor does not grow by it. Sessions share a device. */
const webgpuOnDemand: Backend = {
  name: "webgpu",
  precision: "float32",
  async createSession() {
    const { webgpu } = await import("./webgpu/index.js");
    graphics ??= webgpu();
    return graphics.createSession();
  },
};

/**
 * The backend of this name. "auto": wasm where WebAssembly has SIMD, else the slow reference, which is always one thread.
 * "webgpu" needs a graphics device: a browser's, or in Node the package "webgpu" and a driver.
 * @throws UserError on another name, or threads that are no whole number of at least 1
 */
export function backendNamed(
  name: BackendName = "auto",
  { threads = "auto" }: { readonly threads?: Threads } = {},
): Backend {
  switch (name) {
    case "auto":
      return hasSimd() ? wasm({ threads }) : referenceOnDemand;
    case "wasm":
      return wasm({ threads });
    case "webgpu":
      return webgpuOnDemand;
    case "reference":
      return referenceOnDemand;
    default:
      throw new UserError(`there is no backend "${String(name)}"; the backends are auto, wasm, webgpu and reference`);
  }
}
