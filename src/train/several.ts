/**
 * Updates between two reports. Where reading a number takes its time they are carried out one after another without waiting for
 * any; what is asked for at the end adds up on the device. A batch is refused where one before it was, so that the weights stay
 * as they were when a number first was not finite.
 */
import type { Executable, Session } from "../backend/contract.js";
import { turn } from "../backend/turn.js";
import { current, equal, select, type Tensor } from "../graph/language.js";
import { type Variable, variable } from "../graph/variable.js";
import { type BatchProgram, type Outcome, readNumber, writeNumber } from "./batches.js";
import type { BatchSource } from "./data.js";
import type { TrainingStep } from "./programs.js";
import type { Progress } from "./progress.js";

/** Carries out micro-batch `part` of the next update, `ahead` of what is known to have ended or not; gives its loss. */
export type CarryOut = (part: number, ahead?: Ahead) => Promise<number>;

/** Batches that nobody waits for. */
export interface Ahead {
  /** The same step, of such batches. */
  of(step: TrainingStep): TrainingStep;
  /** Begins one. The loss that it gives is 0. */
  run(source: BatchSource, index: number, seed: number, program: BatchProgram): Promise<Outcome>;
}

export interface Run {
  readonly steps?: number;
  readonly validateEvery?: number;
  readonly reportEvery: number;
  /** Batches of an update, and of an epoch. */
  readonly accumulate: number;
  readonly batches: number;
  readonly progress: Progress;
  readonly carryOut: CarryOut;
  /** Counts so many updates as made, or as not made. */
  move(updates: number): void;
}

/** Carries out the updates until the next report. `total`: the sum of the batches' losses. */
export type Several = (run: Run) => Promise<{ readonly updates: number; readonly total: number }>;

/** Runs under way are at most twice as many: each holds memory of the device's queue. */
const RUNS_TO_AN_ANSWER = 16;

/** `wholes`: whether a batch is one run. */
export function createSeveral(session: Session, wholes: boolean): Several {
  const ahead = wholes && !session.readNow ? createAhead(session) : undefined;
  return async (run) => {
    const { accumulate, carryOut, move } = run;
    const updates = untilReport(run);
    let total = 0;
    ahead?.start();
    for (let update = 0; update < updates; update++) {
      for (let part = 0; part < accumulate; part++) total += await carryOut(part, ahead);
      move(1);
      if (update < updates - 1) await turn();
    }
    if (!ahead) return { updates, total };
    const { done, sum } = await ahead.finish();
    if (done === updates * accumulate) return { updates, total: sum };
    // The first that was refused, once more and waited for, says why. Where the data gives other numbers this time, its update is made.
    const made = Math.floor(done / accumulate);
    move(made - updates);
    let late = 0;
    for (let part = done % accumulate; part < accumulate; part++) late += await carryOut(part, ahead);
    move(1);
    return { updates: made + 1, total: sum + late };
  };
}

/** Updates before anything else happens. */
const untilReport = ({ reportEvery, steps = Infinity, validateEvery, accumulate, batches, progress }: Run): number =>
  Math.min(
    reportEvery - (progress.step % reportEvery),
    steps - progress.step,
    validateEvery ? validateEvery - (progress.step % validateEvery) : Infinity,
    Math.floor((batches - progress.index) / accumulate),
  );

function createAhead(session: Session) {
  const [sum, done, expected] = ["sum of losses", "batches done", "batches expected"].map((name) =>
    variable(name, [1]),
  ) as [Variable, Variable, Variable];
  const infinite = { ...variable("infinite", [1]), initial: [Number.POSITIVE_INFINITY] };
  const add = (to: Variable, tensor: Tensor | number) => ({ variable: to, tensor: current(to).add(tensor) });
  let count = 0;
  let waits = false;
  let latest: Executable | undefined;
  let earlier: Promise<unknown> | undefined;
  return {
    of({ feed, program }: TrainingStep): TrainingStep {
      const { commit = [], guards = [], results } = program;
      const inOrder = select(equal(current(done), current(expected)), 0, current(infinite));
      const counted = [...commit, add(sum, results[0]!.tensor), add(done, 1)];
      return { feed, program: { ...program, guards: [...guards, inOrder], commit: counted } };
    },
    start(): void {
      [count, waits, earlier] = [0, false, undefined];
      writeNumber(session, sum, 0);
      writeNumber(session, done, 0);
    },
    async run(source: BatchSource, index: number, seed: number, program: BatchProgram): Promise<Outcome> {
      writeNumber(session, expected, count++);
      if (waits) return program.run(source, index, seed);
      latest = program.begin!(source, index);
      if (count % RUNS_TO_AN_ANSWER === 0) {
        // Not of this run, so that the device always has some left to do.
        await earlier;
        earlier = latest.settled();
        earlier.catch(() => undefined);
      }
      return { loss: 0 };
    },
    /** How many batches were done, and the sum of their losses. The next one is the first not done, and is waited for. */
    async finish(): Promise<{ readonly done: number; readonly sum: number }> {
      const [total, number] = await Promise.all([
        readNumber(session, sum),
        readNumber(session, done),
        latest?.settled(),
      ]);
      [count, waits] = [number, true];
      return { done: number, sum: total };
    },
  };
}
