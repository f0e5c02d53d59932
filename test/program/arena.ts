/**
 * Runs a program in ONE array, by the plan's offsets, and watches it: every element remembers which buffer wrote it last, so that a
 * read of what another buffer has overwritten, or of what nobody has written, is an error. Buffers of 16 bits have an array of their
 * own, and what is written there is rounded. Also checks the program's form.
 */
import { runKernel } from "../../src/backend/reference/kernels.js";
import { fromHalf, toHalf } from "../../src/files/half.js";
import { sizeOf } from "../../src/graph/shape.js";
import { initialOf, type Variable } from "../../src/graph/variable.js";
import { type Kernel, type Program, reads, type Statement, type View, writes } from "../../src/program/program.js";

const nobody = -1;

export interface Arena {
  readonly variables: Map<Variable, Float64Array>;
  run(): "done" | "refused";
}

/** An arena full of NaN; variables hold `values`, their initial numbers, or zeros. */
export function arena(program: Program, values: Iterable<readonly [Variable, ArrayLike<number>]> = []): Arena {
  const variables = new Map<Variable, Float64Array>();
  const ofSize = (size: number) => ({
    cells: new Float64Array(size).fill(Number.NaN),
    writer: new Int32Array(size).fill(nobody),
  });
  const [floats, halves] = [ofSize(program.plan.size), ofSize(program.plan.halves ?? 0)];
  const arenaOf = (buffer: number): typeof floats => (program.buffers[buffer]!.half ? halves : floats);
  const given = new Map(values);
  const memory = program.buffers.map((buffer) => {
    if (!buffer.variable) {
      const offset = program.plan.offsets.get(buffer.id);
      if (offset === undefined) return new Float64Array(0);
      const { cells } = arenaOf(buffer.id);
      if (offset % 16 !== 0 || offset + buffer.size > cells.length)
        throw new Error(`${buffer.name} lies at ${offset}, outside or not aligned`);
      return cells.subarray(offset, offset + buffer.size);
    }
    let data = variables.get(buffer.variable);
    if (!data) {
      data = new Float64Array(sizeOf(buffer.variable.shape));
      data.set(given.get(buffer.variable) ?? initialOf(buffer.variable) ?? []);
      variables.set(buffer.variable, data);
    }
    return data;
  });

  const elements = (view: View, t: number, visit: (index: number) => void): void => {
    const offset = program.plan.offsets.get(view.buffer);
    if (offset === undefined) return;
    for (let r = 0; r < view.rows; r++)
      for (let c = 0; c < view.columns; c++) visit(offset + view.offset + t * view.step + r * view.stride + c);
  };
  const carryOut = (kernel: Kernel, t: number): void => {
    for (const view of reads(kernel))
      elements(view, t, (index) => {
        const { writer } = arenaOf(view.buffer);
        if (writer[index] === view.buffer) return;
        const other = program.buffers[writer[index]!]?.name ?? "nobody";
        throw new Error(
          `${kernel.label} (${kernel.kind}) reads ${program.buffers[view.buffer]!.name} at t = ${t}, last written by ${other}`,
        );
      });
    runKernel(kernel, memory, t);
    for (const view of writes(kernel))
      elements(view, t, (index) => {
        const { cells, writer } = arenaOf(view.buffer);
        writer[index] = view.buffer;
        if (cells === halves.cells) cells[index] = fromHalf(toHalf(cells[index]!));
      });
  };
  const runAll = (statements: readonly Statement[]): void => {
    for (const statement of statements) {
      if (statement.kind !== "loop") carryOut(statement, 0);
      else
        for (let i = 0; i < statement.steps; i++) {
          const t = statement.reverse ? statement.steps - 1 - i : i;
          for (const kernel of statement.body) carryOut(kernel, t);
        }
    }
  };
  return {
    variables,
    run() {
      runAll(program.compute);
      const finite = program.guards.every((guard) => {
        elements(guard, 0, (index) => {
          if (arenaOf(guard.buffer).writer[index] !== guard.buffer)
            throw new Error("a guard is spoiled before it is read");
        });
        return Number.isFinite(memory[guard.buffer]![guard.offset]);
      });
      if (finite) runAll(program.commit);
      return finite ? "done" : "refused";
    },
  };
}

/** Throws where a program is not of the form that the contract promises to backends. */
export function checkForm(program: Program): void {
  program.buffers.forEach((buffer, i) => {
    if (buffer.id !== i) throw new Error(`buffer ${i} has id ${buffer.id}`);
  });
  for (const statement of [...program.compute, ...program.commit]) {
    if (statement.kind !== "loop") checkKernel(program, statement, 1, false);
    else for (const kernel of statement.body) checkKernel(program, kernel, statement.steps, true);
  }
}

