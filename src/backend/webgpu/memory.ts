/** Buffers of a session that grow: what lies in them keeps its place. */
import { UserError } from "../../errors.js";
import { BufferUsage, BYTES, mebibytes } from "./constants.js";
import type { Device } from "./device.js";

export interface Pool {
  buffer(): GPUBuffer;
  bytes(): number;
  /** Changes with the buffer. */
  generation(): number;
  /** The place of so many new elements. `what`: for the error where they do not fit. @throws UserError */
  allocate(elements: number, what: string): number;
  /** Makes room for so many new elements. @throws UserError */
  reserve(elements: number, what: string): void;
  destroy(): void;
}

/** Elements: places are multiples of it. */
const ALIGNMENT = 16;
const LEAST_BYTES = 4096;
export const aligned = (elements: number): number => Math.ceil(elements / ALIGNMENT) * ALIGNMENT;

/** The most bytes of one buffer that a kernel can reach. */
export const mostBytes = ({ gpu }: Device): number =>
  Math.min(gpu.limits.maxStorageBufferBindingSize, gpu.limits.maxBufferSize, 2 ** 32 * BYTES);

/** `keeps`: what it holds is copied when it grows. */
export function createPool(device: Device, label: string, keeps: boolean): Pool {
  const { gpu } = device;
  let used = 0;
  let generation = 0;
  let buffer = make(LEAST_BYTES);

  function make(size: number): GPUBuffer {
    gpu.pushErrorScope("out-of-memory");
    const made = gpu.createBuffer({
      label,
      size,
      usage: BufferUsage.storage | BufferUsage.copySource | BufferUsage.copyTarget,
    });
    gpu.popErrorScope().then(
      (error) => {
        if (error) device.fail(new UserError(`the graphics device has no ${mebibytes(size)} left for ${label}`));
      },
      () => undefined,
    );
    return made;
  }

  function reserve(elements: number, what: string): void {
    const needed = (used + elements) * BYTES;
    const most = mostBytes(device);
    if (needed > most)
      throw new UserError(
        `${what} needs ${mebibytes(needed)} for ${label}, but this graphics device reaches ${mebibytes(most)} at once`,
      );
    if (needed <= buffer.size) return;
    // Twice as much for small ones, which come one by one.
    const size = Math.min(most, Math.max(needed, Math.min(2 * buffer.size, 2 ** 24)));
    const old = buffer;
    buffer = make(Math.ceil(size / 256) * 256 > most ? needed : Math.ceil(size / 256) * 256);
    generation++;
    if (keeps && used > 0) {
      const encoder = gpu.createCommandEncoder({ label: `${label} grow` });
      encoder.copyBufferToBuffer(old, 0, buffer, 0, used * BYTES);
      gpu.queue.submit([encoder.finish()]);
    }
    old.destroy();
  }

  return {
    buffer: () => buffer,
    bytes: () => buffer.size,
    generation: () => generation,
    reserve,
    allocate(elements, what) {
      reserve(aligned(elements), what);
      const place = used;
      used += aligned(elements);
      return place;
    },
    destroy: () => buffer.destroy(),
  };
}
