/** The memory that a session's addresses lie in. */
import type { ElementType } from "../../../program/program.js";
import type { HostArray } from "../../contract.js";

export const PAGE = 65536;
export const MAX_PAGES = 65536;
const BYTES = 4;
/** Up to this many numbers are copied one by one, which makes no object. */
const SMALL = 64;

export interface Store {
  bytes(): number;
  /** @throws RangeError where the machine does not give so much */
  grow(pages: number): void;
  write(address: number, numbers: ArrayLike<number>, type: ElementType): void;
  /** Numbers from `address` on, into `into` where it is given. */
  read(address: number, size: number, type: ElementType, into?: HostArray): HostArray | Promise<HostArray>;
}

export interface LocalStore extends Store {
  readonly memory: WebAssembly.Memory;
  read(address: number, size: number, type: ElementType, into?: HostArray): HostArray;
}

export const arrayOf = (type: ElementType, size: number): Int32Array<ArrayBuffer> | Float32Array<ArrayBuffer> =>
  type === "index" ? new Int32Array(size) : new Float32Array(size);

/** Memory of this thread; `shared` with others. */
export function createLocalStore(shared: boolean): LocalStore {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: MAX_PAGES, shared });
  // The views change when the memory grows.
  let floats = new Float32Array(memory.buffer);
  let words = new Int32Array(memory.buffer);
  const numbersOf = (type: ElementType) => (type === "index" ? words : floats);
  return {
    memory,
    bytes: () => memory.buffer.byteLength,
    grow(pages) {
      memory.grow(pages);
      floats = new Float32Array(memory.buffer);
      words = new Int32Array(memory.buffer);
    },
    write: (address, numbers, type) => numbersOf(type).set(numbers, address / BYTES),
    read(address, size, type, into) {
      const source = numbersOf(type);
      const begin = address / BYTES;
      const target = into ?? arrayOf(type, size);
      if (target.length !== size) throw new Error(`${size} numbers do not fit into an array of ${target.length}`);
      if (size > SMALL) target.set(source.subarray(begin, begin + size));
      else for (let i = 0; i < size; i++) target[i] = source[begin + i]!;
      return target;
    },
  };
}
