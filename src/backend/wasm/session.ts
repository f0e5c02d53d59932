/**
 * A session: one WebAssembly memory, from the bottom up: constants, then variables and arenas in the order in which
 * they were asked for. Nothing moves, so addresses are numbers in the code; the memory grows at its end.
 *
 * Programs of one session run one after another, so they share an arena where it is large enough.
 */
import { UserError } from "../../errors.js";
import type { Program, Variable } from "../../program/program.js";
import type { Backend, Executable, HostArray, RunResult, Session } from "../contract.js";
import { emitProgram } from "./module.js";

const PAGE = 65536;
const MAX_PAGES = 65536;
const ALIGNMENT = 64;
/** Kernels may read this far past the end of a buffer (never write). */
const PADDING = 64;
const CONSTANT_BLOCK = 4096;
const BYTES = 4;
const SMALL = 64;
const MIB = 2 ** 20;

/** Makes a module of its bytes. */
export type CompileModule = (bytes: Uint8Array<ArrayBuffer>) => WebAssembly.Module | Promise<WebAssembly.Module>;

export interface SessionOptions {
  readonly relaxed: boolean;
  readonly profile?: boolean;
  readonly compile?: CompileModule;
}

/** Seconds spent in a kernel since the session began. */
export interface ProfileEntry {
  readonly label: string;
  readonly calls: number;
  readonly milliseconds: number;
}

export interface WasmSession extends Session {
  readNow(variable: Variable, into?: HostArray): HostArray;
  /** Time by kernel, longest first; empty unless the session was created with `profile`. */
  profile(): ProfileEntry[];
}

/** Compiled modules by their bytes: a second trainer of the same shapes starts at once. */
const compiled = new Map<string, Promise<WebAssembly.Module>>();
const MODULES_KEPT = 32;

async function compileOnce(bytes: Uint8Array<ArrayBuffer>, compile: CompileModule): Promise<WebAssembly.Module> {
  const key = new TextDecoder("latin1").decode(bytes);
  const known = compiled.get(key);
  if (known) return known;
  const module = (async () => compile(bytes))();
  if (compiled.size >= MODULES_KEPT) compiled.delete(compiled.keys().next().value!);
  compiled.set(key, module);
  module.catch(() => compiled.delete(key));
  return module;
}

interface Region {
  readonly address: number;
  readonly bytes: number;
}

const sizeOf = (variable: Variable): number => variable.shape.reduce((product, length) => product * length, 1);
const mebibytes = (bytes: number): string => (bytes / MIB).toFixed(bytes < 10 * MIB ? 1 : 0);

