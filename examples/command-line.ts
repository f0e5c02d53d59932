/** An example run as a command: what a person can mend is told in one sentence, without a stack trace. */
import { UserError } from "throughtime";

/** Runs it; what it refuses, and what the system refuses it, is exit code 1. */
export async function runCommand(main: () => Promise<unknown>): Promise<void> {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof UserError || (error instanceof Error && "syscall" in error))) throw error;
    console.error(`error: ${error.message}`);
    process.exitCode = 1;
  }
}

/** A whole number of the command line, or `otherwise` where there is none. @throws UserError where it is another text */
export function wholeNumber(what: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  if (!/^\d{1,15}$/.test(text)) throw new UserError(`${what} must be a whole number, not "${text}"`);
  return Number(text);
}
