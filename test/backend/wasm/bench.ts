/**
 * Speed of single kernels beside a bare multiply-add loop measured in the same minutes:
 * `npx tsx test/backend/wasm/bench.ts [--revectorize] [part of a name …]`. One core.
 */

import { toBytes } from "../../../src/backend/wasm/assembler/encoding.js";
import { compileOptimized, enableRelaxedSimd, enableRevectorize } from "../../../src/backend/wasm/flags-node.js";
import * as rare from "../../../src/backend/wasm/kernels/rare.js";
import { emitProgram } from "../../../src/backend/wasm/module.js";
import type { Instruction, Kernel, Program, Statement, View } from "../../../src/program/program.js";
import { peakLoop, type Timed } from "../../bench/peak.js";

enableRelaxedSimd();
const revectorized = process.argv.includes("--revectorize") && enableRevectorize();

/** Processor time, so that what else runs on the machine is not counted. */
const seconds = (call: () => void): number => {
  const before = process.cpuUsage();
  call();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
};

/** Microseconds that a slice of a measurement takes, long beside the clock's steps, short beside the host's swings. */
const SLICE = 400e-6;

/** A function that runs for about a slice and answers with operations a second. */
function slice({ operations, call }: Timed): () => number {
  for (let i = 0; i < 5; i++) call();
  const once = Math.min(...Array.from({ length: 5 }, () => seconds(call)));
  const repeats = Math.max(1, Math.round(SLICE / Math.max(once, 1e-6)));
  const all = (): void => {
    for (let i = 0; i < repeats; i++) call();
  };
  return () => (operations * repeats) / Math.max(seconds(all), 1e-6);
}

const quantile = (numbers: number[], q: number): number =>
  [...numbers].sort((x, y) => x - y)[Math.floor(q * (numbers.length - 1))]!;

export interface Speed {
  /** Operations a second: nearly the best of all slices. */
  readonly best: number;
  /** The same of the peak loop, which was run in turns with it. */
  readonly peak: number;
  /** The median ratio of neighbouring slices: the host swings, the ratio does not. */
  readonly share: number;
}

const narrow = peakLoop("narrow");
const wide = peakLoop("wide");
const peakSlice = slice(revectorized ? wide : narrow);

/** The speed beside the peak, the two taken in turns. */
export function measure(timed: Timed, duration = 700): Speed {
  const run = slice(timed);
  const pairs: { own: number; peak: number }[] = [];
  const until = performance.now() + duration;
  while (performance.now() < until) pairs.push({ own: run(), peak: peakSlice() });
  return {
    best: quantile(
      pairs.map(({ own }) => own),
      0.95,
    ),
    peak: quantile(
      pairs.map((pair) => pair.peak),
      0.95,
    ),
    share: quantile(
      pairs.map((pair) => pair.own / pair.peak),
      0.5,
    ),
  };
}

/** Compiles statements over fresh buffers (sizes in elements) full of small numbers. */
export function prepare(sizes: readonly number[], statements: readonly Statement[]): () => void {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
  let top = 65536;
  const allocate = (bytes: number): number => {
    const address = top;
    top += Math.ceil((bytes + 64) / 64) * 64;
    return address;
  };
  const addresses = sizes.map((size) => allocate(4 * size));
  const constants = new Map<number, number>();
  const program: Program = {
    name: "bench",
    buffers: sizes.map((size, id) => ({
      id,
      size,
      type: "float",
      name: `b${id}`,
      kind: "variable",
      variable: { name: `b${id}`, shape: [size], type: "float" },
    })),
    compute: statements,
    guards: [],
    commit: [],
    plan: { offsets: new Map(), size: 0 },
  };
  const { code, memory: wanted } = emitProgram({
    program,
    relaxed: true,
    revectorized,
    shared: false,
    rare,
    constantAddress(bits) {
      if (!constants.has(bits)) constants.set(bits, 64 + 4 * constants.size);
      return constants.get(bits)!;
    },
    variableAddress: ({ name }) => addresses[Number(name.slice(1))]!,
  });
  const arena = allocate(wanted.arena);
  memory.grow(Math.ceil(top / 65536));
  for (const [bits, address] of constants) new Int32Array(memory.buffer)[address / 4] = bits;
  addresses.forEach((address, id) => {
    const numbers = new Float32Array(memory.buffer, address, sizes[id]);
    for (let i = 0; i < numbers.length; i++) numbers[i] = Math.sin(i * 1.7 + id) * 0.1;
  });
  const instance = new WebAssembly.Instance(compileOptimized(toBytes(code)), { host: { memory } });
  const run = instance.exports.run as (...parameters: number[]) => void;
  return () => run(0, 0, arena, 0, 0);
}

