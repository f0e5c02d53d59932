/**
 * What compiling has made, by what it was made of: a second trainer of the same shapes only traces, and has its own variables in a
 * program that is there already. The last few are kept.
 */
import type { ProgramOptions } from "../../program/lower.js";
import type { Program, Variable } from "../../program/program.js";
import { onVariables, structureOf, withoutNumbers } from "../../program/structure.js";
import { type Code, toBytes } from "./assembler/encoding.js";
import { type EmittedModule, emitProgram, type ModuleRequest } from "./module.js";

/** Makes a module of its bytes. */
export type CompileModule = (bytes: Uint8Array<ArrayBuffer>) => WebAssembly.Module | Promise<WebAssembly.Module>;

/** The value of `key`, which is now the latest; of `most` others the one not asked for longest goes. */
function latest<V>(map: Map<string, V>, key: string, most: number, make: () => V): V {
  const value = map.has(key) ? map.get(key)! : make();
  map.delete(key);
  if (map.size >= most) map.delete(map.keys().next().value!);
  map.set(key, value);
  return value;
}

/** Emitted code without the code itself. */
export interface Emitted extends Omit<EmittedModule, "code"> {
  readonly bytes: number;
  readonly module: Promise<WebAssembly.Module>;
}

/** Constants, and where the code expects them. */
type Constants = readonly (readonly [bits: number, address: number])[];

export interface Lowered {
  /** One for each worker. */
  readonly programs: readonly Program[];
  /** By the places of its variables. */
  readonly emitted: Map<string, Emitted & { readonly constants: Constants }>;
}

const lowered = new Map<string, Lowered & { readonly variables: readonly Variable[] }>();
const PROGRAMS_KEPT = 16;

/** `make` where there is no program of the same structure and `settings`. */
export function lowerOnce(source: ProgramOptions, settings: unknown, make: () => readonly Program[]): Lowered {
  const { key, variables } = structureOf(source);
  const found = latest(lowered, JSON.stringify(settings) + key, PROGRAMS_KEPT, () => {
    // Without what they hold: the cache is no reason to keep a model's weights.
    const bare = variables.map(withoutNumbers);
    return { variables: bare, programs: onVariables(make(), variables, bare), emitted: new Map() };
  });
  return { programs: onVariables(found.programs, found.variables, variables), emitted: found.emitted };
}

/** Compiled modules by their code. */
const compiled = new Map<Code, Promise<WebAssembly.Module>>();
const MODULES_KEPT = 32;

/** Emits a program, or finds it in `known`, emitted for the same places. */
export function emitOnce(request: ModuleRequest, known: Lowered["emitted"], compile: CompileModule): Emitted {
  const { program, constantAddress, variableAddress } = request;
  const places = [program.shard?.rows, ...program.buffers.map(({ variable }) => variable && variableAddress(variable))];
  const key = places.join();
  const before = known.get(key);
  if (before?.constants.every(([bits, address]) => constantAddress(bits) === address)) return before;
  const constants = new Map<number, number>();
  const { code, memory, labels } = emitProgram({
    ...request,
    constantAddress(bits) {
      const address = constantAddress(bits);
      constants.set(bits, address);
      return address;
    },
  });
  const module = latest(compiled, code, MODULES_KEPT, async () => compile(toBytes(code)));
  const emitted = { memory, labels, bytes: code.length, module, constants: [...constants] };
  known.set(key, emitted);
  module.catch(() => {
    compiled.delete(code);
    known.delete(key);
  });
  return emitted;
}
