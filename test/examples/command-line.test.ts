/** Examples started as a person starts them: what cannot be is one sentence and exit code 1. */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { temporaryFolder } from "../files/temporary-folder.js";

const path = (file: string): string => fileURLToPath(new URL(`../../${file}`, import.meta.url));

const run = (cwd: string, file: string, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> =>
  new Promise((resolve) => {
    const env = { ...process.env, TSX_TSCONFIG_PATH: path("tsconfig.json") };
    const command = ["--import", import.meta.resolve("tsx"), path(`examples/${file}.ts`), ...args];
    execFile(process.execPath, command, { cwd, env }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });

test.each([
  ["text", ["gone.txt"], "cannot read gone.txt: there is no such file or folder."],
  ["text", ["play.txt", "many"], 'steps must be a whole number, not "many"'],
  ["text", ["short.txt", "2"], "short.txt is too short to validate on: "],
  ["forecasting", ["gone.csv", "Units"], "cannot read gone.csv: there is no such file or folder."],
  ["forecasting", ["sales.csv", "Cars"], 'sales.csv has no column "Cars": it has "Month" and "Units".'],
  ["adding", ["first"], 'the seed must be a whole number, not "first"'],
  ["copy", ["-1"], 'the seed must be a whole number, not "-1"'],
  ["demo", ["1.5"], 'steps must be a whole number, not "1.5"'],
])("%s %j", async (example, args, message) => {
  const cwd = await temporaryFolder();
  await writeFile(join(cwd, "short.txt"), "hello world");
  await writeFile(join(cwd, "sales.csv"), "Month,Units\n2000-01,1\n2000-02,2\n");
  const { code, stdout, stderr } = await run(cwd, example, ...args);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toMatch(/^error: [^\n]+\n$/);
  expect(stderr.slice("error: ".length)).toContain(message);
});

test("a picture that cannot be written", async () => {
  const cwd = await temporaryFolder();
  await writeFile(join(cwd, "file"), "");
  const { code, stderr } = await run(cwd, "gradient-flow", "file/picture.svg");
  expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(/^error: E[A-Z]+: [^\n]+\n$/) });
});
