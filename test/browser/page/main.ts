/** What the tests call in the page. */
import { watchThread } from "./responsive.js";
import { type Outcome, type Training, train } from "./train.js";

declare global {
  interface Window {
    readonly page: typeof page;
  }
}

const page = {
  async train(play: string, training: Training): Promise<Outcome & { readonly blocked: Record<string, number> }> {
    const thread = watchThread();
    const blocked: Record<string, number> = {};
    const outcome = await train(play, training, (done) => {
      blocked[done] = thread.longest();
    });
    thread.stop();
    return { ...outcome, blocked };
  },
};

Object.assign(window, { page });
