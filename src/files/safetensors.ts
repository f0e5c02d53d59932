/**
 * The safetensors format: 8 bytes of header length (little-endian), a JSON header padded with spaces, the tensors'
 * bytes. The header maps each name to `{ dtype, shape, data_offsets: [begin, end] }`, offsets counted from the end of
 * the header; `__metadata__` maps strings to strings. Rows are contiguous (C order), numbers little-endian.
 * Source: the format description at https://huggingface.co/docs/safetensors. Runs in a browser.
 */
import { UserError } from "../errors.js";
import { fromBfloat, fromHalf, toBfloat, toHalf } from "./half.js";
import { scanJson } from "./json-scan.js";

type Arrays = {
  F64: Float64Array;
  F32: Float32Array;
  F16: Float32Array;
  BF16: Float32Array;
  I64: BigInt64Array;
  U64: BigUint64Array;
  I32: Int32Array;
  U32: Uint32Array;
  I16: Int16Array;
  U16: Uint16Array;
  I8: Int8Array;
  U8: Uint8Array;
  BOOL: Uint8Array;
};

/** The element types read and written here. */
export type Dtype = keyof Arrays;

/**
 * One tensor: `data` holds the elements in C order, as many as the product of `shape` (`[]` is one number).
 * F16 and BF16 are always held as `Float32Array`; BOOL as bytes, 0 or 1. Comparing `dtype` narrows the type of `data`.
 */
export type SafeTensor = {
  [D in Dtype]: { readonly dtype: D; readonly shape: readonly number[]; readonly data: Arrays[D] };
}[Dtype];

/**
 * What can be written: a `SafeTensor`, or numbers with their shape, as `trainer.parameters()` gives them. Without a dtype it is that
 * of the array (Float32Array: F32, Int32Array: I32, Uint8Array: U8 …), F64 for a plain list.
 */
export type Storable =
  | SafeTensor
  | {
      readonly dtype?: undefined;
      readonly shape: readonly number[];
      readonly data: ArrayLike<number> | BigInt64Array | BigUint64Array;
    };

/** What a safetensors file holds. `metadata` has no prototype, so that no name in it can mean anything else. */
export type Safetensors = { tensors: Map<string, SafeTensor>; metadata: Record<string, string> };

/** The largest header in bytes that is read: the format's own limit. */
const HEADER_LIMIT = 100_000_000;

/** A header nests three deep; anything far beyond that is not a header. */
const DEPTH_LIMIT = 16;

/** How the elements lie in the file, and how they are held in memory where that differs. */
const STORED = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I64: BigInt64Array,
  U64: BigUint64Array,
  I32: Int32Array,
  U32: Uint32Array,
  I16: Int16Array,
  U16: Uint16Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
} as const;
const held = (dtype: Dtype) => (dtype === "F16" || dtype === "BF16" ? Float32Array : STORED[dtype]);
const DTYPES = /* @__PURE__ */ Object.keys(STORED) as Dtype[];
const FLOATS = ["F64", "F32", "F16", "BF16"] as const;

type Entry = { name: string; dtype: Dtype; shape: number[]; count: number; begin: number; end: number };
type Bad = (problem: string) => UserError;

/**
 * Reads a safetensors file. Everything is checked before anything is trusted: lengths, UTF-8, JSON, repeated names,
 * dtypes, shapes, and that the tensors cover the data exactly, without a gap or an overlap.
 *
 * A tensor's `data` is a view of `bytes` where its offset is aligned and a copy where it is not: treat it as read-only,
 * or copy it. F16 and BF16 become new `Float32Array`s.
 *
 * @param source names the file in messages.
 * @throws UserError with one sentence naming the source, the tensor and the value that is wrong.
 */
export function decodeSafetensors(bytes: Uint8Array, source = "the safetensors data"): Safetensors {
  requireLittleEndian();
  const bad: Bad = (problem) => new UserError(`${source} cannot be read as safetensors: ${problem}.`);
  const file = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength); // a Buffer's slice() is not a copy
  const { header, dataAt } = readHeader(file, bad);
  const { __metadata__: metadata, ...rest } = header;
  const dataBytes = file.byteLength - dataAt;
  const entries = Object.entries(rest).map(([name, value]) => readEntry(name, value, dataBytes, bad));
  checkCoverage(entries, dataBytes, bad);
  return {
    tensors: new Map(entries.map((entry) => [entry.name, readTensor(entry, file, dataAt + entry.begin)])),
    metadata: Object.hasOwn(header, "__metadata__") ? readMetadata(metadata, bad) : emptyRecord(),
  };
}

