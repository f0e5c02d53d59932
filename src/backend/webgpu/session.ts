/**
 * A session: four buffers on a device (variables, temporaries, whole numbers, numbers in 16 bits) and the programs compiled for
 * them. What is asked for goes to the device's queue in the order of the calls: a run is one submission, and nothing waits for it but a read.
 */
import { UserError } from "../../errors.js";
import { initialOf } from "../../graph/variable.js";
import { lower, type ProgramOptions } from "../../program/lower.js";
import { halfActivations } from "../../program/passes/half-activations.js";
import type { Program, Variable } from "../../program/program.js";
import { throughput } from "../../program/throughput.js";
import { heaviest } from "../../program/work.js";
import type { Backend, Executable, HostArray, ProfileEntry, RunResult, Session } from "../contract.js";
import { createTimes } from "../times.js";
import { attempt, checked } from "./attempt.js";
import { BYTES } from "./constants.js";
import type { Device, Run } from "./device.js";
import type { Plan } from "./dispatch.js";
import { createExecution, type Execution } from "./execution.js";
import { aligned, createPool, makeRoom, type Pool } from "./memory.js";
import { planProgram } from "./plan.js";
import { createReadback } from "./readback.js";
import { createStopwatch, type Stopwatch } from "./stopwatch.js";
import { bindingOf, type Place, type Space } from "./wgsl/source.js";

export interface WebGpuExecutable extends Executable {
  /** The dispatches that carry it out. */
  readonly plan: Plan;
  /** Dispatches of one run. */
  readonly dispatches: number;
}

export interface WebGpuSession extends Session {
  /** What computes, for people: "NVIDIA H100". */
  readonly adapter: string;
  /** Time by kernel, longest first, of the runs whose numbers have been read; empty unless the backend was made with `profile`. */
  profile(): ProfileEntry[];
  compile(source: Program | ProgramOptions): Promise<WebGpuExecutable>;
}

export interface SessionOptions {
  readonly profile?: boolean;
  readonly stepwise?: boolean;
  readonly halfWeights?: boolean;
  readonly halfActivations?: boolean;
}

const sizeOf = (variable: Variable): number => variable.shape.reduce((product, length) => product * length, 1);

const halvesOf = ({ plan }: Program): number => plan.halves ?? 0;
/** Elements of a pool that so many numbers of 16 bits take. */
const words = (halves: number): number => Math.ceil(halves / 2);

const disposal = (): UserError => new UserError("this session is disposed: create a new one");

