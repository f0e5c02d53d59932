/** A device and what goes with it: its pipelines, and whether it has failed. Sessions share it. */
import { UserError } from "../../errors.js";
import { type AdapterOptions, checkFeatures, requestDevice } from "./adapter.js";
import { COMPUTE_STAGE } from "./constants.js";
import type { Dispatch } from "./dispatch.js";
import { bindingOf, type Space, spaces } from "./wgsl/source.js";

export interface Device {
  readonly gpu: GPUDevice;
  readonly layout: GPUBindGroupLayout;
  /** The kinds of numbers that it has buffers for. */
  readonly spaces: readonly Space[];
  /** Why it cannot be used any more. */
  failure(): Error | undefined;
  /** Marks it as failed, for the first reason given. */
  fail(reason: Error): void;
  /** Notes a program that is handed over to run, for the error if the device is lost. */
  begins(program: string): void;
  /** Why an operation ended early: the device's failure, for which it waits a little, else the error itself. */
  explain(error: unknown): Promise<Error>;
  /** A pipeline for each text, made at once where they are new. `program`: for errors. */
  pipelines(dispatches: readonly Dispatch[], program: string): Promise<ReadonlyMap<string, GPUComputePipeline>>;
}

const devices = new WeakMap<GPUDevice, Device>();

/** `owned`: nobody else uses it, so that every error is ours. */
function deviceOf(gpu: GPUDevice, owned: boolean): Device {
  const known = devices.get(gpu);
  if (known) return known;
  const made = createDevice(gpu, owned);
  devices.set(gpu, made);
  return made;
}

function createDevice(gpu: GPUDevice, owned: boolean): Device {
  let failure: Error | undefined;
  let latest = "";
  const fail = (reason: Error): void => {
    failure ??= reason;
  };
  const lost = gpu.lost.then(({ reason, message }) =>
    fail(
      new UserError(
        `the graphics device was lost${latest && ` at the program "${latest}"`} (${[reason, message.split("\n")[0]].filter(Boolean).join(": ")}): make a new trainer and restore its last checkpoint`,
      ),
    ),
  );
  if (owned)
    gpu.addEventListener("uncapturederror", ({ error }) => fail(new Error(`WebGPU has failed: ${error.message}`)));
  const known = spaces.filter((space) => space !== "halves" || gpu.features.has("shader-f16"));
  const layout = gpu.createBindGroupLayout({
    label: "throughtime",
    entries: [
      ...known.map((space) => ({
        binding: bindingOf[space],
        visibility: COMPUTE_STAGE,
        buffer: { type: "storage" as const },
      })),
      ...[3, 4].map((binding) => ({
        binding,
        visibility: COMPUTE_STAGE,
        buffer: { type: "uniform" as const, hasDynamicOffset: true },
      })),
    ],
  });
  const pipelineLayout = gpu.createPipelineLayout({ bindGroupLayouts: [layout] });
  const made = new Map<string, Promise<GPUComputePipeline>>();

  const make = async ({ label, code }: Dispatch, program: string): Promise<GPUComputePipeline> => {
    // What is wrong with it comes with the pipeline's error.
    gpu.pushErrorScope("validation");
    const module = gpu.createShaderModule({ label, code });
    gpu.popErrorScope().catch(() => undefined);
    try {
      return await gpu.createComputePipelineAsync({ label, layout: pipelineLayout, compute: { module } });
    } catch (error) {
      if (failure) throw failure;
      const { messages } = await module.getCompilationInfo();
      const found = messages.find(({ type }) => type === "error");
      const where = found ? `line ${found.lineNum}: ${found.message}` : (error as Error).message;
      throw new Error(`the kernel "${label}" of the program "${program}" does not compile: ${where}`);
    }
  };

  return {
    gpu,
    layout,
    spaces: known,
    failure: () => failure,
    fail,
    begins(program) {
      latest = program;
    },
    async explain(error) {
      await Promise.race([lost, new Promise((resolve) => setTimeout(resolve, failure ? 0 : 100))]);
      return failure ?? (error as Error);
    },
    async pipelines(dispatches, program) {
      const wanted = new Map(dispatches.map((dispatch) => [dispatch.code, dispatch]));
      const found = [...wanted].map(async ([code, dispatch]) => {
        let pipeline = made.get(code);
        if (!pipeline) {
          pipeline = make(dispatch, program);
          made.set(code, pipeline);
          pipeline.catch(() => made.delete(code));
        }
        return [code, await pipeline] as const;
      });
      return new Map(await Promise.all(found));
    },
  };
}

/** Lends a device to sessions. */
export interface Lender {
  borrow(): Promise<{ readonly device: Device; release(): void }>;
}

/** Lends the user's device, or one of our own, which ends with the last session that has it. */
export function createLender(options: AdapterOptions & { readonly device?: GPUDevice }): Lender {
  let current: Promise<Device> | undefined;
  let borrowers = 0;
  let lostOne = false;
  return {
    async borrow() {
      if (options.device) {
        checkFeatures(options.features ?? [], options.device.features);
        const device = deviceOf(options.device, false);
        const failure = device.failure();
        if (failure) throw failure;
        return { device, release: () => undefined };
      }
      if (current && (await current).failure()) {
        lostOne = true;
        current = undefined;
        borrowers = 0;
      }
      current ??= requestDevice(options, lostOne).then((gpu) => deviceOf(gpu, true));
      const mine = current;
      borrowers++;
      try {
        const device = await mine;
        return {
          device,
          release() {
            if (current !== mine || --borrowers > 0) return;
            current = undefined;
            lostOne ||= device.failure() !== undefined;
            device.gpu.destroy();
          },
        };
      } catch (error) {
        if (current === mine) [current, borrowers] = [undefined, 0];
        throw error;
      }
    },
  };
}
