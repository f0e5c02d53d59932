/** Devices of browsers other than the newest, or that end while sessions are made. Nothing is run. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { type WebGpuBackend, webgpu } from "../../../src/backend/webgpu/index.js";
import { lstm } from "../../../src/cells/lstm.js";
import { UserError } from "../../../src/errors.js";
import { errorOf } from "../../refusal.js";
import { createBench, kernel } from "./bench.js";
import { nullDevice, wrapped } from "./driver.js";
import { layerCase, programOf, wholeLoops } from "./loop-cases.js";

afterEach(() => void vi.unstubAllGlobals());

/** The backend of a page whose adapter gives such devices, one after another. */
function inPage(next: () => Promise<GPUDevice>): { readonly backend: WebGpuBackend; readonly given: GPUDevice[] } {
  const given: GPUDevice[] = [];
  const requestDevice = async (): Promise<GPUDevice> => {
    const device = await next();
    given.push(device);
    return device;
  };
  vi.stubGlobal("navigator", {
    gpu: { requestAdapter: async () => ({ features: new Set(), limits: {}, requestDevice }) },
  });
  return { backend: webgpu(), given };
}

const isLost = (device: GPUDevice): Promise<boolean> =>
  Promise.race([device.lost.then(() => true), new Promise<boolean>((resolve) => setTimeout(resolve, 50, false))]);

describe("a device of an older browser", () => {
  it("need not say what it is", async () => {
    const device = wrapped(await nullDevice(), { adapterInfo: undefined });
    const session = await webgpu({ device }).createSession();
    expect(session.adapter).toBe("an unnamed device");
    session.dispose();
  });

  it("is given back where a session cannot be made on it", async () => {
    const { backend, given } = inPage(async () =>
      wrapped(await nullDevice(), {
        get adapterInfo() {
          throw new Error("not here");
        },
      }),
    );
    expect((await errorOf(backend.createSession())).message).toBe("not here");
    expect(await isLost(given[0]!)).toBe(true);
  });
});

describe("a device of our own", () => {
  it("is one for sessions that are made together after another was lost, and ends with the last of them", async () => {
    const { backend, given } = inPage(nullDevice);
    const before = await backend.createSession();
    given[0]!.destroy();
    await given[0]!.lost;
    const [one, other] = await Promise.all([backend.createSession(), backend.createSession()]);
    expect(given.length).toBe(2);
    before.dispose();
    one.dispose();
    expect(await isLost(given[1]!)).toBe(false);
    other.dispose();
    expect(await isLost(given[1]!)).toBe(true);
  });

  it("that the adapter refuses is not taken for an adapter that is missing", async () => {
    const { backend } = inPage(() => Promise.reject(new Error("limit maxBufferSize is too large\n  at Dawn")));
    const error = await errorOf(backend.createSession());
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toBe(
      "WebGPU found a graphics adapter, but got no device from it: limit maxBufferSize is too large",
    );
  });

  it("that is lost while kernels are compiled is said to be lost, and the kernels not to be wrong", async () => {
    let lose!: (info: object) => void;
    const lost = new Promise<object>((resolve) => {
      lose = resolve;
    });
    const device = wrapped(await nullDevice(), {
      lost,
      createComputePipelineAsync() {
        setTimeout(lose, 20, { reason: "unknown", message: "it was reset" });
        return Promise.reject(Object.assign(new Error("the device is lost"), { reason: "internal" }));
      },
    });
    const session = await webgpu({ device }).createSession();
    const bench = createBench(1);
    const program = bench.program([kernel({ kind: "fill", value: 1, out: bench.matrix("a", 1, 1) })]);
    expect((await errorOf(session.compile(program))).message).toBe(
      "the graphics device was lost (unknown: it was reset): make a new trainer and restore its last checkpoint",
    );
    session.dispose();
  });
});

it("workgroups are no longer than the device lets a row of invocations be, whatever it lets them hold", async () => {
  const device = await nullDevice();
  const limits = new Proxy(device.limits, {
    get: (target, name) =>
      name === "maxComputeInvocationsPerWorkgroup" ? 1024 : target[name as keyof GPUSupportedLimits],
  });
  const session = await webgpu({ device: wrapped(device, { limits }) }).createSession();
  const { plan } = await session.compile(programOf(layerCase(lstm(256), { rows: 64, steps: 2 })));
  expect(wholeLoops(plan).length).toBe(2);
  session.dispose();
});
