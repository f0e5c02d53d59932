/** Numbers back from the device: what is asked for in one turn is copied together and comes in one answer. */
import { UserError } from "../../errors.js";
import { attempt } from "./attempt.js";
import { BufferUsage, BYTES, MAP_READ, mebibytes } from "./constants.js";
import type { Device } from "./device.js";

export interface Readback {
  /** Copies of so many elements from a place on, as they are now. */
  read(buffer: GPUBuffer, place: number, elements: number): Promise<ArrayBuffer>;
  /** Begins the copies that are asked for: to be called before anything else goes to the device. */
  flush(): void;
  bytes(): number;
  /** What is still waited for ends with this error. */
  destroy(reason: Error): void;
}

interface Request {
  readonly buffer: GPUBuffer;
  readonly place: number;
  readonly elements: number;
  resolve(data: ArrayBuffer): void;
  reject(reason: unknown): void;
}

/** A copy under way. */
interface Begun {
  readonly target: GPUBuffer;
  readonly mapped: Promise<undefined>;
}

/** Bytes of staging buffers that are kept; their sizes are powers of two. */
const KEPT_BYTES = 2 ** 26;
const LEAST_BYTES = 256;
/** Larger ones are as large as what is read, and not kept. */
const LARGE_BYTES = 2 ** 24;

const bytesOf = (buffers: readonly GPUBuffer[]): number => buffers.reduce((sum, { size }) => sum + size, 0);

export function createReadback(device: Device): Readback {
  const { gpu } = device;
  let wanted: Request[] = [];
  let ended: Error | undefined;
  const free: GPUBuffer[] = [];
  const all = new Set<GPUBuffer>();

  const sizeFor = (bytes: number): number =>
    bytes > LARGE_BYTES ? bytes : 2 ** Math.ceil(Math.log2(Math.max(bytes, LEAST_BYTES)));

  function staging(size: number): GPUBuffer {
    const at = free.findIndex((buffer) => buffer.size === size);
    if (at >= 0) return free.splice(at, 1)[0]!;
    const usage = BufferUsage.mapRead | BufferUsage.copyTarget;
    const made = gpu.createBuffer({ label: "numbers to be read", size, usage });
    all.add(made);
    return made;
  }

  function giveBack(buffer: GPUBuffer): void {
    if (!all.has(buffer)) return;
    if (buffer.size > LARGE_BYTES) giveUp(buffer);
    else free.push(buffer);
    while (bytesOf(free) > KEPT_BYTES) giveUp(free.shift()!);
  }

  function giveUp(buffer: GPUBuffer): void {
    all.delete(buffer);
    buffer.destroy();
  }

  function flush(): void {
    if (wanted.length === 0) return;
    const requests = wanted;
    wanted = [];
    for (const some of together(requests)) copy(some);
  }

  /** As many as a buffer holds, each time. */
  function together(requests: readonly Request[]): Request[][] {
    const groups: Request[][] = [];
    let left = 0;
    for (const request of requests) {
      const bytes = request.elements * BYTES;
      if (bytes > left || groups.length === 0) {
        groups.push([]);
        left = gpu.limits.maxBufferSize;
      }
      groups.at(-1)!.push(request);
      left -= bytes;
    }
    return groups;
  }

  function copy(requests: readonly Request[]): void {
    const runs = device.runs();
    const bytes = requests.reduce((sum, { elements }) => sum + elements * BYTES, 0);
    const isKept = free.some(({ size }) => size === sizeFor(bytes));
    // What is made may be refused, and with it all that is done with it.
    const begun = isKept ? begin(requests, bytes) : beginNew(requests, bytes);
    answer(requests, begun, bytes).then(
      () => device.isDone(runs),
      async (error) => {
        const reason = ended ?? (await device.explain(error));
        for (const { reject } of requests) reject(reason);
      },
    );
  }

  /** Has the numbers copied; the buffer is there for us when they are. */
  function begin(requests: readonly Request[], bytes: number): Begun {
    const target = staging(sizeFor(bytes));
    const encoder = gpu.createCommandEncoder({ label: "reading" });
    let at = 0;
    for (const { buffer, place, elements } of requests) {
      encoder.copyBufferToBuffer(buffer, place * BYTES, target, at, elements * BYTES);
      at += elements * BYTES;
    }
    gpu.queue.submit([encoder.finish()]);
    return { target, mapped: target.mapAsync(MAP_READ, 0, bytes) };
  }

  function beginNew(requests: readonly Request[], bytes: number): Begun {
    let begun: Begun;
    const heard = attempt(device, () => {
      begun = begin(requests, bytes);
    });
    const { target, mapped } = begun!;
    mapped.catch(() => undefined);
    const granted = heard.then(({ outOfMemory }) => {
      if (outOfMemory === undefined) return mapped;
      giveUp(target);
      throw new UserError(`the graphics device has no ${mebibytes(sizeFor(bytes))} left to read numbers from it`);
    });
    return { target, mapped: granted };
  }

  async function answer(requests: readonly Request[], { target, mapped: whole }: Begun, bytes: number): Promise<void> {
    await whole;
    const mapped = target.getMappedRange(0, bytes);
    let at = 0;
    const pieces = requests.map(({ elements }) => {
      const piece = mapped.slice(at, at + elements * BYTES);
      at += elements * BYTES;
      return piece;
    });
    target.unmap();
    giveBack(target);
    requests.forEach(({ resolve }, i) => {
      resolve(pieces[i]!);
    });
  }

  return {
    flush,
    read(buffer, place, elements) {
      if (wanted.length === 0) queueMicrotask(flush);
      return new Promise((resolve, reject) => {
        wanted.push({ buffer, place, elements, resolve, reject });
      });
    },
    bytes: () => bytesOf([...all]),
    destroy(reason) {
      ended = reason;
      for (const buffer of all) buffer.destroy();
      all.clear();
      free.length = 0;
    },
  };
}