export function createWebGpuSession(
  backend: Backend,
  device: Device,
  release: () => void,
  {
    profile: profiled = false,
    stepwise = false,
    halfWeights = false,
    halfActivations: asHalves = false,
  }: SessionOptions = {},
): WebGpuSession {
  const { gpu } = device;
  let failure: Error | undefined;
  /** Answers of the device to what is taken for granted meanwhile. */
  const awaited = new Set<Promise<void>>();
  const watch = (answer: Promise<Error | undefined>): void => {
    const heard = answer.then(
      (error) => {
        failure ??= error;
        awaited.delete(heard);
      },
      // The device has failed, and says so to whoever asks.
      () => void awaited.delete(heard),
    );
    awaited.add(heard);
  };
  const pools: Record<Space, Pool> = {
    variables: createPool(device, "variables", true, watch),
    temporaries: createPool(device, "temporaries", false, watch),
    indices: createPool(device, "whole numbers", true, watch),
    halves: createPool(device, "numbers in 16 bits", false, watch),
  };
  const places = new Map<Variable, Place>();
  const executions = new Set<Execution>();
  const stopwatches = new Set<Stopwatch>();
  const times = createTimes();
  const readback = createReadback(device);
  const totals = { variables: 0, temporaries: 0 };
  let disposed = false;
  /** The last to run, and in which buffer its temporaries are. */
  let latest: { readonly executable: Executable; readonly generation: number } | undefined;

  /** Changes with any of the buffers. */
  const generations = (): string =>
    Object.values(pools)
      .map((pool) => pool.generation())
      .join();

  const alive = (): void => {
    if (disposed) throw disposal();
    const reason = failure ?? device.failure();
    if (reason) throw reason;
  };

  const spaceOf = ({ type }: { readonly type: Variable["type"] }): Space =>
    type === "index" ? "indices" : "variables";

  const placeOf = (variable: Variable): Place => {
    const known = places.get(variable);
    if (known) return known;
    const initial = initialOf(variable);
    const space = spaceOf(variable);
    // The buffer that reads under way are from may give way to a larger one.
    readback.flush();
    const place: Place = { space, offset: pools[space].allocate(sizeOf(variable), `the variable "${variable.name}"`) };
    places.set(variable, place);
    totals.variables += sizeOf(variable) * BYTES;
    if (initial) put(place, initial, 0);
    return place;
  };

  function put({ space, offset }: Place, data: ArrayLike<number>, from: number): void {
    const plain =
      data instanceof (space === "indices" ? Int32Array : Float32Array) && data.buffer instanceof ArrayBuffer;
    const numbers = plain ? data : space === "indices" ? Int32Array.from(data) : Float32Array.from(data);
    if (numbers.length === 0) return;
    const copy = (): void =>
      gpu.queue.writeBuffer(pools[space].buffer(), (offset + from) * BYTES, numbers as Float32Array<ArrayBuffer>);
    // Where the buffer is refused, that has been heard of.
    if (awaited.size === 0) copy();
    else watch(attempt(device, copy).then(() => undefined));
  }

  async function get({ space, offset }: Place, elements: number, into?: HostArray): Promise<HostArray> {
    const reading = readback.read(pools[space].buffer(), offset, elements);
    // What failed first is what is to be told.
    await Promise.allSettled([reading, ...awaited]);
    if (failure) throw failure;
    const data = await reading;
    const numbers = space === "indices" ? new Int32Array(data) : new Float32Array(data);
    if (!into) return numbers;
    if (into.length !== elements) throw new Error(`${elements} numbers do not fit into an array of ${into.length}`);
    into.set(numbers);
    return into;
  }

  /** Elements of everything that is new in a program. */
  function roomFor(program: Program): Record<Space, number> {
    const room = {
      variables: 0,
      temporaries: program.plan.size,
      indices: aligned(1),
      halves: words(halvesOf(program)),
    };
    const fresh = new Set<Variable>();
    for (const { id, variable, type, size } of program.buffers) {
      if (!variable) room.indices += type === "index" && program.plan.offsets.has(id) ? aligned(size) : 0;
      else if (!places.has(variable)) fresh.add(variable);
    }
    for (const variable of fresh) room[spaceOf(variable)] += aligned(sizeOf(variable));
    return room;
  }

  /** Where the program's buffers lie; whole numbers that are temporary have places of their own. */
  function locator(program: Program, name: string): Map<number, Place> {
    const placed = new Map<number, Place>();
    for (const { id, variable, type, size, half } of program.buffers) {
      const offset = program.plan.offsets.get(id);
      if (variable) placed.set(id, placeOf(variable));
      else if (offset === undefined) continue;
      else if (type === "index") placed.set(id, { space: "indices", offset: pools.indices.allocate(size, name) });
      else placed.set(id, { space: half ? "halves" : "temporaries", offset });
    }
    return placed;
  }

  /** Before buffers change: reads that are asked for have theirs. */
  const ready = (): void => {
    alive();
    readback.flush();
  };

  async function compile(source: Program | ProgramOptions): Promise<WebGpuExecutable> {
    alive();
    const program =
      "compute" in source
        ? source
        : lower(source, { ...throughput, ...(asHalves ? { inHalves: halfActivations } : {}) });
    const name = `the program "${program.name}"`;
    await makeRoom(device, pools, roomFor(program), name, ready);
    const flag = pools.indices.allocate(1, name);
    const placed = locator(program, name);
    const plan = planProgram({
      program,
      flag,
      locate: (id) => placed.get(id)!,
      scratchOffset: program.plan.size,
      halfWeights,
      stepwise,
      limits: {
        // Workgroups are rows of invocations; a device may have been asked for more of one than of the other.
        invocations: Math.min(gpu.limits.maxComputeInvocationsPerWorkgroup, gpu.limits.maxComputeWorkgroupSizeX),
        workgroupStorage: gpu.limits.maxComputeWorkgroupStorageSize,
      },
    });
    const beside = { temporaries: program.plan.size + plan.scratch, halves: words(halvesOf(program) + plan.halves) };
    await makeRoom(device, pools, beside, name, ready);
    const execution = await createExecution(device, plan, program.name);
    executions.add(execution);

    let group: GPUBindGroup | undefined;
    let generation = "";
    const bound = (): GPUBindGroup => {
      if (group && generations() === generation) return group;
      generation = generations();
      const buffers = device.spaces.map((space) => ({
        binding: bindingOf[space],
        resource: { buffer: pools[space].buffer() },
      }));
      group = gpu.createBindGroup({
        label: program.name,
        layout: device.layout,
        entries: [...buffers, ...execution.uniforms],
      });
      return group;
    };
    try {
      alive();
      const first = await checked(device, name, bound);
      await Promise.all(
        execution.kernels.map(({ label, check }) =>
          checked(device, `the kernel "${label}" of ${name}`, () => check(first)),
        ),
      );
      alive();
    } catch (error) {
      executions.delete(execution);
      execution.destroy();
      throw error;
    }
    totals.temporaries += (program.plan.size + words(halvesOf(program))) * BYTES;

    const stopwatch = profiled ? createStopwatch(device, execution.labels, readback, times) : undefined;
    if (stopwatch) stopwatches.add(stopwatch);
    const run: Run = { program: program.name, dispatches: execution.dispatches, heaviest: heaviest(program) };
    const refusalOf = (invalid: string | undefined): Error | undefined =>
      invalid === undefined ? undefined : new Error(`a run of ${name} is refused by WebGPU: ${invalid}`);
    let last: RunResult = "done";
    let answer: Promise<RunResult> | undefined;
    const flagged = async (): Promise<RunResult> => {
      const [refused] = await get({ space: "indices", offset: flag }, 1);
      return refused ? "refused" : "done";
    };
    const executable: WebGpuExecutable = {
      program,
      plan,
      dispatches: execution.dispatches,
      threads: 1,
      run() {
        alive();
        readback.flush();
        device.begins(run);
        const submit = (): void => gpu.queue.submit([execution.encode(bound(), stopwatch)]);
        if (generation === generations()) submit();
        else watch(attempt(device, submit).then(({ invalid }) => refusalOf(invalid)));
        stopwatch?.read();
        latest = { executable, generation: pools.temporaries.generation() };
        answer = undefined;
        return last;
      },
      async settled() {
        alive();
        if (!plan.guard) return last;
        answer ??= flagged();
        last = await answer;
        return last;
      },
      async peek(id) {
        alive();
        const buffer = program.buffers.find((other) => other.id === id);
        if (!buffer) throw new Error(`${name} has no buffer ${id}`);
        if (buffer.half)
          throw new Error(`${name} keeps ${buffer.name} in 16 bits: compile it with "keep" to look at it`);
        const place = placed.get(id)!;
        if (!buffer.variable && latest?.executable !== executable)
          throw new Error(`${name} was not the last to run: its temporaries are overwritten`);
        if (place.space === "temporaries" && latest?.generation !== pools.temporaries.generation())
          throw new Error(`${name} ran before another was compiled: its temporaries are gone`);
        return get(place, buffer.size);
      },
    };
    return executable;
  }

  // Safari 26.0 and Chrome before 132 have none.
  const { description, vendor, architecture }: Partial<GPUAdapterInfo> = gpu.adapterInfo ?? {};
  return {
    backend,
    adapter: description || [vendor, architecture].filter(Boolean).join(" ") || "an unnamed device",
    profile: times.profile,
    compile,
    write(variable, data, offset = 0) {
      alive();
      const size = sizeOf(variable);
      if (offset < 0 || offset + data.length > size)
        throw new Error(`"${variable.name}" holds ${size} numbers: ${data.length} from number ${offset} on do not fit`);
      readback.flush();
      put(placeOf(variable), data, offset);
    },
    async read(variable, into) {
      alive();
      return get(placeOf(variable), sizeOf(variable), into);
    },
    memory() {
      alive();
      const held = Object.values(pools).reduce((sum, pool) => sum + pool.bytes(), readback.bytes());
      return { ...totals, total: [...executions].reduce((sum, { bytes }) => sum + bytes, held) };
    },
    dispose() {
      if (disposed) return;
      disposed = true;
      readback.flush();
      for (const pool of Object.values(pools)) pool.destroy();
      for (const made of [...executions, ...stopwatches]) made.destroy();
      readback.destroy(disposal());
      places.clear();
      release();
    },
  };
}
