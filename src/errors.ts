/**
 * An error that a person can mend: the message is one sentence that names what they wrote.
 * The command prints it without a stack trace.
 */
export class UserError extends Error {
  override name = "UserError";
}
