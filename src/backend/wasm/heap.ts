/**
 * One WebAssembly memory that only grows: what is allocated stays where it is, so that addresses are numbers in the code.
 * Constants that kernels load lie in blocks among the rest.
 */
import { UserError } from "../../errors.js";

const PAGE = 65536;
const MAX_PAGES = 65536;
const ALIGNMENT = 64;
/** Kernels may read this far past the end of a buffer (never write). */
const PADDING = 64;
const CONSTANT_BLOCK = 4096;
const BYTES = 4;
const MIB = 2 ** 20;

export interface Heap {
  readonly memory: WebAssembly.Memory;
  /** The address of `bytes` bytes that hold zeros. `name` is what asks for them. @throws UserError when there is no room */
  allocate(bytes: number, name: string): number;
  /** @throws UserError when `bytes` more cannot be addressed */
  reserve(bytes: number, name: string): void;
  /** Where a constant of 32 bits lies; the same number for the same bits. */
  constantAddress(bits: number): number;
  /** All of the memory; the views change when it grows. */
  floats(): Float32Array;
  words(): Int32Array;
}

const mebibytes = (bytes: number): string => (bytes / MIB).toFixed(bytes < 10 * MIB ? 1 : 0);

/** `shared`: for threads. */
export function createHeap(shared: boolean): Heap {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: MAX_PAGES, shared });
  const constants = new Map<number, number>();
  let nextConstant = 0;
  let constantsEnd = 0;
  /** Address 0 stays free. */
  let top = ALIGNMENT;
  let floats = new Float32Array(memory.buffer);
  let words = new Int32Array(memory.buffer);

  const refuse = (bytes: number, name: string, limit: string): never => {
    throw new UserError(`${name} needs ${mebibytes(bytes)} MiB of memory, but ${limit}`);
  };

  const heap: Heap = {
    memory,
    floats: () => floats,
    words: () => words,
    reserve(bytes, name) {
      if (top + bytes + PADDING <= MAX_PAGES * PAGE) return;
      const held = top > MIB ? `, ${mebibytes(top)} of which are taken` : "";
      refuse(bytes, name, `WebAssembly can address ${mebibytes(MAX_PAGES * PAGE)} MiB${held}`);
    },
    allocate(bytes, name) {
      heap.reserve(bytes, name);
      const address = top;
      const end = Math.ceil((top + bytes) / ALIGNMENT) * ALIGNMENT;
      const missing = end + PADDING - memory.buffer.byteLength;
      if (missing > 0) {
        try {
          memory.grow(Math.ceil(missing / PAGE));
        } catch {
          refuse(bytes, name, "this machine does not give that much to WebAssembly");
        }
        floats = new Float32Array(memory.buffer);
        words = new Int32Array(memory.buffer);
      }
      top = end;
      return address;
    },
    constantAddress(bits) {
      const known = constants.get(bits);
      if (known !== undefined) return known;
      if (nextConstant === constantsEnd) {
        nextConstant = heap.allocate(CONSTANT_BLOCK, "a block of constants");
        constantsEnd = nextConstant + CONSTANT_BLOCK;
      }
      const address = nextConstant;
      nextConstant += BYTES;
      words[address / BYTES] = bits;
      constants.set(bits, address);
      return address;
    },
  };
  return heap;
}
