/** Why a trainer refuses to go on: loaded when it does. */
import { described, UserError } from "../errors.js";
import type { TrainerOptions } from "./contract.js";
import type { BatchSource } from "./data.js";
import type { Window } from "./programs.js";

export { nonFinite } from "./diagnose.js";

/** Of what plain JavaScript lets a person give to `createTrainer` as a model, loss, optimiser or schedule, what is none. */
export function notMade(model: unknown, { loss, optimizer, schedule }: Partial<TrainerOptions>): UserError {
  const made = [
    ["a layer", model, "kind"],
    ["a loss", loss, "target"],
    ["an optimizer", optimizer, "update"],
    ["a schedule", schedule, "rate"],
  ] as const;
  const [kind, given] = made.find(([, part, has]) => !(part as Record<string, unknown> | undefined)?.[has])!;
  return new UserError(`createTrainer: wants ${kind}, not ${described(given)}`);
}

export const noData = (data: unknown, asked: string): UserError =>
  new UserError(`${asked}: wants batches, of arrayBatches or textBatches, not ${described(data)}`);

export const threadsOfBackend = (): UserError =>
  new UserError("threads are an option of the backend that you made: wasm({ threads })");

export const endless = (): UserError => new UserError("fit wants to know when to stop: give `steps` or `epochs`");

export const tooFew = (batches: number, length: number): UserError =>
  new UserError(`an update takes ${batches} batches, but the data gives only ${length}`);

export const noRate = (name: string, step: number, rate: number): UserError =>
  new UserError(`${name}: the learning rate of step ${step} must be a finite number of at least 0, not ${rate}`);

/** @throws UserError where the windows that were asked for would cut the sequences of `source`, which are taken whole */
export function checkWhole({ inputShape }: BatchSource, { every, through }: Window): void {
  const [steps, , timed] = inputShape;
  if (!timed || Math.min(every, through) >= steps!) return;
  const windows = every === through ? `a window of ${every}` : `every ${every} through ${through}`;
  throw new UserError(
    `bptt: ${windows} cuts streams, but the data is sequences of ${steps} steps, each taken whole: leave it out (where memory is short: recompute)`,
  );
}

export const underWay = (what: string): UserError =>
  new UserError(`${what} is under way: await its end, leave its loop, or call its return()`);
