import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { lstm } from "../../src/cells/lstm.js";
import { arrayBatches } from "../../src/data/arrays.js";
import { UserError } from "../../src/errors.js";
import {
  type Dtype,
  decodeSafetensors,
  encodeSafetensors,
  expectFloats,
  expectTensor,
  type SafeTensor,
  type Storable,
} from "../../src/files/safetensors.js";
import { readSafetensors, writeSafetensors } from "../../src/files/safetensors-node.js";
import { dense } from "../../src/layers/dense.js";
import { recurrent } from "../../src/layers/recurrent.js";
import { sequential } from "../../src/layers/sequential.js";
import { mse } from "../../src/train/losses.js";
import { sgd } from "../../src/train/optimizers.js";
import { createTrainer, type Trainer } from "../../src/train/trainer.js";
import { temporaryFolder } from "./temporary-folder.js";

const ARRAYS = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Float32Array,
  BF16: Float32Array,
  I64: BigInt64Array,
  U64: BigUint64Array,
  I32: Int32Array,
  U32: Uint32Array,
  I16: Int16Array,
  U16: Uint16Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
};
const DTYPES = Object.keys(ARRAYS) as Dtype[];

/** A file from its parts, so that a test can make what the writer never would. */
function fileOf(header: string | object | Uint8Array, data: number | Uint8Array = 0, length?: bigint): Uint8Array {
  const text =
    header instanceof Uint8Array
      ? header
      : new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const body = typeof data === "number" ? new Uint8Array(data) : data;
  const file = new Uint8Array(8 + text.length + body.length);
  new DataView(file.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  file.set(text, 8);
  file.set(body, 8 + text.length);
  return file;
}

const f32 = (shape: unknown, ...data_offsets: unknown[]) => ({ dtype: "F32", shape, data_offsets });

/** The message of the refusal; one sentence that names the file. */
function refusal(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    const { message } = error as Error;
    expect(message).not.toMatch(/\n/);
    expect(message.endsWith(".")).toBe(true);
    expect(message.length).toBeLessThan(400);
    return message;
  }
  throw new Error("nothing was refused");
}

const bitsOf = ({ data }: SafeTensor) => [...new Uint8Array(data.buffer, data.byteOffset, data.byteLength)];

const anyTensor = fc
  .tuple(fc.constantFrom(...DTYPES), fc.array(fc.nat(4), { maxLength: 4 }))
  .chain(([dtype, shape]) => {
    const count = shape.reduce((a, b) => a * b, 1);
    const exact = dtype === "F16" || dtype === "BF16"; // quarters below 32 are exact in both
    const size = exact ? count : count * ARRAYS[dtype].BYTES_PER_ELEMENT;
    return fc.uint8Array({ minLength: size, maxLength: size }).map((bytes) => {
      const data = exact ? Float32Array.from(bytes, (b) => (b - 128) / 4) : new ARRAYS[dtype](bytes.slice().buffer);
      return { dtype, shape, data } as SafeTensor;
    });
  });
const anyName = fc.oneof(
  fc.string({ unit: "grapheme" }),
  fc.constantFrom("__proto__", "constructor", "toString", "0", "", 'a"b\\', "rnn.weight_ih_l0"),
);
const anyTensors = fc.uniqueArray(fc.tuple(anyName, anyTensor), { selector: ([name]) => name, maxLength: 6 });

