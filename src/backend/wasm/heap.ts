/**
 * One WebAssembly memory that only grows: what is allocated stays where it is, so that addresses are numbers in the code.
 * Constants that kernels load lie in blocks among the rest.
 */
import { UserError } from "../../errors.js";
import { kept } from "../../graph/maps.js";
import { MAX_PAGES, PAGE, type Store } from "./threads/store.js";

const ALIGNMENT = 64;
/** Kernels may read this far past the end of a buffer (never write). */
const PADDING = 64;
const CONSTANT_BLOCK = 4096;
const BYTES = 4;
const MIB = 2 ** 20;

export interface Heap {
  /** The address of `bytes` bytes that hold zeros. `name` is what asks for them. @throws UserError when there is no room */
  allocate(bytes: number, name: string): number;
  /** @throws UserError when `bytes` more cannot be addressed */
  reserve(bytes: number, name: string): void;
  /** Where a constant of 32 bits lies; the same number for the same bits. */
  constantAddress(bits: number): number;
}

const mebibytes = (bytes: number): string => (bytes / MIB).toFixed(bytes < 10 * MIB ? 1 : 0);

export function createHeap(store: Store): Heap {
  const constants = new Map<number, number>();
  let nextConstant = 0;
  let constantsEnd = 0;
  /** Address 0 stays free. */
  let top = ALIGNMENT;

  const refuse = (bytes: number, name: string, limit: string): never => {
    throw new UserError(`${name} needs ${mebibytes(bytes)} MiB of memory, but ${limit}`);
  };

  const heap: Heap = {
    reserve(bytes, name) {
      if (top + bytes + PADDING <= MAX_PAGES * PAGE) return;
      const held = top > MIB ? `, ${mebibytes(top)} of which are taken` : "";
      refuse(bytes, name, `WebAssembly can address ${mebibytes(MAX_PAGES * PAGE)} MiB${held}`);
    },
    allocate(bytes, name) {
      heap.reserve(bytes, name);
      const address = top;
      const end = Math.ceil((top + bytes) / ALIGNMENT) * ALIGNMENT;
      const missing = end + PADDING - store.bytes();
      if (missing > 0) {
        try {
          store.grow(Math.ceil(missing / PAGE));
        } catch {
          refuse(bytes, name, "this machine does not give that much to WebAssembly");
        }
      }
      top = end;
      return address;
    },
    constantAddress: (bits) =>
      kept(constants, bits, () => {
        if (nextConstant === constantsEnd) {
          nextConstant = heap.allocate(CONSTANT_BLOCK, "a block of constants");
          constantsEnd = nextConstant + CONSTANT_BLOCK;
        }
        store.write(nextConstant, [bits], "index");
        nextConstant += BYTES;
        return nextConstant - BYTES;
      }),
  };
  return heap;
}
