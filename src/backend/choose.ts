import { checkName } from "../errors.js";
import type { Backend } from "./contract.js";
import { hasSimd } from "./wasm/features.js";
import { wasm } from "./wasm/index.js";

/** A backend by name; what each needs: `backendNamed`. */
export type BackendName = "auto" | "wasm" | "webgpu" | "reference";

/** Threads that share the batch, where the backend works on the processor; "auto" (default): as many as there are processors. */
export type Threads = number | "auto";

/** Loaded when it is used, so that a page that trains on wasm does not grow by it. */
function onDemand(name: Backend["name"], precision: Backend["precision"], load: () => Promise<Backend>): Backend {
  let loaded: Promise<Backend> | undefined;
  return {
    name,
    precision,
    async createSession() {
      loaded ??= load();
      return (await loaded).createSession();
    },
  };
}

const reference = /* @__PURE__ */ onDemand("reference", "float64", () =>
  import("./reference/index.js").then((module) => module.reference()),
);
/** Its sessions share a device. */
const webgpu = /* @__PURE__ */ onDemand("webgpu", "float32", () =>
  import("./webgpu/index.js").then((module) => module.webgpu()),
);

/**
 * The backend of this name. "auto": wasm where WebAssembly has SIMD, else the slow reference, which is always one thread.
 * "webgpu" needs a graphics device: a browser's, or in Node the package "webgpu" and a driver.
 * @throws UserError on another name, or threads that are no whole number of at least 1
 */
export function backendNamed(
  name: BackendName = "auto",
  { threads = "auto" }: { readonly threads?: Threads } = {},
): Backend {
  checkName("backendNamed", "backend", name, "auto wasm webgpu reference");
  switch (name) {
    case "auto":
      return hasSimd() ? wasm({ threads }) : reference;
    case "wasm":
      return wasm({ threads });
    case "webgpu":
      return webgpu;
    default:
      return reference;
  }
}