describe("what is written is read back", () => {
  test("any tensors of any dtype and shape, bit for bit, with their metadata", () => {
    fc.assert(
      fc.property(anyTensors, fc.dictionary(fc.string({ unit: "grapheme" }), fc.string()), (named, metadata) => {
        const file = encodeSafetensors(new Map(named), metadata);
        const read = decodeSafetensors(file);
        expect([...read.tensors.keys()].sort()).toEqual(named.map(([name]) => name).sort());
        for (const [name, tensor] of named) {
          const back = read.tensors.get(name)!;
          expect(back.dtype).toBe(tensor.dtype);
          expect(back.shape).toEqual(tensor.shape);
          expect(back.data).toBeInstanceOf(ARRAYS[tensor.dtype]);
          expect(bitsOf(back)).toEqual(bitsOf(tensor));
        }
        expect(Object.entries(read.metadata).sort()).toEqual(Object.entries(metadata).sort());
      }),
      { numRuns: 300 },
    );
  });

  test("at any position of a larger buffer, aligned or not", () => {
    fc.assert(
      fc.property(anyTensors, fc.nat(16), (named, shift) => {
        const file = encodeSafetensors(new Map(named));
        const larger = Buffer.alloc(file.length + 40, 0xff);
        larger.set(file, shift);
        const { tensors } = decodeSafetensors(larger.subarray(shift, shift + file.length));
        for (const [name, tensor] of named) expect(bitsOf(tensors.get(name)!)).toEqual(bitsOf(tensor));
      }),
      { numRuns: 200 },
    );
  });

  test("a header of any length, so that the data itself lies unaligned", () => {
    const numbers = Float64Array.of(Math.PI, -0, NaN, 1e-310);
    for (let spaces = 0; spaces < 16; spaces++) {
      const header = `${JSON.stringify({ x: { dtype: "F64", shape: [4], data_offsets: [0, 32] } })}${" ".repeat(spaces)}`;
      const { tensors } = decodeSafetensors(fileOf(header, new Uint8Array(numbers.buffer)));
      expect([...tensors.get("x")!.data]).toEqual([...numbers]);
    }
  });

  test("every tensor begins aligned to its element, and the data to 8 bytes", () => {
    fc.assert(
      fc.property(anyTensors, (named) => {
        const file = encodeSafetensors(new Map(named));
        const length = Number(new DataView(file.buffer).getBigUint64(0, true));
        expect(length % 8).toBe(0);
        const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)));
        for (const [name, tensor] of named) {
          const { dtype, data_offsets } = Object.getOwnPropertyDescriptor(header, name)!.value;
          const size = dtype === "F16" || dtype === "BF16" ? 2 : ARRAYS[tensor.dtype].BYTES_PER_ELEMENT;
          expect(data_offsets[0] % size).toBe(0);
        }
      }),
      { numRuns: 100 },
    );
  });

  test("the header keeps the order given", () => {
    const one = (dtype: "U8" | "F64") => ({ dtype, shape: [1], data: new ARRAYS[dtype](1) }) as SafeTensor;
    const file = encodeSafetensors({ c: one("U8"), a: one("F64"), b: one("U8") });
    expect([...decodeSafetensors(file).tensors.keys()]).toEqual(["c", "a", "b"]);
  });

  test("a view into a larger array writes only its own elements", () => {
    const data = Float32Array.of(1, 2, 3, 4, 5).subarray(1, 4);
    const { tensors } = decodeSafetensors(encodeSafetensors({ x: { dtype: "F32", shape: [3], data } }));
    expect([...tensors.get("x")!.data]).toEqual([2, 3, 4]);
  });

  test("F16 and BF16 round to the nearest", () => {
    const data = Float32Array.of(0.1, 1e9, -1e-9);
    const { tensors } = decodeSafetensors(
      encodeSafetensors({ half: { dtype: "F16", shape: [3], data }, brain: { dtype: "BF16", shape: [3], data } }),
    );
    expect([...tensors.get("half")!.data]).toEqual([0.0999755859375, Infinity, -0]);
    expect([...tensors.get("brain")!.data]).toEqual([0.10009765625, 998244352, -1.0703125 * 2 ** -30]);
  });
});

test("a file as another implementation writes it is read", () => {
  // As the Python library writes {"b": int64 [2], "a": bfloat16 [1, 3]} with metadata {"format": "pt"}.
  const header =
    '{"__metadata__":{"format":"pt"},"b":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},' +
    '"a":{"dtype":"BF16","shape":[1,3],"data_offsets":[16,22]}}';
  const data = "ffffffffffffffff 0700000000000000 803f 00c0 c03e";
  const bytes = Uint8Array.from(data.replaceAll(" ", "").match(/../g)!, (hex) => Number.parseInt(hex, 16));
  const { tensors, metadata } = decodeSafetensors(fileOf(header.padEnd(144), bytes), "other.safetensors");
  expect({ ...metadata }).toEqual({ format: "pt" });
  expect(tensors.get("b")).toEqual({ dtype: "I64", shape: [2], data: BigInt64Array.of(-1n, 7n) });
  expect(tensors.get("a")).toEqual({ dtype: "BF16", shape: [1, 3], data: Float32Array.of(1, -2, 0.375) });
});

test("a file without tensors is a file", () => {
  expect(decodeSafetensors(fileOf("{}")).tensors.size).toBe(0);
  expect(decodeSafetensors(encodeSafetensors({})).tensors.size).toBe(0);
});

