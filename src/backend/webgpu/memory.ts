/** Buffers of a session that grow: what lies in them keeps its place. */
import { UserError } from "../../errors.js";
import { attempt } from "./attempt.js";
import { BufferUsage, BYTES, mebibytes } from "./constants.js";
import type { Device } from "./device.js";
import type { Space } from "./wgsl/source.js";

export interface Pool {
  readonly label: string;
  buffer(): GPUBuffer;
  bytes(): number;
  /** Changes with the buffer. */
  generation(): number;
  /** Bytes in use with so many new elements. `what`: for the error where they are out of reach. @throws UserError */
  needed(elements: number, what: string): number;
  /** The place of so many new elements; makes room at once where there is none yet. @throws UserError */
  allocate(elements: number, what: string): number;
  /** A buffer of so many bytes or more, not in use yet. */
  make(bytes: number): GPUBuffer;
  /** Puts a larger buffer in use; one that is no larger is given up. */
  take(buffer: GPUBuffer): void;
  destroy(): void;
}

/** Elements: places are multiples of it. */
const ALIGNMENT = 16;
const LEAST_BYTES = 4096;
export const aligned = (elements: number): number => Math.ceil(elements / ALIGNMENT) * ALIGNMENT;

/** The most bytes of one buffer that a kernel can reach. */
export const mostBytes = ({ gpu }: Device): number =>
  Math.min(gpu.limits.maxStorageBufferBindingSize, gpu.limits.maxBufferSize, 2 ** 32 * BYTES);

/**
 * `keeps`: what it holds is copied when it grows. `watch` is given the device's answer to what is made at once: the error, where it
 * has no memory left.
 */
export function createPool(
  device: Device,
  label: string,
  keeps: boolean,
  watch: (answer: Promise<Error | undefined>) => void,
): Pool {
  const { gpu } = device;
  let used = 0;
  let generation = 0;
  let buffer!: GPUBuffer;
  makeNow(LEAST_BYTES, (made) => {
    buffer = made;
  });

  function make(size: number): GPUBuffer {
    const usage = BufferUsage.storage | BufferUsage.copySource | BufferUsage.copyTarget;
    return gpu.createBuffer({ label, size, usage });
  }

  /** Calls `use` with a buffer that may turn out to be refused. */
  function makeNow(size: number, use: (made: GPUBuffer) => void): void {
    const answer = attempt(device, () => use(make(size)));
    watch(
      answer.then(({ outOfMemory }) =>
        outOfMemory === undefined
          ? undefined
          : new UserError(`the graphics device has no ${mebibytes(size)} left for ${label}`),
      ),
    );
  }

  /** Twice as much as before for small ones, which come one by one. */
  function sizeFor(bytes: number): number {
    const most = mostBytes(device);
    const size = Math.min(most, Math.max(bytes, Math.min(2 * buffer.size, 2 ** 24)));
    return Math.ceil(size / 256) * 256 > most ? bytes : Math.ceil(size / 256) * 256;
  }

  function needed(elements: number, what: string): number {
    const bytes = (used + elements) * BYTES;
    const most = mostBytes(device);
    if (bytes > most)
      throw new UserError(
        `${what} needs ${mebibytes(bytes)} for ${label}, but this graphics device reaches ${mebibytes(most)} at once`,
      );
    return bytes;
  }

  function take(made: GPUBuffer): void {
    if (made.size <= buffer.size) {
      made.destroy();
      return;
    }
    const old = buffer;
    buffer = made;
    generation++;
    if (keeps && used > 0) {
      const encoder = gpu.createCommandEncoder({ label: `${label} grow` });
      encoder.copyBufferToBuffer(old, 0, buffer, 0, used * BYTES);
      gpu.queue.submit([encoder.finish()]);
    }
    old.destroy();
  }

  return {
    label,
    buffer: () => buffer,
    bytes: () => buffer.size,
    generation: () => generation,
    needed,
    allocate(elements, what) {
      const bytes = needed(aligned(elements), what);
      if (bytes > buffer.size) makeNow(sizeFor(bytes), take);
      const place = used;
      used += aligned(elements);
      return place;
    },
    make: (bytes) => make(sizeFor(bytes)),
    take,
    destroy: () => buffer.destroy(),
  };
}

/**
 * Room for so many new elements of each kind, before anything else is changed: where the device refuses any of it, all stays as it
 * was. `name`: of what needs it. `before`: called when the buffers are there, ahead of the old ones' end; may throw.
 * @throws UserError that says what is needed and what is refused
 */
export async function makeRoom(
  device: Device,
  pools: Readonly<Record<Space, Pool>>,
  room: Partial<Record<Space, number>>,
  name: string,
  before: () => void,
): Promise<void> {
  const wants = Object.entries(pools).map(([space, pool]) => ({
    pool,
    bytes: pool.needed(room[space as Space] ?? 0, name),
  }));
  const short = wants.filter(({ pool, bytes }) => bytes > pool.bytes());
  const attempts = await Promise.all(short.map(({ pool, bytes }) => attempt(device, () => pool.make(bytes))));
  try {
    attempts.forEach(({ outOfMemory, invalid }, i) => {
      const { pool, bytes } = short[i]!;
      if (outOfMemory !== undefined) throw shortage(name, wants, pool.label, bytes);
      if (invalid !== undefined) throw new Error(`${name} is refused by WebGPU: ${invalid}`);
    });
    before();
  } catch (error) {
    for (const { made } of attempts) made.destroy();
    throw error;
  }
  attempts.forEach(({ made }, i) => {
    short[i]!.pool.take(made);
  });
}

function shortage(
  name: string,
  wants: readonly { readonly pool: Pool; readonly bytes: number }[],
  label: string,
  refused: number,
): UserError {
  const total = wants.reduce((sum, { bytes }) => sum + bytes, 0);
  const parts = wants
    .filter(({ bytes }) => bytes > 0)
    .map(({ pool, bytes }) => `${mebibytes(bytes)} for ${pool.label}`);
  return new UserError(
    `${name} needs ${mebibytes(total)} of the graphics device (${parts.join(", ")}), which has no ${mebibytes(refused)} left for ${label}: a smaller model, batch or window needs less, and so does bptt.recompute`,
  );
}
