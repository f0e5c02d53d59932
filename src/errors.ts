/**
 * An error that a person can mend: the message is one sentence that names what they wrote.
 * The command prints it without a stack trace.
 */
export class UserError extends Error {
  override name = "UserError";
}

/** What was given in the place of something made, for a message. */
export const described = (value: unknown): string =>
  typeof value === "function"
    ? `the function ${value.name}; call it to make one`
    : Object(value) === value
      ? "an object"
      : JSON.stringify(value);

/** @throws UserError where `name` is none of those `known`, apart by spaces */
export function checkName(what: string, kind: string, name: unknown, known: string): void {
  const names = known.split(" ");
  if (!names.includes(name as string))
    throw new UserError(`${what}: there is no ${kind} "${name}"; there are ${names.join(", ")}`);
}

/** Plain JavaScript passes over what it does not know. @throws UserError on an option that is none of those `known` */
export function checkOptions(what: string, options: object, known: string): void {
  if (Object(options) !== options) throw new UserError(`${what}: wants an object, not ${options}`);
  for (const name of Object.keys(options)) checkName(what, "option", name, known);
}

/** @throws UserError where `value` is no whole number of at least `least` */
export function checkCount(what: string, value: number, least = 1): void {
  if (!Number.isInteger(value) || value < least)
    throw new UserError(`${what} must be a whole number of at least ${least}, not ${value}`);
}

/** @throws UserError where `value` is no number above 0 */
export function checkAboveZero(what: string, value: number): void {
  if (!(typeof value === "number" && value > 0)) throw new UserError(`${what} must be above 0, not ${value}`);
}

/** @throws UserError where `value` is not at least 0 and below 1 */
export function checkRate(what: string, value: number): void {
  if (!(value >= 0 && value < 1)) throw new UserError(`${what} must be at least 0 and below 1, not ${value}`);
}
