/** The graphics backend: kernels generated at run time in WGSL, in float32. In a page it is the browser's WebGPU, in Node the package "webgpu". */
import { checkName, checkOptions } from "../../errors.js";
import type { Backend } from "../contract.js";
import type { Lender } from "./device.js";
import type { WebGpuSession } from "./session.js";

/** Loaded with the first session. */
const onDemand = {
  device: () => import("./device.js"),
  session: () => import("./session.js"),
};

/** `GPUDevice` where the types of WebGPU are there: a program without them compiles all the same. */
type DeviceOfPage = typeof globalThis extends { readonly GPUDevice: { readonly prototype: infer Device } }
  ? Device
  : never;

/** Options of `webgpu`; all have defaults. */
export interface WebGpuOptions {
  /**
   * A device to use as it is: its limits are what you asked for, and it is not destroyed with a session. Default: one of our own,
   * with the limits of its adapter.
   */
  readonly device?: DeviceOfPage;
  /** Which device where there are several: "low-power" or "high-performance". Default: the system decides. */
  readonly powerPreference?: "low-power" | "high-performance";
  /** Measures the time of each kernel, where the device has timestamp queries, and slows the run; see the session's `profile()`. */
  readonly profile?: boolean;
  /**
   * Carries out no time loop whole, in one dispatch, but its kernels one by one at every step: slower, for a profile that tells them
   * apart. Default false.
   */
  readonly stepwise?: boolean;
  /**
   * How a time loop that is one dispatch reads its weights. "float16": from copies in 16 bits, made in every run, where the device has
   * the feature shader-f16: half of what a step reads, and loops of twice as many weights are one dispatch. Each weight is off by
   * 2⁻¹¹ of itself at most (below 6·10⁻⁵, by 3·10⁻⁸; what is above 65 504 becomes that); sums, states, gradients and the weights that the
   * optimiser changes stay in float32. Outputs and gradients of the three cells were off by 8·10⁻⁵ to 2.5·10⁻⁴ of the largest.
   * Default "float32".
   */
  readonly weights?: "float32" | "float16";
  /**
   * How a training step stores what the forward pass leaves to the backward pass: gates, states over time, inputs of layers, logits.
   * "float16": in 16 bits, rounded as weights are, where the device has the feature shader-f16. It computes in float32; gradients,
   * losses, carried states and outputs stay in float32, and so do the gates of the last layer where the memory is needed anyway. A
   * loop that is one dispatch reads its own state of the step before in float32, one that goes step by step in 16 bits. Text models of
   * two layers of the three cells: losses off by 5·10⁻⁶, gradients by 6·10⁻⁴ of the largest; temporaries 0.70 (lstm), 0.80 (gru), 0.89
   * (rnn) of the bytes. Without effect with `bptt.recompute`, and next to none on a single layer. Default "float32".
   */
  readonly activations?: "float32" | "float16";
}

export interface WebGpuBackend extends Backend {
  readonly name: "webgpu";
  createSession(): Promise<WebGpuSession>;
}

function isHalf(option: string, type: "float32" | "float16"): boolean {
  checkName("webgpu", option, type, "float32 float16");
  return type === "float16";
}

/**
 * The WebGPU backend. Its sessions share a device.
 * @throws UserError when a session is created where there is no WebGPU: in Node without the package "webgpu", or without a driver
 */
export function webgpu(given: WebGpuOptions = {}): WebGpuBackend {
  const { profile = false, stepwise = false, weights = "float32", activations = "float32", ...options } = given;
  checkOptions("webgpu", given, "device powerPreference profile stepwise weights activations");
  const [halfWeights, halfActivations] = [isHalf("weights", weights), isHalf("activations", activations)];
  const features: GPUFeatureName[] = [
    ...(profile ? (["timestamp-query"] as const) : []),
    ...(halfWeights || halfActivations ? (["shader-f16"] as const) : []),
  ];
  let lender: Lender | undefined;
  const backend: WebGpuBackend = {
    name: "webgpu",
    precision: "float32",
    async createSession() {
      const [{ createLender }, { createWebGpuSession }] = await Promise.all([onDemand.device(), onDemand.session()]);
      lender ??= createLender({ ...options, features });
      const { device, release } = await lender.borrow();
      try {
        return createWebGpuSession(backend, device, release, { profile, stepwise, halfWeights, halfActivations });
      } catch (error) {
        release();
        throw error;
      }
    },
  };
  return backend;
}

export type { WebGpuExecutable, WebGpuSession } from "./session.js";
