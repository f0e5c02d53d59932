import { expect } from "vitest";
import { UserError } from "../src/errors.js";

/** What the call, which must throw a UserError, says. `message`: what is expected of it, for the failure. */
export function refusalOf(run: () => unknown, message: string): string {
  let thrown: unknown;
  try {
    run();
  } catch (error) {
    thrown = error;
  }
  expect(thrown, `nothing was thrown; expected: ${message}`).toBeInstanceOf(UserError);
  return (thrown as UserError).message;
}

/** What an action that must fail says. */
export const errorOf = (action: Promise<unknown>): Promise<Error> =>
  action.then(
    () => expect.fail("it was not refused"),
    (error: Error) => error,
  );
