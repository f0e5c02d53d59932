/** The graphics processor that WebGPU chooses: what it is, and what it can do at most. */
import { findGpu, requestDevice } from "../../src/backend/webgpu/adapter.js";
import { BufferUsage } from "../../src/backend/webgpu/constants.js";

export interface Graphics {
  /** What computes, for people. */
  readonly name: string;
  readonly info: Info;
  /** Whether a processor only plays one. */
  readonly isSoftware: boolean;
  /** Whether it tells the time of a kernel. */
  readonly hasTimestamps: boolean;
  /** GFLOP/s of a loop of multiply-adds on registers, in these milliseconds. */
  peak(): Promise<number>;
  dispose(): void;
}

/** What a device says of itself; on some systems `device` is the card and `description` its driver. */
export type Info = Pick<GPUAdapterInfo, "vendor" | "architecture" | "device" | "description" | "isFallbackAdapter">;

const nameOf = ({ description, device, vendor, architecture }: Info): string =>
  [...new Set([device, description].filter(Boolean))].join(", ") ||
  [vendor, architecture].filter(Boolean).join(" ") ||
  "an unnamed device";

export const isSoftware = (info: Info): boolean =>
  info.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|software|basic render/i.test(nameOf(info));

/** @throws UserError where there is no WebGPU */
export async function openGraphics(): Promise<Graphics> {
  const adapter = await (await findGpu()).requestAdapter();
  const device = await requestDevice({}, false);
  const info = device.adapterInfo;
  let measure: (() => Promise<number>) | undefined;
  return {
    name: nameOf(info),
    info,
    isSoftware: isSoftware(info),
    hasTimestamps: adapter?.features.has("timestamp-query") ?? false,
    async peak() {
      measure ??= await createPeak(device);
      return measure();
    },
    dispose: () => device.destroy(),
  };
}

const INVOCATIONS = 64;
/** Independent sums of four numbers each: enough to hide a multiply-add's cycles, few enough for the registers. */
const SUMS = 8;
const OPERATIONS = SUMS * 4 * 2;
/** Two ways to write a multiply-add, of which a driver may like one better. */
const forms = [(sum: string) => `fma(${sum}, x, y)`, (sum: string) => `${sum} * x + y`];
/** Milliseconds of a measurement: what is around it is then less than a hundredth. */
const LONG = 20;
const MOST_WORKGROUPS = 4096;

/** The loop's length comes from outside, and what it multiplies by, so that nothing of it is computed beforehand. */
const shader = (form: (sum: string) => string): string => {
  const sums = Array.from({ length: SUMS }, (_, i) => `s${i}`);
  return `@group(0) @binding(0) var<storage, read_write> data: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> turns: array<u32>;
@compute @workgroup_size(${INVOCATIONS})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let x = data[0];
  let y = data[1];
${sums.map((sum, i) => `  var ${sum} = vec4f(f32(id.x + ${i}u));`).join("\n")}
  for (var t = 0u; t < turns[0]; t++) {
${sums.map((sum) => `    ${sum} = ${form(sum)};`).join("\n")}
  }
  // It is never so, which the compiler does not know.
  if (turns[1] == 1u) { data[2] = ${sums.join(" + ")}; }
}`;
};

async function createPeak(device: GPUDevice): Promise<() => Promise<number>> {
  const usage = BufferUsage.storage | BufferUsage.copyTarget;
  const [data, turns] = [device.createBuffer({ size: 48, usage }), device.createBuffer({ size: 8, usage })];
  device.queue.writeBuffer(data, 0, Float32Array.from([0.999, 0.999, 0.999, 0.999, 0.001, 0.001, 0.001, 0.001]));
  const kernels = await Promise.all(
    forms.map(async (form) => {
      const module = device.createShaderModule({ code: shader(form) });
      const pipeline = await device.createComputePipelineAsync({ layout: "auto", compute: { module } });
      const entries = [data, turns].map((buffer, binding) => ({ binding, resource: { buffer } }));
      return { pipeline, group: device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }) };
    }),
  );
  const once = async ({ pipeline, group }: (typeof kernels)[number], workgroups: number, length: number) => {
    device.queue.writeBuffer(turns, 0, Uint32Array.of(length, 0));
    await device.queue.onSubmittedWorkDone();
    const began = performance.now();
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(workgroups);
    pass.end();
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    return performance.now() - began;
  };
  // First as many workgroups as keep any card busy, then a longer loop.
  let [workgroups, length] = [16, 256];
  while ((await once(kernels[0]!, workgroups, length)) < LONG)
    if (workgroups < MOST_WORKGROUPS) workgroups *= 2;
    else length *= 2;
  const work = workgroups * INVOCATIONS * length * OPERATIONS;
  return async () => {
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 3; i++)
      for (const kernel of kernels) best = Math.min(best, await once(kernel, workgroups, length));
    return work / best / 1e6;
  };
}
