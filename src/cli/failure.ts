/** What a person is told when a command fails, and the exit code: 1 for bad input, 2 for wrong usage. */
import { CommanderError } from "commander";
import { UserError } from "../errors.js";
import { NonFiniteError } from "../train/diagnose.js";

/** What the library calls its options in its messages, and what they are called here. */
const OPTIONS = [
  ['gaps: "ignore"', "--gaps ignore"],
  ["forecast({ covariates })", "--known FILE.csv"],
] as const;

/** Prints what went wrong, one sentence where the person can mend it. Gives the exit code. */
export function reportFailure(error: unknown, version: string): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2; // commander has printed it
  const debug = process.env.THROUGHTIME_DEBUG === "1";
  if (error instanceof UserError || error instanceof NonFiniteError) {
    say(`error: ${inOwnWords(oneLine(error.message))}`);
    if (debug) say(error.stack ?? "");
    return 1;
  }
  if (isOutOfMemory(error)) {
    say("error: there is not enough memory for this: a smaller model, batch or window needs less.");
  } else {
    const message = oneLine(error instanceof Error ? error.message : String(error));
    say(`error: something went wrong inside throughtime: ${message}`);
    say(
      `This is not your fault. Please report it with the command you ran, throughtime ${version}, Node ${process.version} ` +
        `and ${process.platform} ${process.arch}; THROUGHTIME_DEBUG=1 adds the place in the code.`,
    );
  }
  if (debug && error instanceof Error) say(error.stack ?? "");
  return 1;
}

/** A line on stderr. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

const oneLine = (message: string): string => message.replace(/\s*\n\s*/g, " ").trim();

const inOwnWords = (message: string): string =>
  OPTIONS.reduce((text, [theirs, ours]) => text.replaceAll(theirs, ours), message);

const isOutOfMemory = (error: unknown): boolean =>
  error instanceof RangeError &&
  /allocation failed|Invalid (typed )?array (buffer )?length|out of memory/i.test(error.message);
