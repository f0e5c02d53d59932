/** What the tests call in the page. */
import type { Checkpoint } from "throughtime";
import { watchThread } from "./responsive.js";
import { create, dataOf, type Outcome, type Training, train } from "./train.js";

declare global {
  interface Window {
    readonly page: typeof page;
    /** Ends the browser's graphics process: the test gives it to the page. */
    crash(): Promise<void>;
  }
}

/** For each part of a run the longest time, in ms, that the page's thread was busy with it. */
export type Blocked = Readonly<Record<"created" | "first step" | "training" | "writing", number>>;

/** A checkpoint is taken after step `saved`, and the graphics process crashed after step `crashed`. */
export interface Loss {
  readonly saved: number;
  readonly crashed: number;
}

/** What a trainer did: the losses of the steps after `from`, and how it ended. */
export interface Life {
  readonly from: number;
  readonly losses: readonly number[];
  readonly end: string;
}

const page = {
  async train(play: string, training: Training): Promise<Outcome & { readonly blocked: Blocked }> {
    const thread = watchThread();
    const blocked: Partial<Record<keyof Blocked, number>> = {};
    const outcome = await train(play, training, (done) => {
      blocked[done] = thread.longest();
    });
    thread.stop();
    return { ...outcome, blocked: blocked as Blocked };
  },

  /** Disposes of a trainer while a step runs: how many steps there were, and how training ended. */
  async leave(play: string, training: Training): Promise<{ readonly steps: number; readonly end: string }> {
    const trainer = await create(play, training);
    let steps = 0;
    try {
      // By then the next step is under way.
      for await (const _ of trainer.fit(dataOf(play), { steps: training.steps }))
        if (++steps === 3) setTimeout(() => trainer.dispose(), 5);
      return { steps, end: "all steps made" };
    } catch (error) {
      return { steps, end: (error as Error).message };
    }
  },

  /**
   * Trains, while the graphics process is crashed again and again: each time from the latest checkpoint on, with another trainer, a
   * checkpoint being taken after step `saved` and the process crashed after step `crashed`; at last to the end.
   */
  async lose(play: string, training: Training, times: readonly Loss[]): Promise<readonly Life[]> {
    const data = dataOf(play);
    let checkpoint: Checkpoint | undefined;
    const lives: Life[] = [];
    for (const time of [...times, undefined]) {
      const trainer = await create(play, training);
      if (checkpoint) trainer.restore(checkpoint);
      const from = trainer.progress.step;
      const losses: number[] = [];
      let end = "all steps made";
      try {
        for await (const { step, loss } of trainer.fit(data, { steps: training.steps })) {
          losses.push(loss);
          if (step === time?.saved) checkpoint = await trainer.checkpoint();
          // The next step is handed over before the page hears of it.
          if (step === time?.crashed) void window.crash();
        }
      } catch (error) {
        end = (error as Error).message;
      }
      trainer.dispose();
      lives.push({ from, losses, end });
    }
    return lives;
  },
};

Object.assign(window, { page });
