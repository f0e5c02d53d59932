/** For the crash test: saves step after step into each run folder named, all at once, until it is killed. */
import { isRun, loadRun, saveRun } from "../../src/files/run-folder-node.js";
import { runOfStep, stepOf } from "./run-of-step.js";

async function saveForever(dir: string): Promise<never> {
  const loaded = (await isRun(dir)) ? stepOf(await loadRun(dir)) : 0;
  for (let step = loaded; ; step++) {
    if (step > loaded) await saveRun(dir, runOfStep(step));
    console.log(JSON.stringify({ dir, saved: step }));
  }
}

await Promise.all(process.argv.slice(2).map(saveForever));
