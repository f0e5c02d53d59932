/** Finding where a step first went wrong: the same step, with every value kept, looked through in the order of computing. */
import type { HostArray, Session } from "../backend/contract.js";
import { lower, type ProgramOptions } from "../program/lower.js";
import { type Program, type View, writes } from "../program/program.js";
import type { Outcome } from "./batches.js";

/** Training met a loss or gradient that is not finite. The weights are as they were before the step. */
export class NonFiniteError extends Error {
  override name = "NonFiniteError";
  constructor(
    message: string,
    /** The step, counted from 1. */
    readonly step: number,
    /** Where the first such value arose: "rnn.l0: h'". */
    readonly tensor: string,
    /** The time index in the window; undefined for a tensor without time. */
    readonly time: number | undefined,
  ) {
    super(message);
  }
}

/** The error of a step that `refused` to go on; `start` is its first time index in the window. */
export async function nonFinite(
  session: Session,
  { refused, start }: Extract<Outcome, { refused: unknown }>,
  step: number,
  learningRate: number,
): Promise<NonFiniteError> {
  const found = await findNonFinite(session, refused);
  const time = found?.time === undefined ? undefined : start + found.time;
  const where = found
    ? `${found.tensor}${time === undefined ? "" : ` at time index ${time}`} is ${found.value}`
    : "the gradient's norm is not finite";
  const cause = found?.given
    ? "It came with the data."
    : `The learning rate is ${learningRate}: a smaller one, or clipping, may help.`;
  return new NonFiniteError(
    `step ${step}: ${where}; no weight was changed. ${cause}`,
    step,
    found?.tensor ?? "gradient norm",
    time,
  );
}

interface Finding {
  readonly tensor: string;
  readonly time: number | undefined;
  readonly value: number;
  /** Whether it is a number of the batch. */
  readonly given?: boolean;
}

/** Runs the program once more without sharing memory, and names the first value that is not finite. */
async function findNonFinite(session: Session, options: ProgramOptions): Promise<Finding | undefined> {
  const program = lower({
    ...options,
    commit: [],
    forEach: undefined,
    name: `${options.name}, looked through`,
    keep: true,
  });
  const executable = await session.compile(program);
  for (const buffer of program.buffers) {
    if (
      !buffer.variable ||
      buffer.type === "index" ||
      options.results.some((result) => result.variable === buffer.variable)
    )
      continue;
    const data = await session.read(buffer.variable);
    const at = data.findIndex((value) => !Number.isFinite(value));
    if (at >= 0)
      return {
        tensor: buffer.name,
        time:
          buffer.variable.shape.length === 3 ? Math.floor(at / (data.length / buffer.variable.shape[0]!)) : undefined,
        value: data[at]!,
        given: buffer.name === "input" || buffer.name === "target",
      };
  }
  executable.run();
  const memory = new Map<number, HostArray>();
  const read = async (id: number): Promise<HostArray> => {
    const variable = program.buffers[id]!.variable;
    const data = memory.get(id) ?? (variable ? await session.read(variable) : await executable.peek(id));
    memory.set(id, data);
    return data;
  };
  return search(program, read);
}

async function search(program: Program, read: (buffer: number) => Promise<HostArray>): Promise<Finding | undefined> {
  const place = ({ buffer, offset }: View): string => `${buffer} ${offset}`;
  for (const [i, statement] of program.compute.entries()) {
    if (statement.kind !== "loop") {
      // A loop's state begins where the loop goes on to keep it.
      const overwritten = new Set(
        program.compute
          .slice(i + 1)
          .flatMap((later) => (later.kind === "loop" ? later.body.flatMap(writes) : []))
          .filter((view) => view.step === 0)
          .map(place),
      );
      for (const view of writes(statement)) {
        if (overwritten.has(place(view))) continue;
        const value = firstNonFinite(await read(view.buffer), view, 0);
        if (value !== undefined) return { tensor: statement.label, time: undefined, value };
      }
      continue;
    }
    for (let i = 0; i < statement.steps; i++) {
      const time = statement.reverse ? statement.steps - 1 - i : i;
      for (const kernel of statement.body) {
        for (const view of writes(kernel)) {
          if (view.step === 0 && i < statement.steps - 1) continue; // overwritten since
          const value = firstNonFinite(await read(view.buffer), view, time);
          if (value !== undefined) return { tensor: `${statement.name}: ${kernel.label}`, time, value };
        }
      }
    }
  }
  return undefined;
}

function firstNonFinite(data: HostArray, view: View, t: number): number | undefined {
  const start = view.offset + t * view.step;
  for (let r = 0; r < view.rows; r++) {
    for (let c = 0; c < view.columns; c++) {
      const value = data[start + r * view.stride + c]!;
      if (!Number.isFinite(value)) return value;
    }
  }
  return undefined;
}