function readHeader(file: Uint8Array, bad: Bad): { header: Record<string, unknown>; dataAt: number } {
  if (file.byteLength < 8) throw bad(`it has ${file.byteLength} bytes, fewer than the 8 of a header length`);
  const stated = new DataView(file.buffer, file.byteOffset, 8).getBigUint64(0, true);
  if (stated > HEADER_LIMIT) throw bad(`its header claims ${stated} bytes, above the limit of ${HEADER_LIMIT}`);
  const dataAt = 8 + Number(stated);
  if (dataAt > file.byteLength) {
    throw bad(`its header claims ${stated} bytes, but only ${file.byteLength - 8} follow (was the file cut short?)`);
  }
  if (file[8] !== 0x7b || stated === 0n) throw bad('its header does not start with "{"');
  const text = decodeUtf8(file.slice(8, dataAt));
  if (text === undefined) throw bad("its header is not valid UTF-8");
  // The scan comes first: parsing millions of nested brackets could exhaust memory.
  const found = scanJson(text, DEPTH_LIMIT);
  if (found?.kind === "too deep") throw bad(`its header nests deeper than ${DEPTH_LIMIT} levels`);
  if (found) throw bad(`its header names ${found.path.map(show).join(" → ")} more than once`);
  return { header: parseObject(text, bad), dataAt };
}

function parseObject(text: string, bad: Bad): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>; // starts with "{", so that what parses is an object
  } catch (error) {
    throw bad(`its header is not valid JSON (${shorten((error as Error).message)})`);
  }
}

function readEntry(name: string, value: unknown, dataBytes: number, bad: Bad): Entry {
  const at = (problem: string) => bad(`tensor ${show(name)} ${problem}`);
  if (hasLoneSurrogate(name)) throw at("has a name that is not valid Unicode");
  if (!isRecord(value)) throw at(`is described by ${show(value)} instead of an object`);
  for (const field of ["dtype", "shape", "data_offsets"]) {
    if (!Object.hasOwn(value, field)) throw at(`has no ${show(field)}`);
  }
  const { dtype, shape, data_offsets: offsets } = value;
  if (!isDtype(dtype)) throw at(`has the dtype ${show(dtype)}, which is none of ${DTYPES.join(", ")}`);
  if (!Array.isArray(shape) || !shape.every(isCount)) {
    throw at(`has the shape ${show(shape)}, which is not a list of whole numbers from 0 to 2^53`);
  }
  const count = product(shape);
  const size = count * STORED[dtype].BYTES_PER_ELEMENT;
  if (!Number.isSafeInteger(size)) throw at(`has the shape ${show(shape)}, which is more than any file can hold`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    throw at(`has the data_offsets ${show(offsets)}, which are not two whole numbers from 0 to 2^53`);
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end) throw at(`has the data_offsets ${show(offsets)}, which end before they begin`);
  if (end > dataBytes) {
    throw at(`ends at byte ${end} of the data, which has ${dataBytes} bytes (was the file cut short?)`);
  }
  if (end - begin !== size) {
    throw at(`has ${end - begin} bytes (data_offsets ${show(offsets)}) where ${dtype} ${show(shape)} needs ${size}`);
  }
  return { name, dtype, shape, count, begin, end };
}

/** The format wants every byte of the data to belong to exactly one tensor, so that nothing can hide in a file. */
function checkCoverage(entries: readonly Entry[], dataBytes: number, bad: Bad): void {
  const sorted = [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end);
  let before: Entry | undefined;
  for (const entry of sorted) {
    const covered = before?.end ?? 0;
    if (before && entry.begin < covered) {
      const [a, b] = [before, entry].map(({ name, begin, end }) => `${show(name)} (bytes ${begin} to ${end})`);
      throw bad(`tensor ${b} overlaps tensor ${a}`);
    }
    if (entry.begin > covered) {
      throw bad(`bytes ${covered} to ${entry.begin} of the data, before tensor ${show(entry.name)}, are no tensor's`);
    }
    before = entry;
  }
  const covered = before?.end ?? 0;
  if (covered < dataBytes) {
    const where = before ? `, after tensor ${show(before.name)},` : "";
    throw bad(`bytes ${covered} to ${dataBytes} of the data${where} are no tensor's`);
  }
}

