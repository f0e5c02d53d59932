/** The graphics backend: kernels generated at run time in WGSL, in float32. In a page it is the browser's WebGPU, in Node the package "webgpu". */
import type { Backend } from "../contract.js";
import { createLender } from "./device.js";
import { createWebGpuSession, type WebGpuSession } from "./session.js";

export interface WebGpuOptions {
  /**
   * A device to use as it is: its limits are what you asked for, and it is not destroyed with a session. Default: one of our own,
   * with the limits of its adapter.
   */
  readonly device?: GPUDevice;
  /** Which device where there are several: "low-power" or "high-performance". Default: the system decides. */
  readonly powerPreference?: GPUPowerPreference;
  /** Measures the time of each kernel, where the device has timestamp queries, and slows the run; see the session's `profile()`. */
  readonly profile?: boolean;
  /**
   * Carries out no time loop whole, in one dispatch, but its kernels one by one at every step: slower, for a profile that tells them
   * apart. Default false.
   */
  readonly stepwise?: boolean;
}

export interface WebGpuBackend extends Backend {
  readonly name: "webgpu";
  createSession(): Promise<WebGpuSession>;
}

/**
 * The WebGPU backend. Its sessions share a device.
 * @throws UserError when a session is created where there is no WebGPU: in Node without the package "webgpu", or without a driver
 */
export function webgpu({ profile = false, stepwise = false, ...options }: WebGpuOptions = {}): WebGpuBackend {
  const lender = createLender({ ...options, features: profile ? ["timestamp-query"] : [] });
  const backend: WebGpuBackend = {
    name: "webgpu",
    precision: "float32",
    async createSession() {
      const { device, release } = await lender.borrow();
      return createWebGpuSession(backend, device, release, { profile, stepwise });
    },
  };
  return backend;
}

export type { WebGpuExecutable, WebGpuSession } from "./session.js";
