import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { loadTextRun } from "../../src/files/text-run-node.js";
import { temporaryFolder } from "../files/temporary-folder.js";

const path = (file: string): string => fileURLToPath(new URL(`../../${file}`, import.meta.url));

test("the demo, cut short: samples on the way, a bar with its figures, and a run to sample from", async () => {
  const cwd = await temporaryFolder();
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    ["--import", import.meta.resolve("tsx"), path("examples/demo.ts"), "60"],
    { cwd, env: { ...process.env, TSX_TSCONFIG_PATH: path("tsconfig.json") } },
  );
  const titles = stdout.split("\n").filter((line) => line.startsWith("── "));
  expect(titles.map((title) => title.replaceAll("─", "").trim())).toEqual([
    "Before training",
    "After 50 steps",
    "After 60 steps",
  ]);
  expect(stderr).toMatch(/ 60\/60 {2}loss \d\.\d\d {2}gradient norm \d+\.\d\d {2}[\d,]+ characters\/s/);
  const bits = /its loss is (\d\.\d\d) bits a character; guessing has 5\.93\./.exec(stdout)?.[1];
  expect(Number(bits)).toBeLessThan(4.5);
  expect(stdout).toContain('throughtime -- text sample runs/demo --prompt "NELL:"');

  const run = await loadTextRun(`${cwd}/runs/demo`);
  const writer = await run.writer();
  let written = "";
  for await (const character of writer.generate({ prompt: "NELL:", length: 30 })) written += character;
  writer.dispose();
  expect(written).toHaveLength(30);
});