function readTensor({ dtype, shape, count }: Entry, file: Uint8Array, at: number): SafeTensor {
  const Stored: new (buffer: ArrayBufferLike, at: number, count: number) => ArrayBufferView = STORED[dtype];
  const size = STORED[dtype].BYTES_PER_ELEMENT;
  const own = file.subarray(at, at + count * size);
  const aligned = own.byteOffset % size === 0 ? own : own.slice();
  const data = new Stored(aligned.buffer, aligned.byteOffset, count);
  if (dtype === "F16") return { dtype, shape, data: Float32Array.from(data as Uint16Array, fromHalf) };
  if (dtype === "BF16") return { dtype, shape, data: Float32Array.from(data as Uint16Array, fromBfloat) };
  return { dtype, shape, data: data as SafeTensor["data"] } as SafeTensor;
}

function readMetadata(metadata: unknown, bad: Bad): Record<string, string> {
  if (!isRecord(metadata)) throw bad(`its __metadata__ is ${show(metadata)} instead of an object`);
  const record = emptyRecord();
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== "string") throw bad(`its __metadata__ ${show(key)} is ${show(value)} instead of a string`);
    record[key] = value;
  }
  return record;
}

/**
 * Writes tensors as safetensors, readable by PyTorch (`safetensors.torch.load_file`) and every other implementation.
 * The header keeps the given order; in the data wider elements come first, so that each tensor is aligned.
 * F16 and BF16 are rounded to nearest, ties to even.
 *
 * @param tensors by name, as an object or a Map: `await trainer.parameters()`, or what `decodeSafetensors` gave.
 * @param metadata strings to keep beside them.
 * @throws UserError where a name, dtype, shape and data do not fit together.
 */
export function encodeSafetensors(
  tensors: Readonly<Record<string, Storable>> | ReadonlyMap<string, Storable>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  requireLittleEndian();
  const given: [string, Storable][] = tensors instanceof Map ? [...tensors] : Object.entries(tensors);
  const named = given.map(([name, tensor]) => [name, withDtype(tensor)] as const);
  for (const [name, tensor] of named) checkTensor(name, tensor);
  const begins = new Map<string, number>();
  let dataBytes = 0;
  for (const [name, tensor] of [...named].sort(([, a], [, b]) => elementSize(b) - elementSize(a))) {
    begins.set(name, dataBytes);
    dataBytes += tensor.data.length * elementSize(tensor);
  }
  const header = encodeHeader(named, begins, metadata);
  const file = new Uint8Array(8 + header.length + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true);
  file.set(header, 8);
  for (const [name, tensor] of named) file.set(storedBytes(tensor), 8 + header.length + begins.get(name)!);
  return file;
}

function withDtype(tensor: Storable): SafeTensor {
  if (tensor.dtype !== undefined) return tensor;
  const { shape, data } = tensor;
  const dtype = DTYPES.find((dtype) => data instanceof held(dtype));
  // What is no list at all is left to be refused.
  if (dtype || data?.length === undefined) return { dtype: dtype ?? "F64", shape, data } as SafeTensor;
  return { dtype: "F64", shape, data: Float64Array.from(data as ArrayLike<number>) };
}

/** The JSON text as bytes, padded with spaces so that the data after the 8 bytes of length starts at a multiple of 8. */
function encodeHeader(
  named: readonly (readonly [string, SafeTensor])[],
  begins: ReadonlyMap<string, number>,
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== "string") throw new UserError(`the metadata ${show(key)} is ${show(value)}, not a string.`);
    if (hasLoneSurrogate(key + value)) throw new UserError(`the metadata ${show(key)} is not valid Unicode.`);
  }
  const fields = named.map(([name, tensor]) => {
    const begin = begins.get(name)!;
    const data_offsets = [begin, begin + tensor.data.length * elementSize(tensor)];
    return `${JSON.stringify(name)}:${JSON.stringify({ dtype: tensor.dtype, shape: tensor.shape, data_offsets })}`;
  });
  if (Object.keys(metadata).length > 0) fields.unshift(`"__metadata__":${JSON.stringify(metadata)}`);
  const text = new TextEncoder().encode(`{${fields.join(",")}}`);
  const header = new Uint8Array(Math.ceil(text.length / 8) * 8).fill(0x20);
  if (header.length > HEADER_LIMIT) {
    throw new UserError(`${named.length} tensors need a header above the format's ${HEADER_LIMIT} bytes.`);
  }
  header.set(text);
  return header;
}

