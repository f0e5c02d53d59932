/** Workers that do products for one another: one of them, with the others' places as they would have left them. */
import { expect, it } from "vitest";
import { toBytes } from "../../../src/backend/wasm/assembler/encoding.js";
import { compileOptimized } from "../../../src/backend/wasm/flags-node.js";
import { teamOf } from "../../../src/backend/wasm/kernels/team.js";
import { emitProgram } from "../../../src/backend/wasm/module.js";
import type { Kernel, Program, View } from "../../../src/program/program.js";
import { matrix } from "../../../src/program/views.js";

const [M, N, K] = [300, 8, 12];
const WORKERS = 3;
const [CONTROL, ARENAS] = [1024, 65536];
/** Words of the meeting place: how many have arrived at a barrier, how many have pieces, and a worker's line. */
const [ARRIVED, READY, LINE] = [
  CONTROL / 4,
  (CONTROL + 128) / 4,
  (worker: number) => (CONTROL + 192 + 64 * worker) / 4,
];

const view = (buffer: number, rows: number, columns: number): View => matrix(buffer, { shape: [rows, columns] });

/** out = aᵀ·b, as worker 0 of three runs it; `left`: of the pieces of the other two, or undefined where they have other rows. */
function run(left: readonly (number | undefined)[]) {
  const sizes = [K * M, K * N, M * N];
  const product: Kernel = {
    kind: "product",
    a: view(0, K, M),
    transposeA: true,
    b: view(1, K, N),
    transposeB: false,
    out: view(2, M, N),
    accumulate: false,
    label: "product",
    by: "any",
  };
  const program: Program = {
    name: "test",
    buffers: sizes.map((size, id) => ({ id, size, type: "float", name: `b${id}`, kind: "temporary" })),
    compute: [product, { kind: "barrier", label: "barrier" }],
    guards: [],
    commit: [],
    plan: { offsets: new Map([0, 4096, 8192].map((offset, id) => [id, offset])), size: 12288 },
  };
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
  const constants = new Map<number, number>();
  const { code, memory: wanted } = emitProgram({
    program,
    relaxed: false,
    shared: false,
    team: teamOf(WORKERS, CONTROL),
    constantAddress(bits) {
      if (!constants.has(bits)) constants.set(bits, 64 + 4 * constants.size);
      return constants.get(bits)!;
    },
    variableAddress: () => 0,
  });
  const arenaOf = (worker: number): number => ARENAS + worker * wanted.arena;
  memory.grow(Math.ceil((arenaOf(WORKERS) - 65536) / 65536));
  const words = new Int32Array(memory.buffer);
  const floats = new Float32Array(memory.buffer);
  for (const [bits, address] of constants) words[address / 4] = bits;
  for (let worker = 0; worker < WORKERS; worker++)
    for (let i = 0; i < 8192; i++) floats[arenaOf(worker) / 4 + i] = Math.sin(i + worker);
  // The others are there, and the last at each barrier is this one.
  words[READY] = WORKERS - 1;
  words[ARRIVED] = WORKERS - 1;
  left.forEach((pieces, i) => {
    const depth = pieces === undefined ? K + 1 : K;
    words.set([pieces ?? 2, depth, 0, arenaOf(i + 1), 0], LINE(i + 1));
  });
  // What is no shared memory cannot be waited for, and at the end they do not arrive again.
  const instance = new WebAssembly.Instance(compileOptimized(toBytes(code)), { host: { memory } });
  expect(() => (instance.exports.run as (...p: number[]) => void)(0, 0, arenaOf(0), 0, 0)).toThrow(/wait/);
  /** Rows of a worker's outcome that are there, of those right. */
  const done = (worker: number): number => {
    const [a, b, out] = [0, 4096, 8192].map((offset) => arenaOf(worker) / 4 + offset) as [number, number, number];
    let rows = 0;
    for (let m = 0; m < M; m++) {
      let wrong = 0;
      for (let n = 0; n < N; n++) {
        let sum = 0;
        for (let k = 0; k < K; k++) sum += floats[a + k * M + m]! * floats[b + k * N + n]!;
        wrong = Math.max(wrong, Math.abs(floats[out + m * N + n]! - sum));
      }
      if (wrong < 1e-5) rows++;
    }
    return rows;
  };
  return { done: [0, 1, 2].map(done), left: [0, 1, 2].map((worker) => words[LINE(worker)]!) };
}

it("does its own pieces, then what is left of the others'", () => {
  // 300 rows are two pieces.
  const { done, left } = run([2, 1]);
  expect(done).toEqual([M, M, M / 2]);
  expect(left.every((pieces) => pieces < 0)).toBe(true);
});
it("leaves alone what others have done, and those whose rows are others", () => {
  const { done, left } = run([0, undefined]);
  expect(done).toEqual([M, 0, 0]);
  expect(left[2]).toBe(2);
});
