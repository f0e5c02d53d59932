import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadTextRun } from "../../src/files/text-run-node.js";
import { temporaryFolder } from "../files/temporary-folder.js";
import { ended, filesOf, lasting, play, reports, start, throughtime, tiny } from "./command.js";

const endless = ["text", "train", play, ...tiny, "--steps", "1000000", "--json", "--out", "run"];
const hasBegun = async (child: ChildProcess): Promise<void> => void (await once(child.stdout!, "data"));

test("Ctrl-C ends after the step with the run saved, and a resume goes on as if there had been none", async () => {
  const cwd = await temporaryFolder();
  const child = start(endless, { cwd });
  const end = ended(child);
  await hasBegun(child);
  child.kill("SIGINT");
  const { code, stdout, stderr } = await end;
  const before = reports(stdout);
  const { step } = before.at(-1)!;
  expect(stderr).toBe(`stopped by SIGINT after step ${step}: saved in run, and --resume goes on from there.\n`);
  expect(code).toBe(130);

  const to = ["--steps", String(step + 20), "--json"];
  const [resumed, straight] = await Promise.all([
    throughtime(["text", "train", play, "--resume", "--out", "run", ...to], { cwd }),
    throughtime(["text", "train", play, ...tiny, "--out", "straight", ...to], { cwd }),
  ]);
  expect(lasting([...before, ...reports(resumed.stdout)])).toEqual(lasting(reports(straight.stdout)));
  const [one, two] = [await filesOf(join(cwd, "straight")), await filesOf(join(cwd, "run"))];
  for (const [name, bytes] of Object.entries(one)) expect(two[name]!.equals(bytes), name).toBe(true);
});

test("SIGTERM saves and exits with 143; a closed pipe saves without a word about the pipe", async () => {
  const [one, two] = [await temporaryFolder(), await temporaryFolder()];
  const terminated = start(endless, { cwd: one });
  const closed = start(endless, { cwd: two });
  const ends = Promise.all([ended(terminated), ended(closed)]);
  await Promise.all([hasBegun(terminated), hasBegun(closed)]);
  terminated.kill("SIGTERM");
  closed.stdout!.destroy();
  const [first, second] = await ends;
  expect(first.code).toBe(143);
  expect(second.code).toBe(141);
  expect(second.stderr).toMatch(
    /^stopped by a closed pipe after step \d+: saved in run, and --resume goes on from there\.\n$/,
  );
  for (const cwd of [one, two]) {
    const run = await loadTextRun(join(cwd, "run"));
    expect(run.checkpoint().progress.step).toBeGreaterThan(0);
  }
});

test("Ctrl-C does not wait for a long validation", async () => {
  const cwd = await temporaryFolder();
  const options = ["--hidden", "100", "--batch", "2", "--window", "5", "--validation", "0.9", "--backend", "reference"];
  const child = start(["text", "train", play, ...options, "--steps", "2", "--json", "--out", "run"], { cwd });
  const end = ended(child);
  await hasBegun(child);
  await new Promise((resolve) => setTimeout(resolve, 500)); // the second step is done, and minutes of validation begin
  child.kill("SIGINT");
  const { code, stdout, stderr } = await end;
  expect(reports(stdout).map(({ step }) => step)).toEqual([1]);
  expect(stderr).toBe("stopped by SIGINT after step 2: saved in run, and --resume goes on from there.\n");
  expect(code).toBe(130);
  expect((await loadTextRun(join(cwd, "run"))).checkpoint().progress).toMatchObject({ step: 2 });
});