describe("a bad file is refused with a sentence that names what is wrong", () => {
  const x = f32([2], 0, 8);
  const manyBrackets = "[".repeat(5_000_000);
  const cases: [what: string, file: Uint8Array, ...culprits: (string | RegExp)[]][] = [
    ["an empty file", new Uint8Array(0), "0 bytes", "8 of a header length"],
    ["7 bytes", new Uint8Array(7), "7 bytes"],
    ["an empty header", fileOf(""), 'start with "{"'],
    ["a header of 2^64 - 1 bytes", fileOf("{}", 0, 2n ** 64n - 1n), "18446744073709551615", "100000000"],
    ["a header of 100 MB and a byte", fileOf("{}", 0, 100_000_001n), "100000001"],
    ["a header beyond the file", fileOf({ x }, 8, 5000n), "5000", "cut short"],
    ["a zip file", fileOf("PK\x03\x04"), 'start with "{"'],
    ["a header that starts with a space", fileOf(" {}"), 'start with "{"'],
    ["a header that is an array", fileOf("[]"), 'start with "{"'],
    ["a header that is no UTF-8", fileOf(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)), "UTF-8"],
    ["a header that is no JSON", fileOf('{"x": oops}'), "not valid JSON"],
    ["a header with text behind", fileOf("{}x"), "not valid JSON"],
    ["a header padded with zero bytes", fileOf("{}\0\0"), "not valid JSON"],
    ["millions of nested brackets", fileOf(`{"x":${manyBrackets}`), "nests deeper"],
    ["a name twice", fileOf(`{"x":${JSON.stringify(x)},"x":${JSON.stringify(x)}}`, 8), '"x"', "more than once"],
    ["a name twice, once escaped", fileOf(`{"x":${JSON.stringify(x)},"\\u0078":{}}`, 8), '"x"', "more than once"],
    ["a name twice, with a quote", fileOf('{"a\\"b":{"z":"\\\\"},"a\\u0022b":{}}'), '"a\\"b"', "more than once"],
    ["a field twice", fileOf('{"x":{"dtype":"F32","dtype":"F64"}}'), '"x" → "dtype"', "more than once"],
    ["metadata twice", fileOf('{"__metadata__":{},"__metadata__":{}}'), '"__metadata__"', "more than once"],
    ["a metadata key twice", fileOf('{"__metadata__":{"k":"1","k":"2"}}'), '"__metadata__" → "k"', "more than once"],
    ["metadata that is a number", fileOf('{"__metadata__":{"k":1}}'), '"k"', "1 instead of a string"],
    ["metadata that is null", fileOf('{"__metadata__":null}'), "null instead of an object"],
    ["metadata that is a list", fileOf('{"__metadata__":["a"]}'), '["a"] instead of an object'],
    ["a tensor that is a number", fileOf({ x: 3 }), '"x"', "3 instead of an object"],
    ["a tensor that is null", fileOf({ x: null }), '"x"', "null instead of an object"],
    ["a tensor that is a list", fileOf({ x: [1] }), '"x"', "[1] instead of an object"],
    ["no dtype", fileOf({ x: { shape: [], data_offsets: [0, 0] } }), '"x"', 'no "dtype"'],
    ["no shape", fileOf({ x: { dtype: "F32", data_offsets: [0, 0] } }), '"x"', 'no "shape"'],
    ["no data_offsets", fileOf({ x: { dtype: "F32", shape: [] } }), '"x"', 'no "data_offsets"'],
    ["an unknown dtype", fileOf({ x: { ...x, dtype: "F33" } }, 8), '"x"', '"F33"', "F64, F32"],
    ["a dtype of the prototype", fileOf({ x: { ...x, dtype: "constructor" } }, 8), '"x"', '"constructor"'],
    ["a dtype that is a number", fileOf({ x: { ...x, dtype: 32 } }, 8), '"x"', "dtype 32"],
    ["a shape that is a number", fileOf({ x: f32(2, 0, 8) }, 8), '"x"', "shape 2,"],
    ["a shape with a text", fileOf({ x: f32(["2"], 0, 8) }, 8), '"x"', 'shape ["2"]'],
    ["a shape below zero", fileOf({ x: f32([-2], 0, 8) }, 8), '"x"', "shape [-2]"],
    ["a shape with minus zero", fileOf('{"x":{"dtype":"F32","shape":[-0],"data_offsets":[0,0]}}'), '"x"', "shape"],
    ["a broken shape", fileOf({ x: f32([1.5], 0, 8) }, 8), '"x"', "shape [1.5]"],
    ["a shape with null", fileOf({ x: f32([null], 0, 8) }, 8), '"x"', "shape [null]"],
    ["a size beyond 2^53", fileOf({ x: f32([2 ** 53], 0, 8) }, 8), '"x"', "shape [9007199254740992]"],
    ["a product beyond 2^53", fileOf({ x: f32([2 ** 30, 2 ** 30], 0, 8) }, 8), '"x"', "1073741824", "more than any"],
    ["a product that overflows before a zero", fileOf({ x: f32([2 ** 40, 2 ** 40, 0], 0, 0) }), '"x"', "more than any"],
    ["a byte length beyond 2^53", fileOf({ x: f32([2 ** 52], 0, 8) }, 8), '"x"', "more than any"],
    ["offsets that are no list", fileOf({ x: { ...x, data_offsets: 8 } }, 8), '"x"', "data_offsets 8"],
    ["three offsets", fileOf({ x: f32([2], 0, 8, 8) }, 8), '"x"', "[0,8,8]"],
    ["an offset below zero", fileOf({ x: f32([2], -8, 0) }, 8), '"x"', "[-8,0]"],
    ["a broken offset", fileOf({ x: f32([2], 0.5, 8.5) }, 16), '"x"', "[0.5,8.5]"],
    ["an offset that is a text", fileOf({ x: f32([2], "0", "8") }, 8), '"x"', '["0","8"]'],
    ["an offset beyond 2^53", fileOf({ x: f32([2], 0, 2 ** 60) }, 8), '"x"', "[0,1152921504606847000]"],
    ["offsets that end before they begin", fileOf({ x: f32([2], 8, 0) }, 8), '"x"', "[8,0]", "before they begin"],
    ["an offset beyond the data", fileOf({ x: f32([4], 0, 16) }, 8), '"x"', "byte 16", "8 bytes"],
    ["too few bytes for the shape", fileOf({ x: f32([3], 0, 8) }, 8), '"x"', "8 bytes", "F32 [3] needs 12"],
    ["too many bytes for the shape", fileOf({ x: f32([], 0, 8) }, 8), '"x"', "8 bytes", "F32 [] needs 4"],
    ["bytes for no element", fileOf({ x: f32([0], 0, 8) }, 8), '"x"', "8 bytes", "needs 0"],
    ["an overlap", fileOf({ x: f32([2], 0, 8), y: f32([2], 4, 12) }, 12), '"y"', "4 to 12", "overlaps", '"x"'],
    ["the same bytes twice", fileOf({ x, y: x }, 8), '"y"', "overlaps", '"x"'],
    ["an empty tensor inside another", fileOf({ x, y: f32([0], 4, 4) }, 8), '"y"', "overlaps", '"x"'],
    ["a gap in front", fileOf({ x: f32([2], 4, 12) }, 12), '"x"', "bytes 0 to 4"],
    ["a gap between", fileOf({ x, y: f32([1], 12, 16) }, 16), '"y"', "bytes 8 to 12"],
    ["a tail that is no tensor's", fileOf({ x }, 9), '"x"', "bytes 8 to 9"],
    ["data without tensors", fileOf("{}", 3), "bytes 0 to 3"],
    ["half a surrogate pair as a name", fileOf('{"\\ud800":{}}'), "not valid Unicode"],
    ["an endless name", fileOf({ ["n".repeat(100_000)]: 1 }), "nnnn…"],
    ["a name that would drive a terminal", fileOf({ "\u001b[2J\u009b": 1 }), "\\u001b[2J\ufffd"],
    ["a bad __proto__", fileOf('{"__proto__":{"dtype":"F32"}}'), '"__proto__"', 'no "shape"'],
    ["fields hidden in a prototype", fileOf(`{"x":{"__proto__":${JSON.stringify(x)}}}`, 8), '"x"', 'no "dtype"'],
  ];

  test.each(cases)("%s", (_what, file, ...culprits) => {
    const message = refusal(() => decodeSafetensors(file, "models/bad.safetensors"));
    expect(message).toContain("models/bad.safetensors");
    for (const culprit of culprits) expect(message).toMatch(typeof culprit === "string" ? literal(culprit) : culprit);
  });

  const literal = (text: string) => new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));

  test("each truncation and each extension of a file", () => {
    const file = encodeSafetensors(
      {
        w: { dtype: "F32", shape: [2, 3], data: new Float32Array(6) },
        ids: { dtype: "I64", shape: [2], data: new BigInt64Array(2) },
        byte: { dtype: "U8", shape: [], data: new Uint8Array(1) },
      },
      { made: "by hand" },
    );
    expect(decodeSafetensors(file).tensors.size).toBe(3);
    for (let length = 0; length < file.length; length++) {
      expect(refusal(() => decodeSafetensors(file.slice(0, length), "w.safetensors"))).toContain("w.safetensors");
    }
    const longer = new Uint8Array(file.length + 1);
    longer.set(file);
    refusal(() => decodeSafetensors(longer));
  });

  test("any bytes changed anywhere: read or refused in a sentence, never another error", () => {
    const file = encodeSafetensors({ a: { dtype: "F32", shape: [2], data: Float32Array.of(1, 2) } }, { k: "v" });
    const edits = fc.array(fc.tuple(fc.nat(file.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(edits, (changes) => {
        const bad = file.slice();
        for (const [at, byte] of changes) bad[at] = byte;
        try {
          decodeSafetensors(bad);
        } catch (error) {
          expect(error).toBeInstanceOf(UserError);
        }
      }),
      { numRuns: 3000 },
    );
  });
});

