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
  /** Notes a run that is handed over, for the error if the device is lost. */
  begins(run: Run): void;
  /** Notes that the device is done with all that it had been handed; `runs`: how many had begun by then. */
  isDone(runs: number): void;
  /** Runs handed over so far. */
  runs(): number;
  /** Why an operation ended early: the device's failure, for which it waits a little, else the error itself. */
  explain(error: unknown): Promise<Error>;
  /** A pipeline for each text, made at once where they are new. `program`: for errors. */
  pipelines(dispatches: readonly Dispatch[], program: string): Promise<ReadonlyMap<string, GPUComputePipeline>>;
}

/** What an error can say of a run. */
export interface Run {
  /** The program's name. */
  readonly program: string;
  readonly dispatches: number;
  /** The one with the most arithmetic, where there is one: "rnn.l0". */
  readonly heaviest: string | undefined;
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
  let latest: Run | undefined;
  let [begun, done] = [0, 0];
  const fail = (reason: Error): void => {
    failure ??= reason;
  };
  const lost = gpu.lost.then((info) => fail(lossOf(info, done < begun ? latest : undefined)));
  if (owned)
    gpu.addEventListener("uncapturederror", ({ error }) => {
      const where = latest ? `, the latest run being of the program "${latest.program}"` : "";
      fail(new Error(`WebGPU has failed${where}: ${error.message}`));
    });
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

  const explain = async (error: unknown): Promise<Error> => {
    await Promise.race([lost, new Promise((resolve) => setTimeout(resolve, failure ? 0 : 100))]);
    return failure ?? (error as Error);
  };

  const make = async ({ label, code }: Dispatch, program: string): Promise<GPUComputePipeline> => {
    // What is wrong with it comes with the pipeline's error.
    gpu.pushErrorScope("validation");
    const module = gpu.createShaderModule({ label, code });
    gpu.popErrorScope().catch(() => undefined);
    try {
      return await gpu.createComputePipelineAsync({ label, layout: pipelineLayout, compute: { module } });
    } catch (error) {
      // Where the device is lost, that may be heard of after this.
      const reason = await explain(error);
      if (reason !== error) throw reason;
      if ((error as GPUPipelineError).reason === "internal")
        throw new UserError(
          `the graphics driver cannot compile the kernel "${label}" of the program "${program}": ${firstLine(error as Error)}`,
        );
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
    begins(run) {
      latest = run;
      begun++;
    },
    isDone(runs) {
      done = Math.max(done, runs);
    },
    runs: () => begun,
    explain,
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

const firstLine = ({ message }: { readonly message: string }): string => message.split("\n")[0]!;

/** `run`: the latest handed over, where the device was not known to be done with it. */
function lossOf(info: GPUDeviceLostInfo, run: Run | undefined): UserError {
  const parts = [[info.reason, firstLine(info)].filter(Boolean).join(": ")];
  // Whoever destroys a device knows why; a driver says nothing but that it is gone.
  if (run && info.reason !== "destroyed")
    parts.push(
      `which of the program's ${run.dispatches} dispatches was running the driver does not say${run.heaviest === undefined ? "" : `, the most arithmetic is in "${run.heaviest}"`}`,
    );
  return new UserError(
    `the graphics device was lost${run ? ` at the program "${run.program}"` : ""} (${parts.join("; ")}): make a new trainer and restore its last checkpoint`,
  );
}

/** Lends a device to sessions. */
export interface Lender {
  borrow(): Promise<{ readonly device: Device; release(): void }>;
}

/** Lends the user's device, or one of our own, which ends with the last session that has it. */
export function createLender(options: AdapterOptions & { readonly device?: GPUDevice }): Lender {
  let current: { readonly device: Promise<Device>; borrowers: number } | undefined;
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
      const known = current;
      // Of several who wait here, the first makes another.
      if (known && (await known.device).failure() && current === known) {
        lostOne = true;
        current = undefined;
      }
      current ??= { device: requestDevice(options, lostOne).then((gpu) => deviceOf(gpu, true)), borrowers: 0 };
      const mine = current;
      mine.borrowers++;
      try {
        const device = await mine.device;
        return {
          device,
          release() {
            if (--mine.borrowers > 0) return;
            if (current === mine) current = undefined;
            lostOne ||= device.failure() !== undefined;
            device.gpu.destroy();
          },
        };
      } catch (error) {
        if (current === mine) current = undefined;
        throw error;
      }
    },
  };
}