const view = (buffer: number, rows: number, columns: number, more: Partial<View> = {}): View => ({
  buffer,
  rows,
  columns,
  offset: 0,
  stride: columns,
  step: 0,
  ...more,
});
const named = (label: string, body: object): Kernel => ({ ...body, label }) as Kernel;

interface Measure {
  readonly name: string;
  readonly sizes: number[];
  readonly statements: Statement[];
  /** Floating-point operations, or elements with `perElement`. */
  readonly work: number;
  readonly perElement?: boolean;
}

/** Steps of a loop: enough that packing before it, which is measured with it, weighs as little as in a training step. */
const T = 20;
function product(
  name: string,
  m: number,
  n: number,
  k: number,
  form: { loop?: boolean; transposeA?: boolean; transposeB?: boolean },
): Measure {
  const { loop = false, transposeA = false, transposeB = false } = form;
  const steps = loop ? T : 1;
  const kernel = named("product", {
    kind: "product",
    a: view(0, transposeA ? k : m, transposeA ? m : k, { step: loop ? m * k : 0 }),
    b: view(1, transposeB ? n : k, transposeB ? k : n),
    // As in a training step: the next kernel takes it from there.
    out: view(2, m, n),
    transposeA,
    transposeB,
    accumulate: false,
  });
  return {
    name,
    sizes: [steps * m * k, n * k, m * n],
    statements: loop ? [{ kind: "loop", name, label: name, steps, reverse: false, body: [kernel] }] : [kernel],
    work: 2 * m * n * k * steps,
  };
}

/** The gates of an LSTM cell, forwards: i f g o [N, 4H] with bias, c [N, H] → c', h', and the gates kept. */
function lstmCell(N: number, H: number): Measure {
  const gate = (i: number) => view(0, N, H, { offset: i * H, stride: 4 * H });
  const bias = (i: number) => view(1, 1, H, { offset: i * H });
  const code: Instruction[] = [];
  const add = (instruction: Instruction): number => 9 + code.push(instruction) - 1;
  const gates = [0, 1, 2, 3].map((i) =>
    add({ op: i === 2 ? "tanh" : "sigmoid", args: [add({ op: "add", args: [i, 4 + i] })] }),
  );
  const [i, f, g, o] = gates as [number, number, number, number];
  const next = add({ op: "add", args: [add({ op: "mul", args: [f, 8] }), add({ op: "mul", args: [i, g] })] });
  const squashed = add({ op: "tanh", args: [next] });
  const h = add({ op: "mul", args: [o, squashed] });
  return {
    name: `chain lstm cell ${N}×${H}`,
    sizes: [N * 4 * H, 4 * H, N * H, N * H, N * H],
    statements: [
      named("cell", {
        kind: "chain",
        rows: N,
        columns: H,
        loads: [gate(0), gate(1), gate(2), gate(3), bias(0), bias(1), bias(2), bias(3), view(2, N, H)],
        code,
        stores: [
          ...gates.map((value, j) => ({ value, to: gate(j), flush: false })),
          { value: next, to: view(3, N, H), flush: true },
          { value: h, to: view(4, N, H), flush: true },
        ],
      }),
    ],
    work: N * H,
    perElement: true,
  };
}

function unary(op: "exp" | "tanh" | "sigmoid" | "log" | "erf" | "softplus", size = 8192): Measure {
  const kernel = named(op, {
    kind: "chain",
    rows: 1,
    columns: size,
    loads: [view(0, 1, size)],
    code: [{ op, args: [0] }],
    stores: [{ value: 1, to: view(1, 1, size), flush: false }],
  });
  return { name: `chain ${op}`, sizes: [size, size], statements: [kernel], work: size, perElement: true };
}

/** Adam on flat memory: weight, gradient, two moments. */
function adam(size: number): Measure {
  const code: Instruction[] = [
    { op: "constant", value: 0.9 }, // 5
    { op: "constant", value: 0.1 }, // 6
    { op: "constant", value: 0.999 }, // 7
    { op: "constant", value: 0.001 }, // 8
    { op: "constant", value: 1e-8 }, // 9
    { op: "mul", args: [2, 5] }, // 10
    { op: "mul", args: [1, 6] }, // 11
    { op: "add", args: [10, 11] }, // 12 m
    { op: "mul", args: [3, 7] }, // 13
    { op: "mul", args: [1, 1] }, // 14
    { op: "mul", args: [14, 8] }, // 15
    { op: "add", args: [13, 15] }, // 16 v
    { op: "sqrt", args: [16] }, // 17
    { op: "add", args: [17, 9] }, // 18
    { op: "div", args: [12, 18] }, // 19
    { op: "mul", args: [19, 4] }, // 20
    { op: "sub", args: [0, 20] }, // 21
  ];
  const full = (buffer: number) => view(buffer, 1, size);
  const kernel = named("adam", {
    kind: "chain",
    rows: 1,
    columns: size,
    loads: [full(0), full(1), full(2), full(3), view(4, 1, 1)],
    code,
    stores: [
      { value: 21, to: full(0), flush: false },
      { value: 12, to: full(2), flush: true },
      { value: 16, to: full(3), flush: true },
    ],
  });
  return {
    name: `chain adam ${size}`,
    sizes: [size, size, size, size, 1],
    statements: [kernel],
    work: size,
    perElement: true,
  };
}

