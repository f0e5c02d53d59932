/**
 * Speed of single kernels beside a bare multiply-add loop measured in the same minutes:
 * `npx tsx test/backend/wasm/bench.ts [part of a name …]`. One core.
 */

import { compileOptimized, enableRelaxedSimd } from "../../../src/backend/wasm/flags-node.js";
import { i32 } from "../../../src/backend/wasm/instructions.js";
import { emitProgram } from "../../../src/backend/wasm/module.js";
import type { Instruction, Kernel, Program, Statement, View } from "../../../src/program/program.js";
import { build } from "./emit.js";

enableRelaxedSimd();

/** Ten independent chains of multiply-adds in registers: operations of one call, and the call. */
function peakLoop(): { operations: number; call: () => void } {
  const ITERATIONS = 20_000;
  const { exports } = build(true, 1, (module) => {
    const ref = module.function("peak", [], undefined, (f) => {
      const sums = Array.from({ length: 10 }, (_, i) => f.let(f.constant(i)));
      const [x, y] = [f.constant(0.999), f.constant(0.001)];
      f.count(0, ITERATIONS, 1, () => {
        for (const sum of sums) f.set(sum, f.madd(sum, x, y));
      });
      for (const sum of sums) f.store(i32.const(32768), sum);
    });
    module.export("run", ref);
  });
  return { operations: 10 * 4 * 2 * ITERATIONS, call: () => exports.run!() };
}

/** Processor time, so that what else runs on the machine is not counted. */
const seconds = (call: () => void): number => {
  const before = process.cpuUsage();
  call();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
};

const quantile = (numbers: number[], q: number): number =>
  numbers.sort((x, y) => x - y)[Math.floor(q * (numbers.length - 1))]!;

/** Seconds of a call and the peak in operations a second, taken in turns: nearly the best of each, since the host swings. */
export function measure(call: () => void, duration = 1000): { seconds: number; peak: number } {
  const peak = peakLoop();
  const warm = performance.now();
  while (performance.now() - warm < 200) {
    call();
    peak.call();
  }
  const [calls, peaks]: [number[], number[]] = [[], []];
  const repeats = Math.max(1, Math.ceil(0.0003 / Math.max(seconds(call), 1e-6)));
  const until = performance.now() + duration;
  while (performance.now() < until) {
    for (let i = 0; i < 4; i++) peaks.push(seconds(peak.call));
    calls.push(
      seconds(() => {
        for (let i = 0; i < repeats; i++) call();
      }) / repeats,
    );
  }
  return { seconds: quantile(calls, 0.02), peak: peak.operations / quantile(peaks, 0.02) };
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
  const { bytes } = emitProgram({
    program,
    relaxed: true,
    constantAddress(bits) {
      if (!constants.has(bits)) constants.set(bits, 64 + 4 * constants.size);
      return constants.get(bits)!;
    },
    variableAddress: (id) => addresses[id]!,
    arena: allocate,
  });
  memory.grow(Math.ceil(top / 65536));
  for (const [bits, address] of constants) new Int32Array(memory.buffer)[address / 4] = bits;
  addresses.forEach((address, id) => {
    const numbers = new Float32Array(memory.buffer, address, sizes[id]);
    for (let i = 0; i < numbers.length; i++) numbers[i] = Math.sin(i * 1.7 + id) * 0.1;
  });
  const instance = new WebAssembly.Instance(compileOptimized(bytes), { host: { memory } });
  return instance.exports.run as () => void;
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

/** Steps of a loop: short, so that a call often runs undisturbed. */
const T = 2;
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
    out: view(2, m, n, { step: loop ? m * n : 0 }),
    transposeA,
    transposeB,
    accumulate: loop,
  });
  return {
    name,
    sizes: [steps * m * k, n * k, steps * m * n],
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

/** Time-rows (T·N): 2500 in char-lstm-128; on a busy machine a shorter call more often runs undisturbed. */
const ROWS = Number(process.env.ROWS ?? 500);

export const measures: Measure[] = [
  product("in-loop 50×512×128 h·Whhᵀ", 50, 512, 128, { loop: true, transposeB: true }),
  product("in-loop 25×512×128 h·Whhᵀ", 25, 512, 128, { loop: true, transposeB: true }),
  product("in-loop 50×128×512 dgates·Whh", 50, 128, 512, { loop: true }),
  product("in-loop 25×128×512 dgates·Whh", 25, 128, 512, { loop: true }),
  product("in-loop 1×512×128", 1, 512, 128, { loop: true, transposeB: true }),
  product("in-loop 1×256×64", 1, 256, 64, { loop: true, transposeB: true }),
  product("in-loop 32×512×512", 32, 512, 512, { loop: true, transposeB: true }),
  product(`before ${ROWS}×512×128 x·Wihᵀ`, ROWS, 512, 128, { transposeB: true }),
  product(`before ${ROWS}×65×128 logits`, ROWS, 65, 128, { transposeB: true }),
  product(`after ${ROWS}×128×512 dx`, ROWS, 128, 512, {}),
  product(`after ${ROWS}×128×65 dh of logits`, ROWS, 128, 65, {}),
  product(`after dW 512×128×${ROWS}`, 512, 128, ROWS, { transposeA: true }),
  product(`after dW 65×128×${ROWS}`, 65, 128, ROWS, { transposeA: true }),
  product("after dW 256×64×64", 256, 64, 64, { transposeA: true }),
  product("alone 1×512×128 x·Wᵀ", 1, 512, 128, { transposeB: true }),
  product("alone 1×128×512 x·W", 1, 128, 512, {}),
  product("alone 1000×1×128", 1000, 1, 128, { transposeB: true }),
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

function report(): void {
  const wanted = process.argv.slice(2);
  for (const { name, sizes, statements, work, perElement } of measures) {
    if (wanted.length > 0 && !wanted.some((part) => name.includes(part))) continue;
    const { seconds: time, peak } = measure(prepare(sizes, statements));
    const speed = work / time;
    // Elements are also given in cycles of the peak loop (two multiply-adds of four lanes each), whatever the clock.
    const figure = perElement
      ? `${(1e9 / speed).toFixed(3)} ns an element, ${(peak / 16 / speed).toFixed(2)} cycles`
      : `${(speed / 1e9).toFixed(1)} GFLOP/s, ${((100 * speed) / peak).toFixed(0)} % of the peak of ${(peak / 1e9).toFixed(1)}`;
    console.log(`${name.padEnd(34)} ${(time * 1e6).toFixed(0).padStart(7)} µs  ${figure}`);
  }
}

if (import.meta.url === `file://${process.argv[1]}`) report();
