/** For the disk-full test: saves one step, and ends as the command does where that fails. */
import { UserError } from "../../src/errors.js";
import { saveRun } from "../../src/files/run-folder-node.js";
import { runOfStep } from "./run-of-step.js";

const [dir, step, count] = process.argv.slice(2);
try {
  await saveRun(dir!, runOfStep(Number(step), Number(count)));
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
