/** What the tests call in the page. */
import { watchThread } from "./responsive.js";
import { create, dataOf, type Outcome, type Training, train } from "./train.js";

declare global {
  interface Window {
    readonly page: typeof page;
  }
}

/** For each part of a run the longest time, in ms, that the page's thread was busy with it. */
export type Blocked = Readonly<Record<"created" | "first step" | "training" | "writing", number>>;

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
};

Object.assign(window, { page });
