import { UserError } from "../errors.js";
import type { Backend } from "./contract.js";
import { reference } from "./reference/index.js";
import { hasSimd } from "./wasm/features.js";
import { wasm } from "./wasm/index.js";

export type BackendName = "auto" | "wasm" | "reference";

/** The backend of this name. "auto": wasm where WebAssembly has SIMD, else the slow reference. @throws UserError on another name */
export function backendNamed(name: BackendName = "auto"): Backend {
  switch (name) {
    case "auto":
      return hasSimd() ? wasm() : reference();
    case "wasm":
      return wasm();
    case "reference":
      return reference();
    default:
      throw new UserError(`there is no backend "${String(name)}"; the backends are auto, wasm and reference`);
  }
}
