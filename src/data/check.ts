import { UserError } from "../errors.js";

/** Refuses anything but a whole number of at least `minimum`. */
export function checkWhole(name: string, value: number, minimum = 1): void {
  if (!Number.isSafeInteger(value) || value < minimum) {
    throw new UserError(`${name} must be a whole number of at least ${minimum}, but is ${show(value)}.`);
  }
}

/** Refuses a series that holds NaN or an infinity; `name` says which series. */
export function checkFinite(name: string, values: ArrayLike<number>): void {
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) {
      throw new UserError(`${name} must hold finite numbers, but value ${i + 1} of ${values.length} is ${values[i]}.`);
    }
  }
}

/** A value as it can stand in a message: quoted and cut where long. */
export function show(value: unknown): string {
  if (typeof value !== "string") {
    return typeof value === "object" && value !== null ? "an object" : String(value);
  }
  const characters = Array.from(value);
  return JSON.stringify(characters.length > 60 ? `${characters.slice(0, 60).join("")}…` : value);
}

/** `"a"`, `"a" and "b"`, `"a", "b" and "c"`. */
export function listNames(names: readonly string[]): string {
  const shown = names.map(show);
  const last = shown.pop();
  return shown.length === 0 ? (last ?? "none") : `${shown.join(", ")} and ${last}`;
}

/** `1 row`, `2 rows`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** The fields of a parsed JSON object; `what` names it in the error. */
export function fieldsOf(what: string, json: unknown): Readonly<Record<string, unknown>> {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new UserError(`${what} must be a JSON object, but is ${Array.isArray(json) ? "a list" : show(json)}.`);
  }
  return json as Readonly<Record<string, unknown>>;
}

/** A finite number read from JSON; `what` names it in the error. */
export function numberField(what: string, value: unknown): number {
  if (typeof value !== "number" || !Number.isFinite(value)) {
    throw new UserError(`${what} must be a finite number, but is ${show(value)}.`);
  }
  return value;
}

/** A name as the first words of a sentence: a file's name as it is, `the text` as `The text`. */
export function sentence(name: string): string {
  return name.startsWith("the ") ? `T${name.slice(1)}` : name;
}
