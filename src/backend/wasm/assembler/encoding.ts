/**
 * Bytes of the WebAssembly binary format: LEB128 numbers, vectors and sections (WebAssembly core specification, §5).
 *
 * Code under construction is a string with a character for each byte: strings are joined without being copied, and equal
 * functions are equal strings.
 */
export type Code = string;

export const bytes = (...values: number[]): Code => String.fromCharCode(...values);

/** Most numbers in code take one byte. */
const oneByte = Array.from({ length: 256 }, (_, value) => bytes(value));

/** The finished code as memory. Node does it at once; a loop takes as long as the rest of the encoding. */
export function toBytes(code: Code): Uint8Array<ArrayBuffer> {
  if (typeof Buffer !== "undefined") return new Uint8Array(Buffer.from(code, "latin1"));
  const memory = new Uint8Array(code.length);
  for (let i = 0; i < code.length; i++) memory[i] = code.charCodeAt(i);
  return memory;
}

/** Unsigned LEB128, up to 32 bits. */
export function unsigned(value: number): Code {
  let rest = value >>> 0;
  let code = "";
  for (; rest > 0x7f; rest >>>= 7) code += oneByte[(rest & 0x7f) | 0x80]!;
  return code + oneByte[rest]!;
}

/** Signed LEB128 of a 32-bit number. Addresses of 2 GiB and above wrap to negative numbers, as i32.const wants them. */
export function signed(value: number): Code {
  let rest = value | 0;
  let code = "";
  for (; rest < -64 || rest > 63; rest >>= 7) code += oneByte[(rest & 0x7f) | 0x80]!;
  return code + oneByte[rest & 0x7f]!;
}

/** Four little-endian bytes of an int32. */
export const int32 = (value: number): Code =>
  bytes(value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24);

const floatBits = new DataView(new ArrayBuffer(4));
/** The bits of a float32, as an int32. */
export function bitsOf(value: number): number {
  floatBits.setFloat32(0, value);
  return floatBits.getInt32(0);
}

export function text(value: string): Code {
  const utf8 = new TextEncoder().encode(value);
  return unsigned(utf8.length) + bytes(...utf8);
}

/** A vector: its length, then its items. */
export const vector = (items: readonly Code[]): Code => unsigned(items.length) + items.join("");

/** A section: its number, its size in bytes, its content. */
export const section = (id: number, content: Code): Code => bytes(id) + unsigned(content.length) + content;
