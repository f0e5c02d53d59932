/**
 * Batches carried out one after another without waiting for any of them, where reading a number takes its time. What is asked
 * for at the end adds up on the device. A batch is refused where one before it was, so that the weights stay as they were when a
 * number first was not finite.
 */
import type { Executable, Session } from "../backend/contract.js";
import { current, equal, select } from "../graph/language.js";
import { variable } from "../graph/variable.js";
import { readNumber, writeNumber } from "./batches.js";
import type { TrainingStep } from "./programs.js";

/** Runs under way at most: each holds memory of the device's queue. */
const MOST_UNDER_WAY = 32;

export interface Ahead {
  /** The same step, of such batches. */
  of(step: TrainingStep): TrainingStep;
  /** Before the first batch. */
  start(): void;
  /** Before each batch. */
  expect(): void;
  /** After a batch has begun: waits where too many are under way. */
  begun(executable: Executable): Promise<void>;
  /** How many batches were done since the start, and the sum of their losses. The next one expected is the first not done. */
  finish(): Promise<{ readonly done: number; readonly sum: number }>;
}

export function createAhead(session: Session): Ahead {
  const [sum, done, expected] = ["sum of losses", "batches done", "batches expected"].map((name) =>
    variable(name, [1]),
  );
  const infinite = { ...variable("infinite", [1]), initial: [Number.POSITIVE_INFINITY] };
  let count = 0;
  let latest: Executable | undefined;
  return {
    of({ feed, program }) {
      const { commit = [], guards = [], results } = program;
      const inOrder = select(equal(current(done!), current(expected!)), 0, current(infinite));
      const add = (to: typeof sum, tensor: Parameters<typeof select>[1]) => ({
        variable: to!,
        tensor: current(to!).add(tensor),
      });
      return {
        feed,
        program: {
          ...program,
          guards: [...guards, inOrder],
          commit: [...commit, add(sum, results[0]!.tensor), add(done, 1)],
        },
      };
    },
    start() {
      count = 0;
      writeNumber(session, sum!, 0);
      writeNumber(session, done!, 0);
    },
    expect: () => writeNumber(session, expected!, count++),
    async begun(executable) {
      latest = executable;
      if (count % MOST_UNDER_WAY === 0) await latest.settled();
    },
    async finish() {
      const [total, number] = await Promise.all([
        readNumber(session, sum!),
        readNumber(session, done!),
        latest?.settled(),
      ]);
      count = number;
      return { done: number, sum: total };
    },
  };
}