function checkKernel(program: Program, kernel: Kernel, steps: number, inLoop: boolean): void {
  const complain = (what: string): never => {
    throw new Error(`${program.name}, ${kernel.kind} "${kernel.label}": ${what}`);
  };
  for (const view of [...reads(kernel), ...writes(kernel)]) {
    const buffer = program.buffers[view.buffer]!;
    const last = view.offset + (steps - 1) * view.step + (view.rows - 1) * view.stride + view.columns;
    if (view.offset < 0 || last > buffer.size) complain(`a view ends at ${last} of ${buffer.size} in ${buffer.name}`);
    if (view.stride < view.columns) complain(`rows of ${buffer.name} overlap`);
    if (view.step !== 0 && !inLoop) complain("a step outside a loop");
    if (!buffer.variable && !program.plan.offsets.has(view.buffer)) complain(`${buffer.name} has no place`);
  }
  const type = (view: View): string => program.buffers[view.buffer]!.type;
  for (const view of writes(kernel)) if (type(view) !== "float") complain("writes an index");
  const fits = (view: View, rows: number, columns: number): void => {
    if (view.rows !== rows || view.columns !== columns)
      complain(`${program.buffers[view.buffer]!.name} is ${view.rows}×${view.columns}, not ${rows}×${columns}`);
  };
  const apart = (): void => {
    for (const out of writes(kernel))
      for (const input of reads(kernel))
        if (input !== out && touches(input, out)) complain("writes over what it reads");
  };
  switch (kernel.kind) {
    case "chain": {
      const { rows, columns, loads, code, stores } = kernel;
      const periods = new Set(loads.map((load) => load.rows).filter((period) => period !== 1 && period !== rows));
      if (periods.size > 1) complain(`several periods: ${[...periods]}`);
      for (const period of periods) if (rows % period !== 0) complain(`a period of ${period} in ${rows} rows`);
      for (const load of loads) if (load.columns !== 1) fits(load, load.rows, columns);
      code.forEach((instruction, i) => {
        const limit = loads.length + i;
        const used =
          instruction.op === "constant" ? [] : instruction.op === "random" ? [instruction.seed] : instruction.args;
        if (used.some((argument) => argument < 0 || argument >= limit)) complain("an argument that is not there yet");
        if (
          instruction.op === "random" &&
          (instruction.seed >= loads.length || type(loads[instruction.seed]!) !== "index")
        )
          complain("a random's seed is no index load");
      });
      stores.forEach((store, i) => {
        fits(store.to, rows, columns);
        for (const load of loads)
          if (touches(load, store.to) && !same(load, store.to)) complain("a store overlaps a load partially");
        for (const other of stores.slice(i + 1)) if (touches(store.to, other.to)) complain("two stores overlap");
      });
      return;
    }
    case "product": {
      const { a, b, out, transposeA, transposeB } = kernel;
      const depth = transposeA ? a.rows : a.columns;
      if (depth !== (transposeB ? b.columns : b.rows)) complain("inner sizes differ");
      fits(out, transposeA ? a.columns : a.rows, transposeB ? b.rows : b.columns);
      apart();
      return;
    }
    case "reduce": {
      const { axis, input, out } = kernel;
      if (axis === "all") fits(out, 1, 1);
      else if (axis === "columns") fits(out, input.rows, 1);
      else {
        fits(out, out.rows, input.columns);
        if (input.rows % out.rows !== 0) complain("rows do not divide");
      }
      apart();
      return;
    }
    case "softmax":
      fits(kernel.out, kernel.input.rows, kernel.input.columns);
      apart();
      return;
    case "transpose":
      fits(kernel.out, kernel.input.columns, kernel.input.rows);
      apart();
      return;
    case "crossEntropy": {
      const { logits, target, scale, weights, out } = kernel;
      fits(target, logits.rows, 1);
      if (type(target) !== "index") complain("the target is no index");
      if (weights) fits(weights, 1, logits.columns);
      if (scale && scale.rows !== 1) fits(scale, logits.rows, 1);
      fits(out, logits.rows, scale ? logits.columns : 1);
      apart();
      return;
    }
    case "gather":
      if (type(kernel.index) !== "index") complain("the index is no index");
      fits(kernel.out, kernel.index.rows, kernel.table.columns);
      apart();
      return;
    case "scatter":
      if (type(kernel.index) !== "index") complain("the index is no index");
      fits(kernel.index, kernel.input.rows, 1);
      fits(kernel.out, kernel.out.rows, kernel.input.columns);
      apart();
      return;
    case "fill":
      return;
  }
}

const same = (a: View, b: View): boolean =>
  a.buffer === b.buffer &&
  a.offset === b.offset &&
  a.stride === b.stride &&
  a.step === b.step &&
  a.rows === b.rows &&
  a.columns === b.columns;

/** Whether two views share an element at the same moment. */
function touches(a: View, b: View): boolean {
  if (a.buffer !== b.buffer) return false;
  const of = (view: View): Set<number> => {
    const indices = new Set<number>();
    for (let r = 0; r < view.rows; r++)
      for (let c = 0; c < view.columns; c++) indices.add(view.offset + r * view.stride + c);
    return indices;
  };
  const left = of(a);
  return [...of(b)].some((index) => left.has(index));
}
