/** Carrying out one batch: data in, program run, loss out. */
import type { Executable, HostArray, Session } from "../backend/contract.js";
import { turn } from "../backend/turn.js";
import { sizeOf } from "../graph/shape.js";
import type { ElementType, Variable } from "../graph/variable.js";
import type { ProgramOptions } from "../program/lower.js";
import type { BatchSource } from "./data.js";
import { type CheckBatch, checkTargets, type Loss } from "./loss.js";
import type { TrainingStep } from "./programs.js";

/** The loss of a batch; `weight`: what it is the mean over, where batches differ in that. */
interface Mean {
  readonly loss: number;
  readonly weight?: number;
}

/** How a batch ended: with its loss, or refused by a program that met a number that is not finite. `start`: its first step in the window. */
export type Outcome = Mean | { readonly refused: ProgramOptions; readonly start: number };

/** Carries out batches of one shape. */
export interface BatchProgram {
  /** `seed`: of the update. */
  run(source: BatchSource, index: number, seed: number): Promise<Outcome>;
  /** Begins it and asks for nothing; undefined where one run does not do it. */
  begin?(source: BatchSource, index: number): Executable;
}

/** Numbers on their way to a session. */
export interface Host {
  readonly inputs: HostArray;
  readonly targets: HostArray;
  readonly mask: HostArray | undefined;
  /** [N]: 1 for rows whose state is reset. */
  readonly flags: Float64Array;
}

/** Arrays for the batches of a source. */
export function hostFor({ backend }: Session, source: BatchSource): Host {
  const array = (type: ElementType, size: number): HostArray => {
    if (type === "index") return new Int32Array(size);
    return backend.precision === "float64" ? new Float64Array(size) : new Float32Array(size);
  };
  const { inputShape } = source;
  const rows = inputShape[inputShape.length - 2]!;
  return {
    inputs: array(source.inputType, sizeOf(inputShape)),
    targets: array(source.targetType, sizeOf(source.targetShape)),
    mask: source.masked ? new Float32Array(inputShape[0]! * rows) : undefined,
    flags: new Float64Array(rows),
  };
}

/** Fills the arrays with batch `index`. */
export function fillHost(
  { inputs, targets, mask, flags }: Host,
  source: BatchSource,
  index: number,
  check: CheckBatch,
): void {
  const reset = source.fill(index, inputs, targets, mask);
  check(inputs, targets, mask, source.nameOf && ((row) => source.nameOf!(index, row)));
  if (typeof reset === "boolean") flags.fill(reset ? 1 : 0);
  else flags.set(reset);
}

const one = new Float64Array(1);

export function writeNumber(session: Session, variable: Variable, value: number): void {
  one[0] = value;
  session.write(variable, one);
}

export const readNumber = async (session: Session, variable: Variable): Promise<number> =>
  (session.readNow ? session.readNow(variable, one) : await session.read(variable, new Float64Array(1)))[0]!;

/** A batch carried out by one program. */
export async function wholeBatch(
  session: Session,
  source: BatchSource,
  { feed, program, weight }: TrainingStep,
  result: Variable,
): Promise<BatchProgram> {
  await turn();
  const executable: Executable = await session.compile(program);
  const host = hostFor(session, source);
  const begin = (from: BatchSource, index: number): Executable => {
    fillHost(host, from, index, feed.check);
    session.write(feed.input, host.inputs);
    session.write(feed.target, host.targets);
    if (host.mask) session.write(feed.mask!, host.mask);
    if (from.carries) session.write(feed.reset, host.flags);
    executable.run();
    return executable;
  };
  return {
    begin,
    async run(from, index) {
      begin(from, index);
      // Asked for together: one answer where the numbers are far away.
      const [ended, loss, counted] = await Promise.all([
        executable.settled(),
        readNumber(session, result),
        weight && readNumber(session, weight),
      ]);
      return ended === "refused" ? { refused: program, start: 0 } : { loss, weight: counted };
    },
  };
}

/** Refuses targets that are not what the loss takes. */
export const checkData = (
  { targetShape: shape, targetType: type }: BatchSource,
  wanted: ReturnType<Loss["target"]>,
  { name }: Loss,
) => checkTargets(`${name}: the model's predictions`, wanted, { shape, type });
