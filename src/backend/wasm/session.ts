/**
 * A session: variables and compiled programs in one memory (`heap.ts`). Programs of a session run one after another, so
 * they share an arena for their temporaries where it is large enough.
 */
import { remember } from "../../graph/maps.js";
import { initialOf } from "../../graph/variable.js";
import { lower, type ProgramOptions } from "../../program/lower.js";
import { kernelsOf, type Program, type Variable } from "../../program/program.js";
import type { Backend, Executable, HostArray, ProfileEntry, RunResult, Session } from "../contract.js";
import { turn } from "../turn.js";
import { type Code, toBytes } from "./assembler/encoding.js";
import { type Lowered, lowerOnce } from "./cache.js";
import { compiling } from "./features.js";
import { createHeap, type Heap } from "./heap.js";
import { usesRare } from "./kernels/kernels.js";
import { type EmittedModule, emitProgram } from "./module.js";
import type { Part } from "./threads/crew.js";
import { createLocalStore, type Store } from "./threads/store.js";
import { CREW_BYTES, controlBytes, disposed, isPage, wantsShared } from "./threads/thread.js";

const BYTES = 4;
/** What the alignment of a buffer may add to its bytes. */
const SLACK = 64;

/** Loaded when it is used: many pages have one thread, few functions, and no programs but those that `lower` makes. */
const onDemand = {
  remote: () => import("./threads/remote.js"),
  crew: () => import("./threads/crew.js"),
  sharing: () => import("./threads/sharing.js"),
  rare: () => import("./kernels/rare.js"),
  inspection: () => import("./inspection.js"),
};

/** Makes a module of its bytes. */
export type CompileModule = (bytes: Uint8Array<ArrayBuffer>) => WebAssembly.Module | Promise<WebAssembly.Module>;

export interface SessionOptions {
  readonly relaxed: boolean;
  readonly revectorized: boolean;
  /** The most threads that run a program. */
  readonly threads: number;
  /** Whether memory and programs are in a worker that does not share them; one thread only. */
  readonly remote?: boolean;
  /** Multiplications and additions from which they do. */
  readonly shareFrom?: number | undefined;
  readonly profile?: boolean | undefined;
  readonly compile?: CompileModule | undefined;
}

export interface WasmSession extends Session {
  /** The most threads that run a program; one that is small, or mixes the rows of its batch, runs on one. */
  readonly threads: number;
  /** Time by kernel, longest first; empty unless the session was created with `profile`. */
  profile(): ProfileEntry[];
}

/**
 * At once where that holds nobody up: V8 translates a function when it is first called, so that this takes a millisecond or two,
 * while in the background it has to wait for what the engine is optimising.
 */
const compileModule: CompileModule = (bytes) => (isPage() ? WebAssembly.compile(bytes) : new WebAssembly.Module(bytes));

/** Compiled modules by their code. */
const compiled = new Map<string, Promise<WebAssembly.Module>>();
const MODULES_KEPT = 32;

async function compileOnce(code: Code, compile: CompileModule): Promise<WebAssembly.Module> {
  const known = compiled.get(code);
  if (known) return known;
  const module = (async () => compiling(() => compile(toBytes(code))))();
  remember(compiled, code, module, MODULES_KEPT);
  module.catch(() => compiled.delete(code));
  return module;
}

/** Memory for temporaries, and which program used it last. */
interface Arena {
  readonly address: number;
  readonly bytes: number;
  latest?: Executable;
}

/** Not the graph's own: called by everyone, that one is not inlined, and a step would leave 88 bytes behind. */
const sizeOf = (variable: Variable): number => variable.shape.reduce((product, length) => product * length, 1);

