/** Instructions with which threads meet; the alignment is not a hint here. */
import { bytes, type Code, signed } from "./encoding.js";
import { type I32, unary, value } from "./instructions.js";

/** An instruction of the atomic set: prefix 0xfe and its number. */
const atomic = (opcode: number): Code => bytes(0xfe, opcode, 2, 0);

export const atomics = {
  load: unary<"i32", "i32">("i32", atomic(0x10)),
  /** Adds, and gives what was there before. */
  add: (address: I32, n: I32): I32 => value("i32", address.code + n.code + atomic(0x1e)),
  /** Sleeps while the number at `address` is `expected`, until it is notified. */
  wait: (address: I32, expected: I32): I32 =>
    value("i32", address.code + expected.code + bytes(0x42) + signed(-1) + atomic(0x01)),
  /** Wakes up to `count` sleepers. */
  notify: (address: I32, count: I32): I32 => value("i32", address.code + count.code + atomic(0x00)),
  /** Stores so that other threads see all of what was stored before. */
  store: (address: I32, n: I32): Code => address.code + n.code + atomic(0x17),
};