/** A product's shape m × n × k; every form it occurs in. */
const inLoop = (m: number, n: number, k: number): Measure =>
  product(`inside ${m}×${n}×${k} h·Wᵀ`, m, n, k, { loop: true, transposeB: true });
const inLoopBack = (m: number, n: number, k: number): Measure =>
  product(`inside ${m}×${n}×${k} dgates·W`, m, n, k, { loop: true });
const before = (m: number, n: number, k: number): Measure =>
  product(`before ${m}×${n}×${k} x·Wᵀ`, m, n, k, { transposeB: true });
const after = (m: number, n: number, k: number): Measure => product(`after ${m}×${n}×${k} dy·W`, m, n, k, {});
const weightGradient = (m: number, n: number, k: number): Measure =>
  product(`after ${m}×${n}×${k} dyᵀ·x`, m, n, k, { transposeA: true });

/** Shapes of the workloads in test/bench, with one thread and with two. */
export const measures: Measure[] = [
  inLoop(50, 512, 128),
  inLoop(25, 512, 128),
  inLoop(25, 384, 128),
  inLoop(25, 128, 128),
  inLoop(32, 1024, 256),
  inLoop(16, 1024, 256),
  inLoop(16, 2048, 512),
  inLoop(8, 384, 128),
  inLoop(16, 128, 32),
  inLoop(1, 256, 64),
  inLoop(1, 512, 128),
  inLoopBack(50, 128, 512),
  inLoopBack(25, 128, 512),
  inLoopBack(25, 128, 384),
  inLoopBack(16, 256, 1024),
  inLoopBack(16, 512, 2048),
  inLoopBack(8, 128, 384),
  inLoopBack(16, 32, 128),
  inLoopBack(1, 64, 256),
  before(1250, 512, 128),
  before(1024, 2048, 512),
  before(1250, 65, 128),
  before(8000, 384, 2),
  before(384, 128, 1),
  before(384, 1, 32),
  before(100, 65, 64),
  after(1250, 128, 512),
  after(1250, 128, 65),
  after(384, 32, 1),
  weightGradient(512, 128, 1250),
  weightGradient(2048, 512, 1024),
  weightGradient(65, 128, 1250),
  weightGradient(384, 2, 8000),
  weightGradient(128, 1, 384),
  weightGradient(256, 64, 100),
  product("alone 1×512×128 x·Wᵀ", 1, 512, 128, { transposeB: true }),
  product("alone 1×128×512 x·W", 1, 128, 512, {}),
  lstmCell(50, 128),
  lstmCell(25, 128),
  unary("exp"),
  unary("tanh"),
  unary("sigmoid"),
  unary("log"),
  unary("erf"),
  unary("softplus"),
  adam(200_000),
  adam(8192),
];

const giga = (speed: number): string => (speed / 1e9).toFixed(1);
const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;

function report(): void {
  const wanted = process.argv.slice(2).filter((part) => part !== "--revectorize");
  console.log(
    `peak of one core: ${giga(measure(narrow).best)} GFLOP/s, of neighbouring pairs ${giga(measure(wide).best)}`,
  );
  for (const { name, sizes, statements, work, perElement } of measures) {
    if (wanted.length > 0 && !wanted.some((part) => name.includes(part))) continue;
    const { best, peak, share } = measure({ operations: work, call: prepare(sizes, statements) });
    // Elements are also given in cycles of the peak loop (two multiply-adds of four lanes each), whatever the clock.
    const figure = perElement
      ? `${(1e9 / best).toFixed(3).padStart(6)} ns an element, ${(1 / 16 / share).toFixed(2)} cycles`
      : `${giga(best).padStart(6)} GFLOP/s, ${percent(best / peak)} of the peak at best, ${percent(share)} in the median`;
    console.log(`${name.padEnd(30)} ${figure}`);
  }
}

if (import.meta.url === `file://${process.argv[1]}`) report();
