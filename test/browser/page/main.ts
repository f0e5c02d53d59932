/** What the tests call in the page. */
import type { Checkpoint } from "throughtime";
import { watchThread } from "./responsive.js";
import { create, dataOf, type Outcome, type Training, train } from "./train.js";

declare global {
  interface Window {
    readonly page: typeof page;
    /** Ends the browser's graphics process. */
    crash(): Promise<void>;
  }
}

/** For each part of a run the longest time, in ms, that the page's thread was busy with it. */
export type Blocked = Readonly<Record<"created" | "first step" | "training" | "writing", number>>;

/** How training went whose device was lost: losses until then, what was said, losses from the checkpoint on. */
export interface Lost {
  readonly before: readonly number[];
  readonly message: string;
  readonly after: readonly number[];
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
   * Trains while the graphics process is crashed after step `crashed`, a checkpoint having been taken after step `saved`; then goes
   * on from that checkpoint with another trainer. `crash` is what the test gives to the page.
   */
  async lose(play: string, training: Training, saved: number, crashed: number): Promise<Lost> {
    const data = dataOf(play);
    let checkpoint: Checkpoint | undefined;
    let message = "";
    const before: number[] = [];
    const trainer = await create(play, training);
    try {
      for await (const { step, loss } of trainer.fit(data, { steps: training.steps })) {
        before.push(loss);
        if (step === saved) checkpoint = await trainer.checkpoint();
        // The next step is handed over before the page hears of it.
        if (step === crashed) void window.crash();
      }
    } catch (error) {
      message = (error as Error).message;
    }
    trainer.dispose();
    const another = await create(play, training);
    another.restore(checkpoint!);
    const after: number[] = [];
    for await (const { loss } of another.fit(data, { steps: training.steps })) after.push(loss);
    another.dispose();
    return { message, before, after };
  },
};

Object.assign(window, { page });
