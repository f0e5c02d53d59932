import { UserError } from "../errors.js";
import type { Backend } from "./contract.js";
import { hasSimd } from "./wasm/features.js";
import { wasm } from "./wasm/index.js";

export type BackendName = "auto" | "wasm" | "reference";

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

/**
 * The backend of this name. "auto": wasm where WebAssembly has SIMD, else the slow reference, which is always one thread.
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
    case "reference":
      return referenceOnDemand;
    default:
      throw new UserError(`there is no backend "${String(name)}"; the backends are auto, wasm and reference`);
  }
}
