/** Programs made by hand, run on the device and on the reference, whose results must be the same. */
import { expect } from "vitest";
import type { Backend } from "../../../src/backend/contract.js";
import { reference } from "../../../src/backend/reference/index.js";
import { variable } from "../../../src/graph/variable.js";
import { createRng } from "../../../src/parameters/rng.js";
import type { Buffer, ElementType, Kernel, Program, Statement, View } from "../../../src/program/program.js";

export interface Place {
  readonly offset?: number;
  readonly stride?: number;
  readonly step?: number;
  readonly steps?: number;
  readonly type?: ElementType;
  /** The numbers; noise by default. */
  readonly data?: (i: number) => number;
}

export interface Bench {
  /** A view of a new variable, with numbers around and behind it that must stay as they are. */
  matrix(name: string, rows: number, columns: number, place?: Place): View;
  program(compute: readonly Statement[], options?: Partial<Program>): Program;
  /** Runs the program on both. @returns what the device holds, by the variable's name */
  agree(backend: Backend, program: Program, tolerance?: number): Promise<Map<string, ArrayLike<number>>>;
}

export function createBench(seed: number): Bench {
  const rng = createRng(seed);
  const buffers: Buffer[] = [];
  const contents = new Map<Buffer, ArrayLike<number>>();
  return {
    matrix(name, rows, columns, place = {}) {
      const { offset = 0, stride = columns, step = 0, steps = 1, type = "float", data = () => rng.normal() } = place;
      const size = offset + (steps - 1) * step + rows * stride + 3;
      const shape = [size];
      const buffer: Buffer = {
        id: buffers.length,
        size,
        type,
        name,
        kind: "variable",
        variable: variable(name, shape, type),
      };
      buffers.push(buffer);
      contents.set(
        buffer,
        Float64Array.from({ length: size }, (_, i) => (type === "index" ? data(i) : Math.fround(data(i)))),
      );
      return { buffer: buffer.id, rows, columns, offset, stride, step };
    },
    program: (compute, options = {}) => ({
      name: "made by hand",
      buffers,
      compute,
      guards: [],
      commit: [],
      plan: { offsets: new Map(), size: 0 },
      ...options,
    }),
    async agree(backend, program, tolerance = 2e-6) {
      const results: ArrayLike<number>[][] = [];
      for (const each of [reference(), backend]) {
        const session = await each.createSession();
        const executable = await session.compile(program);
        for (const [buffer, numbers] of contents) session.write(buffer.variable!, numbers);
        executable.run();
        results.push(await Promise.all(buffers.map((buffer) => session.read(buffer.variable!))));
        session.dispose();
      }
      const [wanted, found] = results as [ArrayLike<number>[], ArrayLike<number>[]];
      buffers.forEach((buffer, i) => {
        compare(buffer.name, found[i]!, wanted[i]!, tolerance);
      });
      return new Map(buffers.map((buffer, i) => [buffer.name, found[i]!]));
    },
  };
}

function compare(name: string, found: ArrayLike<number>, wanted: ArrayLike<number>, tolerance: number): void {
  let largest = 0;
  for (let i = 0; i < wanted.length; i++)
    if (Number.isFinite(wanted[i])) largest = Math.max(largest, Math.abs(wanted[i]!));
  for (let i = 0; i < wanted.length; i++) {
    const [x, y] = [found[i]!, wanted[i]!];
    const same = Object.is(x, y) || (Number.isNaN(x) && Number.isNaN(y)) || Math.abs(x - y) <= tolerance * largest;
    if (!same) expect.fail(`${name}[${i}] is ${x}, should be ${y} (largest ${largest})`);
  }
}

export const kernel = <K extends Omit<Kernel, "label">>(body: K): Kernel => ({ ...body, label: body.kind }) as never;

export const loop = (steps: number, reverse: boolean, body: readonly Kernel[]): Statement => ({
  kind: "loop",
  name: "loop",
  label: "loop",
  steps,
  reverse,
  body,
});
