/** Builds small programs by hand and runs them on the wasm backend and on the plain loops. */
import { expect } from "vitest";
import { type WasmOptions, wasm } from "../../../src/backend/wasm/index.js";
import type { WasmSession } from "../../../src/backend/wasm/session.js";
import type { Buffer, ElementType, Kernel, Program, Statement, Variable, View } from "../../../src/program/program.js";
import { interpret } from "./interpret.js";

type Data = (i: number) => number;

const usual: WasmOptions = {};
const sessions = new WeakMap<WasmOptions, Promise<WasmSession>>();

/** One for all programs with the same options: to make a session takes longer than most of them. */
function sessionFor(options: WasmOptions): Promise<WasmSession> {
  const known = sessions.get(options);
  if (known) return known;
  const made = wasm(options).createSession();
  sessions.set(options, made);
  return made;
}

/** Repeatable numbers in (−1, 1). */
export function noise(seed: number): Data {
  let state = (seed * 2654435761 + 12345) >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 32) * 2 - 1;
  };
}

export interface Place {
  readonly offset?: number;
  readonly stride?: number;
  readonly step?: number;
}

export function workbench() {
  const buffers: Buffer[] = [];
  const contents = new Map<number, number[]>();
  const variables = new Map<number, Variable>();

  const buffer = (
    name: string,
    size: number,
    data: Data = noise(buffers.length + 1),
    type: ElementType = "float",
  ): number => {
    const id = buffers.length + 100;
    const variable: Variable = { name, shape: [size], type };
    buffers.push({ id, size, type, name, kind: "variable", variable });
    variables.set(id, variable);
    contents.set(
      id,
      Array.from({ length: size }, (_, i) => (type === "index" ? Math.trunc(data(i)) : Math.fround(data(i)))),
    );
    return id;
  };
  const view = (id: number, rows: number, columns: number, place: Place = {}): View => ({
    buffer: id,
    rows,
    columns,
    offset: place.offset ?? 0,
    stride: place.stride ?? columns,
    step: place.step ?? 0,
  });
  /** A new buffer just large enough for the view (and its steps), full of noise. */
  const matrix = (
    name: string,
    rows: number,
    columns: number,
    place: Place & { steps?: number; data?: Data; type?: ElementType } = {},
  ): View => {
    const stride = place.stride ?? columns;
    const size = (place.offset ?? 0) + ((place.steps ?? 1) - 1) * (place.step ?? 0) + rows * stride + 3;
    return view(buffer(name, size, place.data, place.type), rows, columns, place);
  };

  async function run(
    compute: Statement[],
    options: { guards?: View[]; commit?: Statement[]; tolerance?: number; wasm?: WasmOptions; runs?: number } = {},
  ) {
    const program: Program = {
      name: "test",
      buffers,
      compute,
      guards: options.guards ?? [],
      commit: options.commit ?? [],
      plan: { offsets: new Map(), size: 0 },
    };
    const session = await sessionFor(options.wasm ?? usual);
    const executable = await session.compile(program);
    const memory = new Map<number, Float64Array>();
    for (const [id, numbers] of contents) {
      memory.set(id, Float64Array.from(numbers));
      session.write(variables.get(id)!, numbers);
    }
    let result: string | undefined;
    for (let i = 0; i < (options.runs ?? 1); i++) {
      result = executable.run();
      expect(result).toBe(interpret(program, memory));
    }
    const outputs = new Map<number, Float32Array>();
    for (const { id, name } of buffers) {
      const got = session.readNow!(variables.get(id)!);
      outputs.set(id, got as Float32Array);
      compare(name, got, memory.get(id)!, options.tolerance ?? 2e-6);
    }
    return { result, outputs, profile: session.profile() };
  }
  return { buffer, view, matrix, run };
}

/** Every element, those between and behind the views included. */
function compare(name: string, got: ArrayLike<number>, want: Float64Array, tolerance: number): void {
  const finite = [...want].filter(Number.isFinite);
  const scale = finite.reduce((largest, x) => Math.max(largest, Math.abs(x)), 0);
  for (let i = 0; i < want.length; i++) {
    const [x, y] = [got[i]!, want[i]!];
    const same =
      Object.is(x, y) ||
      (Number.isNaN(x) && Number.isNaN(y)) ||
      x === Math.fround(y) ||
      Math.abs(x - y) <= tolerance * scale;
    if (!same) expect.fail(`${name}[${i}] is ${x}, should be ${y} (largest ${scale})`);
  }
}

let labels = 0;
export const kernel = <K extends Omit<Kernel, "label">>(body: K): Kernel =>
  ({ ...body, label: `kernel ${labels++}` }) as never;

export const loop = (steps: number, reverse: boolean, body: Kernel[]): Statement => ({
  kind: "loop",
  name: "loop",
  label: "loop",
  steps,
  reverse,
  body,
});
