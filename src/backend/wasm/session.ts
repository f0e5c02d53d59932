/**
 * A session: variables and compiled programs in one memory (`heap.ts`). Programs of a session run one after another, so
 * they share an arena for their temporaries where it is large enough.
 */
import { UserError } from "../../errors.js";
import type { ElementType, Program, Variable } from "../../program/program.js";
import type { Backend, Executable, HostArray, RunResult, Session } from "../contract.js";
import { createHeap, type Heap } from "./heap.js";
import { emitProgram } from "./module.js";

const BYTES = 4;
/** Up to this many numbers are copied one by one, which makes no object. */
const SMALL = 64;
/** What the alignment of a buffer may add to its bytes. */
const SLACK = 64;

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

/** Memory for temporaries, and which program used it last. */
interface Arena {
  readonly address: number;
  readonly bytes: number;
  latest?: Executable;
}

const sizeOf = (variable: Variable): number => variable.shape.reduce((product, length) => product * length, 1);

export function createWasmSession(backend: Backend, options: SessionOptions): WasmSession {
  let heap: Heap | undefined = createHeap();
  const addresses = new Map<Variable, number>();
  const arenas: Arena[] = [];
  const totals = { variables: 0, temporaries: 0, code: 0 };
  const clock = createClock();

  const alive = (): Heap => {
    if (!heap) throw new UserError("this session is disposed: create a new one");
    return heap;
  };

  /** All of the memory as numbers of a type. */
  const numbersOf = (type: ElementType) => (type === "index" ? alive().words() : alive().floats());

  const addressOf = (variable: Variable): number => {
    const known = addresses.get(variable);
    if (known !== undefined) return known;
    const bytes = sizeOf(variable) * BYTES;
    const address = alive().allocate(bytes, `the variable "${variable.name}"`);
    addresses.set(variable, address);
    totals.variables += bytes;
    if (variable.initial) numbersOf(variable.type).set(variable.initial, address / BYTES);
    return address;
  };

  const arenaOf = (bytes: number, name: string): Arena => {
    let arena = arenas.find((other) => other.bytes >= bytes);
    if (!arena) {
      arena = { address: alive().allocate(bytes, name), bytes };
      arenas.push(arena);
    }
    return arena;
  };

  const copyOut = (address: number, size: number, type: ElementType, into?: HostArray): HostArray => {
    const source = numbersOf(type);
    const begin = address / BYTES;
    const target = into ?? (type === "index" ? new Int32Array(size) : new Float32Array(size));
    if (target.length !== size) throw new Error(`${size} numbers do not fit into an array of ${target.length}`);
    if (size > SMALL) target.set(source.subarray(begin, begin + size));
    else for (let i = 0; i < size; i++) target[i] = source[begin + i]!;
    return target;
  };
  const readNow = (variable: Variable, into?: HostArray): HostArray =>
    copyOut(addressOf(variable), sizeOf(variable), variable.type, into);

  /** What the plan takes with everything new in it, checked before anything is allocated. */
  const checkPlan = (program: Program, name: string): void => {
    const variables = new Set(program.buffers.flatMap(({ variable }) => variable ?? []));
    const fresh = [...variables].filter((variable) => !addresses.has(variable));
    const bytes = fresh.reduce((sum, variable) => sum + sizeOf(variable) * BYTES + SLACK, program.plan.size * BYTES);
    alive().reserve(bytes, name);
  };

  async function compile(program: Program): Promise<Executable> {
    const { memory, constantAddress } = alive();
    const name = `the program "${program.name}"`;
    checkPlan(program, name);
    const buffers = new Map(program.buffers.map((buffer) => [buffer.id, buffer]));
    for (const { variable } of program.buffers) if (variable) addressOf(variable);
    let arena: Arena | undefined;
    const { bytes, labels } = emitProgram({
      program,
      relaxed: options.relaxed,
      profile: options.profile,
      constantAddress,
      variableAddress: (id) => addressOf(buffers.get(id)!.variable!),
      arena(size) {
        arena = arenaOf(size, name);
        return arena.address;
      },
    });
    totals.temporaries += program.plan.size * BYTES;
    totals.code += bytes.length;
    const module = await compileOnce(bytes, options.compile ?? WebAssembly.compile);
    const instance = await WebAssembly.instantiate(module, { host: { memory, mark: clock.marker(labels) } });
    const runProgram = instance.exports.run as () => number;
    let last: RunResult = "done";

    const executable: Executable = {
      program,
      run() {
        alive();
        if (options.profile) clock.start();
        last = runProgram() === 0 ? "done" : "refused";
        arena!.latest = executable;
        return last;
      },
      settled: async () => last,
      async peek(id) {
        const buffer = buffers.get(id);
        if (!buffer) throw new Error(`${name} has no buffer ${id}`);
        if (buffer.variable) return readNow(buffer.variable);
        if (arena!.latest !== executable)
          throw new Error(`${name} was not the last to run: its temporaries are overwritten`);
        return copyOut(arena!.address + program.plan.offsets.get(id)! * BYTES, buffer.size, buffer.type);
      },
    };
    return executable;
  }

  return {
    backend,
    compile,
    write(variable, data, offset = 0) {
      const size = sizeOf(variable);
      if (offset < 0 || offset + data.length > size) {
        throw new Error(`"${variable.name}" holds ${size} numbers: ${data.length} from number ${offset} on do not fit`);
      }
      const begin = addressOf(variable) / BYTES + offset;
      numbersOf(variable.type).set(data, begin);
    },
    readNow,
    read: async (variable, into) => readNow(variable, into),
    memory: () => ({
      variables: totals.variables,
      temporaries: totals.temporaries,
      total: alive().memory.buffer.byteLength + totals.code,
    }),
    profile: clock.profile,
    dispose() {
      heap = undefined;
      addresses.clear();
      arenas.length = 0;
    },
  };
}

/** Adds up the time between marks, by label. */
function createClock() {
  const times = new Map<string, { calls: number; milliseconds: number }>();
  let since = 0;
  return {
    start(): void {
      since = performance.now();
    },
    marker:
      (labels: readonly string[]) =>
      (index: number): void => {
        const now = performance.now();
        const label = labels[index]!;
        const entry = times.get(label) ?? { calls: 0, milliseconds: 0 };
        times.set(label, { calls: entry.calls + 1, milliseconds: entry.milliseconds + now - since });
        since = performance.now();
      },
    profile: (): ProfileEntry[] =>
      [...times]
        .map(([label, entry]) => ({ label, ...entry }))
        .sort((one, other) => other.milliseconds - one.milliseconds),
  };
}
