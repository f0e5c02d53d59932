import { execFile, spawn } from "node:child_process";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { loadRun, saveRun } from "../../src/files/run-folder-node.js";
import { runOfStep, stepOf } from "./run-of-step.js";
import { temporaryFolder } from "./temporary-folder.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const script = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/**
 * Starts a process that saves into all of `dirs`, and kills it a random moment after it has loaded them, or, if `late`,
 * after its first finished save. Returns the last step it told for each folder.
 */
async function killWhileSaving(
  dirs: readonly string[],
  late: boolean,
  watch: (dir: string) => Promise<void>,
): Promise<Map<string, number>> {
  const child = spawn(process.execPath, ["--import", "tsx", script("save-forever.ts"), ...dirs], {
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const told = new Map<string, number>();
  let armed = false;
  for await (const line of createInterface({ input: child.stdout })) {
    const report = JSON.parse(line) as { dir: string; saved: number };
    if (!armed && (!late || told.has(report.dir))) {
      armed = true;
      setTimeout(() => child.kill("SIGKILL"), Math.random() * 200);
      await watch(dirs[0]!);
    }
    told.set(report.dir, report.saved);
  }
  await ended;
  expect(child.signalCode).toBe("SIGKILL");
  return told;
}

test("a process killed while it saves, 10 times into 4 folders, leaves the old run or the new one whole", async () => {
  const base = await temporaryFolder();
  const steady = ["a", "b", "c"].map((name) => join(base, name));
  for (const dir of steady) await saveRun(dir, runOfStep(1));
  let interrupted = 0;
  let advanced = 0;
  for (let kill = 0; kill < 10; kill++) {
    const fresh = join(base, `fresh-${kill}`);
    const dirs = [...steady, fresh];
    const before = new Map(await Promise.all(steady.map(async (dir) => [dir, stepOf(await loadRun(dir))] as const)));
    const told = await killWhileSaving(dirs, kill % 2 === 1, async (dir) => {
      for (let reads = 0; reads < 3; reads++) stepOf(await loadRun(dir)); // a reader meets whole runs only
    });
    for (const dir of dirs) {
      const last = told.get(dir) ?? before.get(dir) ?? 0;
      const names = await readdir(dir).catch(() => []);
      if (names.length > 2) interrupted++;
      if (dir === fresh && last === 0) {
        const outcome = await loadRun(dir).then(stepOf, (error: Error) => error.message);
        if (outcome !== 1) expect(outcome).toMatch(/no run folder|holds nothing yet/);
        await saveRun(dir, runOfStep(1));
      }
      const step = stepOf(await loadRun(dir));
      expect(step, `${dir} with ${names}`).toBeGreaterThanOrEqual(last);
      expect(step).toBeLessThanOrEqual(last + 1);
      if (step > (before.get(dir) ?? 0)) advanced++;
    }
  }
  expect(interrupted).toBeGreaterThan(2); // the kills did come in the middle of saves
  expect(advanced).toBeGreaterThanOrEqual(5); // and the saves between them did finish
  for (const dir of steady) {
    for (let again = 0; again < 2; again++) await saveRun(dir, runOfStep(1000));
    expect((await readdir(dir)).length).toBe(2); // what the crashes left is gone
    expect(stepOf(await loadRun(dir))).toBe(1000);
  }
}, 60_000);

test("a full disk: one sentence, the old run intact, nothing left behind", async () => {
  const dir = join(await temporaryFolder(), "run");
  await saveRun(dir, runOfStep(1, 1000));
  const before = await readdir(dir);
  const command = `ulimit -f 512; exec "$0" --import tsx "$@"`;
  const save = (step: number, count: number) =>
    promisify(execFile)("bash", ["-c", command, process.execPath, script("save-once.ts"), dir, `${step}`, `${count}`], {
      cwd: root,
    });
  const failure = await save(2, 400_000).then(
    () => undefined,
    (error: { code: number; stdout: string; stderr: string }) => error,
  );
  expect(failure).toMatchObject({
    code: 1,
    stdout: "",
    stderr: `cannot save the run ${dir}: it would be larger than the system allows.\n`,
  });
  expect(await readdir(dir)).toEqual(before);
  expect(stepOf(await loadRun(dir))).toBe(1);
  await save(3, 1000); // under the same limit, a run that fits
  expect(stepOf(await loadRun(dir))).toBe(3);
});
