/** A golden case: what it says it is, and its tensors. Whatever is not understood is refused, never passed over. */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { decodeSafetensors, type SafeTensor } from "../../src/files/safetensors.js";
import type { Shape } from "../../src/graph/shape.js";

export interface GoldenCase {
  readonly name: string;
  readonly fields: Fields;
  readonly tensors: Tensors;
}

/** Reads the case in a file; throws where it cannot. */
export async function readCase(path: string): Promise<GoldenCase> {
  const name = basename(path, ".safetensors");
  const { tensors, metadata } = decodeSafetensors(new Uint8Array(await readFile(path)), basename(path));
  if (metadata.case === undefined) throw new Error("its metadata holds no case");
  return { name, fields: createFields(parsed(metadata.case), "the case"), tensors: createTensors(tensors) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`its case is not JSON: ${(error as Error).message}`);
  }
}

/** What a field may hold: gives the value, or undefined where it does not fit. */
export interface Kind<T> {
  readonly what: string;
  read(value: unknown): T | undefined;
}

export const count: Kind<number> = {
  what: "a whole number of at least 1",
  read: (value) => (Number.isInteger(value) && (value as number) >= 1 ? (value as number) : undefined),
};
export const number: Kind<number> = {
  what: "a number",
  read: (value) => (Number.isFinite(value) ? (value as number) : undefined),
};
export const flag: Kind<boolean> = {
  what: "true or false",
  read: (value) => (typeof value === "boolean" ? value : undefined),
};
export const oneOf = <const T extends string>(choices: readonly T[]): Kind<T> => ({
  what: `one of ${choices.join(", ")}`,
  read: (value) => choices.find((choice) => choice === value),
});
export const listOf = <T>(kind: Kind<T>): Kind<readonly T[]> => ({
  what: `a list, each ${kind.what}`,
  read(value) {
    if (!Array.isArray(value)) return undefined;
    const items = value.map((item) => kind.read(item));
    return items.includes(undefined) ? undefined : (items as T[]);
  },
});
const object: Kind<object> = {
  what: "an object",
  read: (value) => (typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined),
};

export interface Fields {
  /** The names that are there. */
  readonly names: readonly string[];
  has(name: string): boolean;
  /** A field that must be there. */
  get<T>(name: string, kind: Kind<T>): T;
  /** A field that may be missing or null. */
  maybe<T>(name: string, kind: Kind<T>): T | undefined;
  /** An object inside. */
  within(name: string): Fields;
  /** Throws where a field has not been asked for. */
  finish(): void;
}

function createFields(value: unknown, where: string): Fields {
  const found = object.read(value);
  if (!found) throw new Error(`${where} is ${JSON.stringify(value)}, not an object`);
  const values = new Map<string, unknown>(Object.entries(found));
  const known = new Set<string>();
  const inner: Fields[] = [];
  const fields: Fields = {
    names: [...values.keys()],
    has: (name) => values.has(name),
    get(name, kind) {
      const result = fields.maybe(name, kind);
      if (result === undefined) throw new Error(`${where} has no "${name}"`);
      return result;
    },
    maybe(name, kind) {
      known.add(name);
      const given = values.get(name) ?? undefined;
      if (given === undefined) return undefined;
      const result = kind.read(given);
      if (result === undefined) throw new Error(`"${name}" of ${where} is ${JSON.stringify(given)}, not ${kind.what}`);
      return result;
    },
    within(name) {
      known.add(name);
      const made = createFields(values.get(name), `"${name}" of ${where}`);
      inner.push(made);
      return made;
    },
    finish() {
      const strange = [...values.keys()].filter((name) => !known.has(name));
      if (strange.length > 0) throw new Error(`${where} has fields that are not understood: ${strange.join(", ")}`);
      for (const part of inner) part.finish();
    },
  };
  return fields;
}

export interface Tensors {
  has(name: string): boolean;
  /** Names that begin so. */
  named(prefix: string): string[];
  /** The figures of a tensor that must be there; with `shape`, in this shape. */
  floats(name: string, shape?: Shape): Float64Array;
  indices(name: string, shape?: Shape): Int32Array;
  shape(name: string): Shape;
  /** Throws where a tensor has not been asked for. */
  finish(): void;
}

function createTensors(tensors: ReadonlyMap<string, SafeTensor>): Tensors {
  const known = new Set<string>();
  const find = (name: string): SafeTensor => {
    known.add(name);
    const tensor = tensors.get(name);
    if (!tensor) throw new Error(`it has no tensor "${name}"`);
    return tensor;
  };
  const checkShape = (name: string, tensor: SafeTensor, shape: Shape | undefined): void => {
    if (shape && JSON.stringify(tensor.shape) !== JSON.stringify(shape))
      throw new Error(`tensor "${name}" has shape [${tensor.shape}], not [${shape}]`);
  };
  return {
    has: (name) => tensors.has(name),
    named: (prefix) => [...tensors.keys()].filter((name) => name.startsWith(prefix)),
    shape: (name) => find(name).shape,
    floats(name, shape) {
      const tensor = find(name);
      if (tensor.dtype !== "F64") throw new Error(`tensor "${name}" is ${tensor.dtype}, not F64`);
      checkShape(name, tensor, shape);
      if (!tensor.data.every(Number.isFinite)) throw new Error(`tensor "${name}" holds figures that are not finite`);
      return tensor.data;
    },
    indices(name, shape) {
      const tensor = find(name);
      if (tensor.dtype !== "I64") throw new Error(`tensor "${name}" is ${tensor.dtype}, not I64`);
      checkShape(name, tensor, shape);
      return Int32Array.from(tensor.data, Number);
    },
    finish() {
      const strange = [...tensors.keys()].filter((name) => !known.has(name));
      if (strange.length > 0) throw new Error(`it has tensors that are not understood: ${strange.join(", ")}`);
    },
  };
}
