/** A plan made ready to run: pipelines, parameters in one buffer, and the order of dispatches. Encoding it again allocates next to nothing. */
import { checked } from "./attempt.js";
import { BufferUsage, BYTES } from "./constants.js";
import type { Device } from "./device.js";
import type { Dispatch, Plan, Planned } from "./dispatch.js";
import type { Stopwatch } from "./stopwatch.js";

export interface Execution {
  readonly bytes: number;
  /** Dispatches of one run. */
  readonly dispatches: number;
  /** The label of each dispatch of a run. */
  readonly labels: readonly string[];
  /** Puts a run into one submission. `group`: the bind group of the session's buffers. */
  encode(group: GPUBindGroup, stopwatch?: Stopwatch): GPUCommandBuffer;
  /** Each kernel by its label, and how to put it into a command buffer that is not to run, for the device to check. */
  readonly kernels: readonly { readonly label: string; check(group: GPUBindGroup): void }[];
  /** What a bind group holds beside the session's buffers. */
  readonly uniforms: readonly GPUBindGroupEntry[];
  destroy(): void;
}

interface Step {
  readonly dispatch: Dispatch;
  readonly pipeline: GPUComputePipeline;
  readonly t: number;
}

const dispatchesIn = (planned: Planned): readonly Dispatch[] => ("loop" in planned ? planned.body : [planned]);

/** Every dispatch of a plan, each once. */
export const dispatchesOf = ({ compute, guard, commit }: Plan): readonly Dispatch[] => [
  ...compute.flatMap(dispatchesIn),
  ...(guard ? [guard] : []),
  ...commit.flatMap(dispatchesIn),
];

export async function createExecution(device: Device, plan: Plan, name: string): Promise<Execution> {
  const { gpu } = device;
  const dispatches = dispatchesOf(plan);
  const pipelines = await device.pipelines(dispatches, name);
  const alignment = gpu.limits.minUniformBufferOffsetAlignment;
  const blocks = new Map<Dispatch, number>();
  const all: readonly Planned[] = [...plan.compute, ...(plan.guard ? [plan.guard] : []), ...plan.commit];
  const steps = all.reduce((most, planned) => Math.max(most, "loop" in planned ? planned.steps : 1), 1);

  // First the loop's indices, then each dispatch's parameters; a binding reaches as far as the longest of them does.
  let end = steps * alignment;
  for (const dispatch of dispatches) {
    blocks.set(dispatch, end);
    end += Math.ceil((dispatch.parameters.length * BYTES) / alignment) * alignment;
  }
  const quads = dispatches.reduce((most, { parameters }) => Math.max(most, Math.ceil(parameters.length / 4)), 1);
  const reach = quads * 4 * BYTES;
  const size = end + reach;
  const words = new Uint32Array(size / BYTES);
  for (let t = 0; t < steps; t++) words[(t * alignment) / BYTES] = t;
  for (const [dispatch, at] of blocks) words.set(dispatch.parameters, at / BYTES);
  const uniforms = await checked(device, `the program "${name}"`, () =>
    gpu.createBuffer({
      label: `parameters of ${name}`,
      size,
      usage: BufferUsage.uniform | BufferUsage.copyTarget,
    }),
  );
  gpu.queue.writeBuffer(uniforms, 0, words);

  const listed = all.flatMap((planned): Step[] => {
    const step = (dispatch: Dispatch, t: number): Step => ({ dispatch, t, pipeline: pipelines.get(dispatch.code)! });
    if (!("loop" in planned)) return [step(planned, 0)];
    return Array.from({ length: planned.steps }, (_, i) => (planned.reverse ? planned.steps - 1 - i : i)).flatMap((t) =>
      planned.body.map((dispatch) => step(dispatch, t)),
    );
  });
  const offsets = Uint32Array.from(listed.flatMap(({ dispatch, t }) => [blocks.get(dispatch)!, t * alignment]));

  function encode(group: GPUBindGroup, stopwatch?: Stopwatch): GPUCommandBuffer {
    const encoder = gpu.createCommandEncoder({ label: name });
    const begin = (i: number): GPUComputePassEncoder =>
      encoder.beginComputePass({ label: name, ...(stopwatch ? { timestampWrites: stopwatch.writes(i) } : {}) });
    let pass = begin(0);
    let latest: GPUComputePipeline | undefined;
    listed.forEach(({ dispatch, pipeline }, i) => {
      if (stopwatch && i > 0) {
        pass.end();
        pass = begin(i);
        latest = undefined;
      }
      if (pipeline !== latest) pass.setPipeline(pipeline);
      latest = pipeline;
      pass.setBindGroup(0, group, offsets, 2 * i, 2);
      pass.dispatchWorkgroups(...dispatch.workgroups);
    });
    pass.end();
    stopwatch?.collect(encoder);
    return encoder.finish();
  }

  return {
    bytes: size,
    dispatches: listed.length,
    labels: listed.map(({ dispatch }) => dispatch.label),
    encode,
    kernels: dispatches.map((dispatch) => ({
      label: dispatch.label,
      check(group) {
        const encoder = gpu.createCommandEncoder({ label: dispatch.label });
        const pass = encoder.beginComputePass({ label: dispatch.label });
        pass.setPipeline(pipelines.get(dispatch.code)!);
        pass.setBindGroup(0, group, [blocks.get(dispatch)!, 0]);
        pass.dispatchWorkgroups(...dispatch.workgroups);
        pass.end();
        encoder.finish();
      },
    })),
    uniforms: [
      { binding: 3, resource: { buffer: uniforms, size: reach } },
      { binding: 4, resource: { buffer: uniforms, size: 16 } },
    ],
    destroy: () => uniforms.destroy(),
  };
}