export async function createWasmSession(backend: Backend, options: SessionOptions): Promise<WasmSession> {
  const { threads } = options;
  const shared = !options.remote && wantsShared(threads);
  const remote = options.remote ? (await onDemand.remote()).createRemote() : undefined;
  const local = remote ? undefined : createLocalStore(shared);
  const store: Store = remote?.store ?? local!;
  let heap: Heap | undefined = createHeap(store);
  const control = heap.allocate(controlBytes(threads) + CREW_BYTES, "the threads' meeting place");
  // Now and side by side: once programs are compiled, each would have to wait. A page fetches no functions that it may not want.
  const [crew, sharing, atOnce] = await Promise.all([
    remote?.crew ??
      onDemand.crew().then(({ createCrew }) => createCrew(local!.memory, control + controlBytes(threads))),
    threads > 1 ? onDemand.sharing() : undefined,
    isPage() ? undefined : onDemand.rare(),
  ]);
  const addresses = new Map<Variable, number>();
  /** Those that have an address, and not yet what they begin with: that may take a while to draw. */
  const blank = new Set<Variable>();
  const arenas: Arena[] = [];
  const totals = { variables: 0, temporaries: 0, code: 0 };
  // Loaded when it is used.
  const clock = options.profile ? (await onDemand.inspection()).createClock() : undefined;
  const order = createOrder(crew.immediate);

  const alive = (): Heap => {
    if (!heap) throw disposed();
    return heap;
  };

  /** Where it lies, though its first numbers may not be there yet. */
  const placeOf = (variable: Variable): number => {
    const known = addresses.get(variable);
    if (known !== undefined) return known;
    const bytes = sizeOf(variable) * BYTES;
    const address = alive().allocate(bytes, `the variable "${variable.name}"`);
    addresses.set(variable, address);
    totals.variables += bytes;
    blank.add(variable);
    return address;
  };

  const addressOf = (variable: Variable): number => {
    const address = placeOf(variable);
    if (!blank.has(variable)) return address;
    const initial = initialOf(variable);
    if (initial) store.write(address, initial, variable.type);
    blank.delete(variable);
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

  /** A variable's numbers: at once where the memory is at hand. */
  const read = <S extends Store>(from: S, variable: Variable, into?: HostArray) =>
    from.read(addressOf(variable), sizeOf(variable), variable.type, into) as ReturnType<S["read"]>;

  /** What the plan takes with everything new in it, checked before anything is allocated. */
  const checkPlan = (programs: readonly Program[], variables: readonly Variable[], name: string): void => {
    const fresh = variables.filter((variable) => !addresses.has(variable));
    const planned = programs.reduce((sum, { plan }) => sum + plan.size * BYTES, 0);
    alive().reserve(
      fresh.reduce((sum, variable) => sum + sizeOf(variable) * BYTES + SLACK, planned),
      name,
    );
  };

  const programsOf = async (source: Program | ProgramOptions): Promise<Lowered> => {
    if ("compute" in source) {
      (await onDemand.inspection()).checkBounds(source);
      return { programs: [source] };
    }
    const make = (): readonly Program[] =>
      sharing?.sharedByRows(source, threads, options.shareFrom, crew.begin) ?? [lower(source)];
    return lowerOnce(source, { ...options, control }, make);
  };

  async function compile(source: Program | ProgramOptions): Promise<Executable> {
    const { programs, emit = emitProgram } = await programsOf(source);
    if (programs.length > 1) crew.begin(programs.length);
    const team = programs.length > 1 ? sharing?.teamOf(programs.length, control) : undefined;
    const wantsRare = programs.some((program) => kernelsOf(program).some(usesRare));
    const rare = atOnce ?? (wantsRare ? await onDemand.rare() : undefined);
    await turn();
    const { constantAddress } = alive();
    const [program] = programs as [Program];
    const name = `the program "${program.name}"`;
    const variables = program.buffers.flatMap(({ variable }) => variable ?? []);
    checkPlan(programs, variables, name);
    variables.forEach(placeOf);
    const drawWeights = async (): Promise<void> => {
      variables.forEach(addressOf);
    };
    const modules = new Map<Program, EmittedModule & { readonly module: WebAssembly.Module }>();
    for (const shard of new Set(programs)) {
      const request = { ...options, program: shard, shared, team, rare, constantAddress, variableAddress: placeOf };
      const emitted = emit(request);
      totals.code += emitted.code.length;
      await turn();
      const [module] = await Promise.all([compileOnce(emitted.code, options.compile ?? compileModule), drawWeights()]);
      modules.set(shard, { ...emitted, module });
    }
    const emitted = programs.map((shard) => modules.get(shard)!);
    const { labels, memory } = emitted[0]!;
    const exchanged = memory.common + memory.partials * programs.length;
    const arena = arenaOf(
      emitted.reduce((sum, each) => sum + each.memory.arena, exchanged),
      name,
    );
    const common = arena.address;
    let place = common + exchanged;
    let firstRow = 0;
    const parts = programs.map(({ plan, shard }, worker): Part => {
      const { module, memory: own } = emitted[worker]!;
      const parameters = { worker, firstRow, arena: place, common, partials: common + memory.common };
      totals.temporaries += plan.size * BYTES;
      place += own.arena;
      firstRow += shard?.rows ?? 0;
      return { module, parameters };
    });
    const number = await order.next(() => crew.load(parts, clock?.marker(labels)));
    let last: RunResult = "done";
    let pending: Promise<RunResult> | undefined;
    const ended = (code: number): RunResult => {
      last = code === 0 ? "done" : "refused";
      return last;
    };

    const executable: Executable = {
      program,
      threads: programs.length,
      run() {
        alive();
        clock?.start();
        arena.latest = executable;
        if (crew.immediate) return ended(crew.run(number) as number);
        pending = (async () => ended(await order.next(() => crew.run(number))))();
        // Who waits for it is told why it failed; that nobody does is no failure of its own.
        pending.catch(() => undefined);
        return last;
      },
      settled: async () => pending ?? last,
      async peek(id) {
        await pending;
        const { bufferOf } = await onDemand.inspection();
        const buffer = bufferOf(program, id, programs.length === 1 && arena.latest === executable);
        if (buffer.variable) return read(store, buffer.variable);
        return store.read(arena.address + program.plan.offsets.get(id)! * BYTES, buffer.size, buffer.type);
      },
    };
    return executable;
  }

  const session: WasmSession = {
    backend,
    threads,
    compile,
    write(variable, data, offset = 0) {
      const size = sizeOf(variable);
      if (offset < 0 || offset + data.length > size) {
        throw new Error(`"${variable.name}" holds ${size} numbers: ${data.length} from number ${offset} on do not fit`);
      }
      const whole = data.length === size;
      const address = (whole ? placeOf : addressOf)(variable) + offset * BYTES;
      if (whole) blank.delete(variable);
      if (!order.isBusy()) return store.write(address, data, variable.type);
      const copy = Float64Array.from(data);
      order.next(() => store.write(address, copy, variable.type));
    },
    // In a page a program may still be running.
    ...(local && crew.immediate
      ? { readNow: (variable: Variable, into?: HostArray) => read(local, variable, into) }
      : {}),
    read: async (variable, into) => order.next(() => read(store, variable, into)),
    memory() {
      alive();
      const { variables, temporaries, code } = totals;
      return { variables, temporaries, total: store.bytes() + code };
    },
    profile: () => clock?.profile() ?? [],
    dispose() {
      crew.dispose();
      heap = undefined;
      addresses.clear();
      blank.clear();
      arenas.length = 0;
    },
  };
  // What is kept by the session's functions, so that they may be taken out of it.
  forgotten.register(addresses, crew.dispose);
  return session;
}

/** Threads end with a session that nobody disposed of, when the engine collects it. */
const forgotten = /* @__PURE__ */ new FinalizationRegistry((disposeOfCrew: () => void) => disposeOfCrew());

/** Keeps what is asked for in order where programs run in the background: at once while none does, else after it. */
function createOrder(immediate: boolean) {
  let last: Promise<unknown> | undefined;
  return {
    isBusy: (): boolean => last !== undefined,
    next<T>(act: () => T | Promise<T>): T | Promise<T> {
      const result = last ? last.then(act) : act();
      if (immediate || !(result instanceof Promise)) return result;
      const end = (): void => {
        if (last === over) last = undefined;
      };
      const over = result.then(end, end);
      last = over;
      return result;
    },
  };
}