export function createWasmSession(backend: Backend, options: SessionOptions): WasmSession {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: MAX_PAGES });
  const variables = new Map<Variable, Region>();
  const constants = new Map<number, number>();
  const arenas: Region[] = [];
  const totals = { variables: 0, temporaries: 0, code: 0 };
  const times = new Map<string, { calls: number; milliseconds: number }>();
  let top = ALIGNMENT;
  let constantsEnd = 0;
  let nextConstant = 0;
  let disposed = false;
  let floats = new Float32Array(memory.buffer);
  let words = new Int32Array(memory.buffer);
  let latest: Executable | undefined;

  const alive = (): void => {
    if (disposed) throw new UserError("this session is disposed: create a new one");
  };
  const refreshViews = (): void => {
    if (floats.buffer === memory.buffer) return;
    floats = new Float32Array(memory.buffer);
    words = new Int32Array(memory.buffer);
  };

  const refuse = (bytes: number, name: string, limit: string): never => {
    throw new UserError(`${name} needs ${mebibytes(bytes)} MiB of memory, but ${limit}`);
  };
  /** Throws when `bytes` more do not fit into what WebAssembly can address. */
  const reserve = (bytes: number, name: string): void => {
    if (top + bytes + PADDING > MAX_PAGES * PAGE) {
      const held = top > MIB ? `, ${mebibytes(top)} of which are taken` : "";
      refuse(bytes, name, `WebAssembly can address ${mebibytes(MAX_PAGES * PAGE)} MiB${held}`);
    }
  };
  const allocate = (bytes: number, name: string): Region => {
    reserve(bytes, name);
    const region = { address: top, bytes };
    const end = Math.ceil((top + bytes) / ALIGNMENT) * ALIGNMENT;
    const missing = end + PADDING - memory.buffer.byteLength;
    if (missing > 0) {
      try {
        memory.grow(Math.ceil(missing / PAGE));
      } catch {
        refuse(bytes, name, "this machine does not give that much to WebAssembly");
      }
      refreshViews();
    }
    top = end;
    return region;
  };

  const constantAddress = (bits: number): number => {
    const known = constants.get(bits);
    if (known !== undefined) return known;
    if (nextConstant === constantsEnd) {
      nextConstant = allocate(CONSTANT_BLOCK, "a block of constants").address;
      constantsEnd = nextConstant + CONSTANT_BLOCK;
    }
    const address = nextConstant;
    nextConstant += BYTES;
    words[address / BYTES] = bits;
    constants.set(bits, address);
    return address;
  };

  const regionOf = (variable: Variable): Region => {
    let region = variables.get(variable);
    if (!region) {
      const bytes = sizeOf(variable) * BYTES;
      region = allocate(bytes, `the variable "${variable.name}"`);
      variables.set(variable, region);
      totals.variables += bytes;
      if (variable.initial) (variable.type === "index" ? words : floats).set(variable.initial, region.address / BYTES);
    }
    return region;
  };

  const arenaOf = (bytes: number, name: string): number => {
    const known = arenas.find((arena) => arena.bytes >= bytes);
    if (known) return known.address;
    const region = allocate(bytes, name);
    arenas.push(region);
    return region.address;
  };

  const copyOut = (address: number, size: number, type: "float" | "index", into?: HostArray): HostArray => {
    const source = type === "index" ? words : floats;
    const begin = address / BYTES;
    const target = into ?? (type === "index" ? new Int32Array(size) : new Float32Array(size));
    if (target.length !== size) throw new Error(`${size} numbers do not fit into an array of ${target.length}`);
    // A subarray is a new object: a loss is read without one.
    if (size > SMALL) target.set(source.subarray(begin, begin + size));
    else for (let i = 0; i < size; i++) target[i] = source[begin + i]!;
    return target;
  };
  const readNow = (variable: Variable, into?: HostArray): HostArray => {
    alive();
    return copyOut(regionOf(variable).address, sizeOf(variable), variable.type, into);
  };

  /** What the plan takes with everything new in it, checked before anything is allocated. */
  const checkPlan = (program: Program): void => {
    const fresh = program.buffers.filter((buffer) => buffer.variable && !variables.has(buffer.variable));
    const bytes = new Map(fresh.map((buffer) => [buffer.variable!, sizeOf(buffer.variable!) * BYTES]));
    const total = [...bytes.values()].reduce((sum, one) => sum + one + ALIGNMENT, program.plan.size * BYTES);
    reserve(total, `the program "${program.name}"`);
  };

  async function compile(program: Program): Promise<Executable> {
    alive();
    checkPlan(program);
    const name = `the program "${program.name}"`;
    const buffers = new Map(program.buffers.map((buffer) => [buffer.id, buffer]));
    for (const buffer of program.buffers) if (buffer.variable) regionOf(buffer.variable);
    const { bytes, arena, labels } = emitProgram({
      program,
      relaxed: options.relaxed,
      profile: options.profile,
      constantAddress,
      variableAddress: (id) => regionOf(buffers.get(id)!.variable!).address,
      arena: (size) => arenaOf(size, name),
    });
    totals.temporaries += program.plan.size * BYTES;
    totals.code += bytes.length;
    const module = await compileOnce(bytes, options.compile ?? WebAssembly.compile);
    const instance = await WebAssembly.instantiate(module, { host: { memory, mark: marker(labels) } });
    const runProgram = instance.exports.run as () => number;
    let last: RunResult = "done";

    const executable: Executable = {
      program,
      run() {
        if (disposed) alive();
        if (options.profile) startClock();
        last = runProgram() === 0 ? "done" : "refused";
        latest = executable;
        return last;
      },
      settled: async () => last,
      async peek(id) {
        alive();
        const buffer = buffers.get(id);
        if (!buffer) throw new Error(`${name} has no buffer ${id}`);
        if (buffer.variable) return readNow(buffer.variable);
        if (latest !== executable) throw new Error(`${name} was not the last to run: its temporaries are overwritten`);
        return copyOut(arena + program.plan.offsets.get(id)! * BYTES, buffer.size, buffer.type);
      },
    };
    return executable;
  }

  let clock = 0;
  const startClock = (): void => {
    clock = performance.now();
  };
  const marker = (labels: readonly string[]) => (index: number) => {
    const now = performance.now();
    const label = labels[index]!;
    const entry = times.get(label) ?? { calls: 0, milliseconds: 0 };
    times.set(label, { calls: entry.calls + 1, milliseconds: entry.milliseconds + now - clock });
    clock = performance.now();
  };

  return {
    backend,
    compile,
    write(variable, data, offset = 0) {
      alive();
      const size = sizeOf(variable);
      if (offset < 0 || offset + data.length > size) {
        throw new Error(`"${variable.name}" holds ${size} numbers: ${data.length} from number ${offset} on do not fit`);
      }
      const begin = regionOf(variable).address / BYTES + offset;
      (variable.type === "index" ? words : floats).set(data, begin);
    },
    readNow,
    read: async (variable, into) => readNow(variable, into),
    memory: () => ({
      variables: totals.variables,
      temporaries: totals.temporaries,
      total: memory.buffer.byteLength + totals.code,
    }),
    profile: () =>
      [...times]
        .map(([label, entry]) => ({ label, ...entry }))
        .sort((one, other) => other.milliseconds - one.milliseconds),
    dispose() {
      disposed = true;
      variables.clear();
      floats = new Float32Array(0);
      words = new Int32Array(0);
    },
  };
}
