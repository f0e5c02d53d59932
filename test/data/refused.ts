import { expect } from "vitest";
import { UserError } from "../../src/errors.js";

/** The call must throw a UserError, one sentence or two in plain words, that contains `message`. */
export function refused(run: () => unknown, message: string): void {
  let thrown: unknown;
  try {
    run();
  } catch (error) {
    thrown = error;
  }
  expect(thrown, `nothing was thrown; expected: ${message}`).toBeInstanceOf(UserError);
  expect((thrown as UserError).message).toContain(message);
  expect((thrown as UserError).message).toMatch(/^[^\n]{10,400}[.?]$/);
}
