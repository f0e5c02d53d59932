import { expect } from "vitest";
import { refusalOf } from "../refusal.js";

/** The call must throw a UserError, one sentence or two in plain words, that contains `message`. */
export function refused(run: () => unknown, message: string): void {
  const said = refusalOf(run, message);
  expect(said).toContain(message);
  expect(said).toMatch(/^[^\n]{10,400}[.?]$/);
}
