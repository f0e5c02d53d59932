import { afterEach, beforeEach, vi } from "vitest";

/** Keeps what a test's example prints out of the test's own report; gives it back. */
export function printed(): () => string {
  let lines: string[] = [];
  beforeEach(() => {
    lines = [];
    vi.spyOn(console, "log").mockImplementation((line = "") => void lines.push(`${line}\n`));
    vi.spyOn(process.stdout, "write").mockImplementation((chunk) => lines.push(`${chunk}`) > 0);
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });
  return () => lines.join("");
}