test("names of the object prototype are names like any other", () => {
  const tensor = f32([1], 0, 4);
  const header = `{"__proto__":${JSON.stringify(tensor)},"__metadata__":{"__proto__":"p","constructor":"c"}}`;
  const { tensors, metadata } = decodeSafetensors(fileOf(header, 4));
  expect([...tensors.keys()]).toEqual(["__proto__"]);
  expect(Object.entries(metadata)).toEqual([
    ["__proto__", "p"],
    ["constructor", "c"],
  ]);
  expect(({} as Record<string, unknown>).dtype).toBeUndefined();
  expect(metadata.toString).toBeUndefined();
});

describe("the writer refuses what would not be read", () => {
  const good: SafeTensor = { dtype: "F32", shape: [2], data: new Float32Array(2) };
  const cases: [string, string, unknown, ...string[]][] = [
    ["the metadata's name", "__metadata__", good, "__metadata__"],
    ["half a surrogate pair", "a\udc00", good, "Unicode"],
    ["an unknown dtype", "x", { ...good, dtype: "F99" }, '"x"', "F99"],
    ["another array than the dtype's", "x", { ...good, dtype: "F64" }, '"x"', "Float64Array"],
    ["a shape that does not fit", "x", { ...good, shape: [3] }, '"x"', "[3]", "2 elements"],
    ["a shape below zero", "x", { ...good, shape: [-1, -2] }, '"x"', "[-1,-2]"],
    ["no shape", "x", { ...good, shape: undefined }, '"x"', "undefined"],
  ];
  test.each(cases)("%s", (_what, name, tensor, ...culprits) => {
    const message = refusal(() => encodeSafetensors({ [name]: tensor as SafeTensor }));
    for (const culprit of culprits) expect(message).toContain(culprit);
  });

  test("metadata that is no string", () => {
    expect(refusal(() => encodeSafetensors({}, { step: 3 as unknown as string }))).toContain('"step" is 3');
    expect(refusal(() => encodeSafetensors({}, { step: "\ud800" }))).toContain('"step"');
  });
});