function checkTensor(name: string, { dtype, shape, data }: SafeTensor): void {
  const at = (problem: string) => new UserError(`tensor ${show(name)} cannot be written: ${problem}.`);
  if (name === "__metadata__") throw at("safetensors keeps this name for itself");
  if (hasLoneSurrogate(name)) throw at("its name is not valid Unicode");
  if (!isDtype(dtype)) throw at(`its dtype ${show(dtype)} is none of ${DTYPES.join(", ")}`);
  const Held = held(dtype);
  if (!(data instanceof Held)) throw at(`its dtype ${dtype} needs a ${Held.name}`);
  if (!Array.isArray(shape) || !shape.every(isCount)) {
    throw at(`its shape ${show(shape)} is not a list of whole numbers from 0 to 2^53`);
  }
  if (product(shape) !== data.length) throw at(`its shape ${show(shape)} does not fit its ${data.length} elements`);
}

function storedBytes({ dtype, data }: SafeTensor): Uint8Array {
  const stored =
    dtype === "F16" ? Uint16Array.from(data, toHalf) : dtype === "BF16" ? Uint16Array.from(data, toBfloat) : data;
  return new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
}

/** What `expectTensor` may ask beyond name and shape. `source` names the file in messages. */
export type Expectation<D extends Dtype> = { readonly dtypes?: readonly D[]; readonly source?: string };

/**
 * The tensor of that name, with exactly that shape (`undefined`: any) and one of those dtypes (left out: any).
 * @throws UserError that names the source, the tensor, and what was found where what was needed.
 */
export function expectTensor<D extends Dtype = Dtype>(
  tensors: ReadonlyMap<string, SafeTensor>,
  name: string,
  shape?: readonly number[],
  { dtypes, source = "the safetensors data" }: Expectation<D> = {},
): Extract<SafeTensor, { dtype: D }> {
  const tensor = tensors.get(name);
  if (!tensor)
    throw new UserError(`${source} has no tensor ${show(name)}; it holds ${listNames([...tensors.keys()])}.`);
  const at = (found: string, needed: string) =>
    new UserError(`${source}: tensor ${show(name)} has the ${found} where ${needed} is needed.`);
  if (shape && (tensor.shape.length !== shape.length || shape.some((size, axis) => size !== tensor.shape[axis]))) {
    throw at(`shape ${show(tensor.shape)}`, show(shape));
  }
  if (dtypes && !dtypes.some((dtype) => dtype === tensor.dtype)) throw at(`dtype ${tensor.dtype}`, dtypes.join(" or "));
  return tensor as Extract<SafeTensor, { dtype: D }>;
}

/** `expectTensor` for numbers: the elements of a tensor of any float dtype, as a new `Float64Array`. */
export function expectFloats(
  tensors: ReadonlyMap<string, SafeTensor>,
  name: string,
  shape?: readonly number[],
  source?: string,
): Float64Array {
  return Float64Array.from(expectTensor(tensors, name, shape, { dtypes: FLOATS, source }).data);
}

function listNames(names: readonly string[]): string {
  if (names.length === 0) return "none";
  const rest = names.length > 6 ? ` and ${names.length - 6} more` : "";
  return names.slice(0, 6).map(show).join(", ") + rest;
}

const elementSize = ({ dtype }: SafeTensor): number => STORED[dtype].BYTES_PER_ELEMENT;
const emptyRecord = (): Record<string, string> => Object.create(null) as Record<string, string>;
const isDtype = (value: unknown): value is Dtype => typeof value === "string" && Object.hasOwn(STORED, value);
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && !Object.is(value, -0) && Number(value) >= 0;
const hasLoneSurrogate = (text: string): boolean => /\p{Surrogate}/u.test(text);

/** NaN where the exact product, or a step on the way to it, is beyond 2^53. */
const product = (shape: readonly number[]): number =>
  shape.reduce((count, size) => (Number.isSafeInteger(count * size) ? count * size : NaN), 1);

/** At most 80 characters and none that a terminal would obey. */
function shorten(text: string): string {
  const plain = text.slice(0, 81).replace(/\p{Cc}/gu, "\ufffd");
  return plain.length > 80 ? `${plain.slice(0, 79)}…` : plain;
}

function show(value: unknown): string {
  try {
    return shorten(JSON.stringify(value) ?? String(value));
  } catch {
    return shorten(String(value)); // a bigint
  }
}

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function requireLittleEndian(): void {
  if (new Uint8Array(Uint16Array.of(1).buffer)[0] !== 1) {
    throw new UserError("safetensors files hold little-endian numbers, and this processor is big-endian.");
  }
}