describe("expectTensor", () => {
  const { tensors } = decodeSafetensors(
    encodeSafetensors({
      "rnn.weight": { dtype: "F16", shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
      ids: { dtype: "I64", shape: [1], data: BigInt64Array.of(5n) },
    }),
  );
  test("gives the tensor asked for", () => {
    expect(expectTensor(tensors, "ids", [1], { dtypes: ["I64"] }).data[0]).toBe(5n);
    expect(expectTensor(tensors, "rnn.weight").shape).toEqual([2, 3]);
  });
  test("expectFloats gives any float dtype as float64, a copy", () => {
    const floats = expectFloats(tensors, "rnn.weight", [2, 3]);
    expect(floats).toEqual(Float64Array.of(1, 2, 3, 4, 5, 6));
    floats[0] = 9;
    expect(expectFloats(tensors, "rnn.weight")[0]).toBe(1);
  });
  const source = "w.safetensors";
  test.each([
    ["a missing name", () => expectTensor(tensors, "rnn.bias", [2], { source }), ['"rnn.bias"', '"rnn.weight", "ids"']],
    [
      "another shape",
      () => expectTensor(tensors, "rnn.weight", [3, 2], { source }),
      ['"rnn.weight"', "[2,3]", "[3,2]"],
    ],
    ["another rank", () => expectTensor(tensors, "rnn.weight", [2, 3, 1], { source }), ["[2,3]", "[2,3,1]"]],
    ["another dtype", () => expectTensor(tensors, "ids", [1], { source, dtypes: ["I32", "U8"] }), ["I64", "I32 or U8"]],
    ["integers for floats", () => expectFloats(tensors, "ids", [1], source), ['"ids"', "I64", "F64 or F32"]],
  ])("%s", (_what, read, culprits) => {
    const message = refusal(read);
    for (const culprit of [source, ...culprits]) expect(message).toContain(culprit);
  });
  test("a file with many tensors lists a few", () => {
    const many = new Map(Array.from({ length: 9 }, (_, i) => [`t${i}`, tensors.get("ids")!]));
    expect(refusal(() => expectTensor(many, "x"))).toContain('"t5" and 3 more');
    expect(refusal(() => expectTensor(new Map(), "x"))).toContain("it holds none");
  });
});

describe("tensors without a dtype", () => {
  test("have that of their array, a list of numbers F64", () => {
    const data = {
      F64: Float64Array.of(1 / 3, Number.NaN),
      F32: Float32Array.of(1 / 3, -0),
      I64: BigInt64Array.of(-1n, 2n),
      I32: Int32Array.of(-1, 2),
      U8: Uint8Array.of(1, 255),
    };
    const plain = Object.fromEntries(Object.entries(data).map(([name, data]) => [name, { shape: [2], data }]));
    const { tensors } = decodeSafetensors(encodeSafetensors({ ...plain, list: { shape: [2, 1], data: [1 / 3, 2] } }));
    for (const [name, array] of Object.entries(data))
      expect(tensors.get(name)).toEqual({ dtype: name, shape: [2], data: array });
    expect(tensors.get("list")).toEqual({ dtype: "F64", shape: [2, 1], data: Float64Array.of(1 / 3, 2) });
    const mixed = new Map<string, Storable>([
      ["a", { shape: [1], data: [7] }],
      ["b", { dtype: "F16", shape: [1], data: Float32Array.of(7) }],
    ]);
    expect([...decodeSafetensors(encodeSafetensors(mixed)).tensors.values()].map(({ dtype }) => dtype)).toEqual([
      "F64",
      "F16",
    ]);
  });

  test("are refused like others", () => {
    expect(refusal(() => encodeSafetensors({ a: { shape: [3], data: [1, 2] } }))).toBe(
      'tensor "a" cannot be written: its shape [3] does not fit its 2 elements.',
    );
    const none = { shape: [1] } as unknown as SafeTensor;
    expect(refusal(() => encodeSafetensors({ a: none }))).toBe(
      'tensor "a" cannot be written: its dtype F64 needs a Float64Array.',
    );
  });

  test.each(["wasm", "reference"] as const)("are what a trainer on %s gives, and starts from", async (backend) => {
    const create = (weights = {}): Promise<Trainer> =>
      createTrainer(sequential({ rnn: recurrent(lstm(3)), head: dense(2) }), {
        loss: mse(),
        optimizer: sgd({ learningRate: 0.1 }),
        batch: 2,
        backend,
        weights,
      });
    const data = arrayBatches({
      inputs: Float64Array.from({ length: 20 }, (_, i) => Math.sin(i)),
      inputShape: [5, 1],
      targets: new Float64Array(40).fill(0.3),
      targetShape: [5, 2],
      shuffle: false,
    });
    const losses = async (trainer: Trainer, steps: number): Promise<number[]> => {
      const all: number[] = [];
      for await (const { loss } of trainer.fit(data, { steps })) all.push(loss);
      return all;
    };
    const first = await create();
    await losses(first, 2);
    const path = join(await temporaryFolder(), "weights.safetensors");
    await writeSafetensors(path, await first.parameters());
    const { tensors } = await readSafetensors(path);
    expect([...tensors.keys()]).toEqual([...first.network.parameters.keys()]);
    expect(tensors.get("rnn.weight_hh_l0")).toMatchObject({
      dtype: backend === "wasm" ? "F32" : "F64",
      shape: [12, 3],
    });
    const weights = Object.fromEntries(
      [...tensors].map(([name, { shape }]) => [name, { shape, data: expectFloats(tensors, name) }]),
    );
    expect(await losses(await create(weights), 2)).toEqual(await losses(first, 4));
  });
});
