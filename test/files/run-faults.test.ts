import { mkdir, readdir, truncate } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, expect, test, vi } from "vitest";
import { UserError } from "../../src/errors.js";
import { writeFileAtomic } from "../../src/files/atomic-node.js";
import { checkSavable, loadRun, saveRun } from "../../src/files/run-folder-node.js";
import { disk } from "./faulty-disk.js";
import { runOfStep, stepOf } from "./run-of-step.js";
import { temporaryFolder } from "./temporary-folder.js";

vi.mock("node:fs/promises", async (original) =>
  (await import("./faulty-disk.js")).faulty(await original<typeof import("node:fs/promises")>()),
);

const healthy = () => Object.assign(disk, { failAt: 0, crash: false, done: 0, failed: "" });
beforeEach(() => void healthy());

const small = (step: number) => runOfStep(step, 50);

/** Does something with its n-th file operation failing, for every n, until it needs fewer than n. */
async function atEveryOperation(
  crash: boolean,
  attempt: (failAt: number) => Promise<{ act: () => Promise<unknown>; check: (error: unknown) => Promise<void> }>,
): Promise<string[]> {
  const failed: string[] = [];
  for (let failAt = 1; ; failAt++) {
    healthy();
    const { act, check } = await attempt(failAt);
    Object.assign(disk, { failAt, crash, done: 0 });
    const error = await act().then(
      () => undefined,
      (error: unknown) => error,
    );
    const reached = disk.done >= failAt;
    const { failed: operation } = disk;
    healthy();
    if (!reached) {
      expect(error).toBeUndefined();
      return failed;
    }
    failed.push(operation);
    await check(error);
  }
}

const isClean = (names: readonly string[]) => names.length === 2 && !names.some((name) => name.startsWith("."));

test("a crash at every single file operation of a save leaves the old run or the new one", async () => {
  const base = await temporaryFolder();
  const seen = new Set<number>();
  const failed = await atEveryOperation(true, async (failAt) => {
    const dir = join(base, `run-${failAt}`);
    await saveRun(dir, small(1));
    return {
      act: () => saveRun(dir, small(2)),
      check: async () => {
        const step = stepOf(await loadRun(dir));
        expect([1, 2]).toContain(step);
        seen.add(step);
        await saveRun(dir, small(3));
        expect(stepOf(await loadRun(dir))).toBe(3);
        await saveRun(dir, small(4));
        expect(await readdir(dir)).toSatisfy(isClean);
      },
    };
  });
  expect(seen.size).toBe(2);
  expect(failed.filter((operation) => operation === "sync").length).toBeGreaterThanOrEqual(8); // files and folders
  expect(failed).toEqual(expect.arrayContaining(["mkdir", "open", "writeFile", "rename", "rm"]));
});

test("a crash at every single file operation of a first save leaves no run or the whole one", async () => {
  const base = await temporaryFolder();
  await atEveryOperation(true, async (failAt) => {
    const dir = join(base, `fresh-${failAt}`, "run");
    return {
      act: () => saveRun(dir, small(2)),
      check: async () => {
        const outcome = await loadRun(dir).then(stepOf, (error: unknown) => error);
        if (outcome !== 2) {
          expect(outcome).toBeInstanceOf(UserError);
          expect((outcome as Error).message).toMatch(/no run folder|holds nothing yet/);
        }
        await saveRun(dir, small(3));
        expect(stepOf(await loadRun(dir))).toBe(3);
        await saveRun(dir, small(4));
        await saveRun(dir, small(5));
        expect(await readdir(dir)).toSatisfy(isClean);
      },
    };
  });
});

test("a full disk at every single file operation: one sentence, the old run intact, nothing left", async () => {
  const base = await temporaryFolder();
  let told = 0;
  await atEveryOperation(false, async (failAt) => {
    const dir = join(base, `run-${failAt}`);
    await saveRun(dir, small(1));
    return {
      act: () => saveRun(dir, small(2)),
      check: async (error) => {
        const names = await readdir(dir);
        expect(names.some((name) => name.startsWith("."))).toBe(false);
        const step = stepOf(await loadRun(dir));
        if (step === 1) {
          expect(error).toBeInstanceOf(UserError);
          expect((error as Error).message).toMatch(/^cannot [^\n]*: the disk is full\.$/);
          expect((error as Error).message).toContain(dir);
          expect(names).toSatisfy(isClean);
          told++;
        }
        await saveRun(dir, small(3));
        expect(await readdir(dir)).toSatisfy(isClean);
      },
    };
  });
  expect(told).toBeGreaterThan(15);
});

test.each([true, false])("a damaged run is replaced whole, or is as it was (crash: %s)", async (crash) => {
  const base = await temporaryFolder();
  const seen = new Set<string>();
  await atEveryOperation(crash, async (failAt) => {
    const dir = join(base, `run-${failAt}`);
    await saveRun(dir, small(1));
    await truncate(join(dir, "run.json"), 70);
    return {
      act: () => saveRun(dir, small(2), { replaceDamaged: true }),
      check: async (error) => {
        const names = (await readdir(dir)).sort();
        const outcome = await loadRun(dir).then(stepOf, () => "as it was");
        seen.add(String(outcome));
        if (outcome !== 2) {
          expect((await readdir(join(dir, "checkpoint-000001"))).sort()).toEqual(Object.keys(small(1).files).sort());
          if (!crash) expect(names).toEqual(["checkpoint-000001", "run.json"]);
          if (!crash) expect((error as Error).message).toMatch(/the disk is full\.$/);
        }
        for (const step of [3, 4]) await saveRun(dir, small(step), { replaceDamaged: true });
        expect(stepOf(await loadRun(dir))).toBe(4);
        expect(await readdir(dir)).toSatisfy(isClean);
      },
    };
  });
  expect([...seen].sort()).toEqual(["2", "as it was"]);
});

test("a trial that the disk refuses is told in one sentence and leaves nothing", async () => {
  const base = await temporaryFolder();
  const told: unknown[] = [];
  const failed = await atEveryOperation(false, async () => ({
    act: () => checkSavable(join(base, "runs", "run")),
    check: async (error) => {
      told.push(error && (error as Error).message.replace(/^.*: /, ""));
      expect(await readdir(base)).toEqual([]);
    },
  }));
  // Where it cannot be asked what a missing folder is, it is taken as missing.
  expect(failed.slice(0, 2)).toEqual(["readFile", "stat"]);
  expect(told).toEqual(failed.map((_, i) => (i === 1 ? undefined : "the disk is full.")));
  expect(failed).toEqual(expect.arrayContaining(["open", "writeFile", "sync", "rm"]));
});

test("a full disk at every single file operation of a first save leaves no folder", async () => {
  const base = await temporaryFolder();
  await atEveryOperation(false, async (failAt) => {
    const outer = join(base, `fresh-${failAt}`);
    const dir = join(outer, "run");
    return {
      act: () => saveRun(dir, small(2)),
      check: async (error) => {
        if ((await readdir(base)).includes(`fresh-${failAt}`)) {
          expect(stepOf(await loadRun(dir))).toBe(2);
        } else {
          expect(error).toBeInstanceOf(UserError);
          expect((error as Error).message).toMatch(/^cannot [^\n]*: the disk is full\.$/);
        }
      },
    };
  });
});

test.each([true, false])("one file, at every single operation: old or new (crash: %s)", async (crash) => {
  const base = await temporaryFolder();
  const { readFile } = await vi.importActual<typeof import("node:fs/promises")>("node:fs/promises");
  await atEveryOperation(crash, async (failAt) => {
    const folder = join(base, `${failAt}`);
    await mkdir(folder);
    const path = join(folder, "weights.safetensors");
    await writeFileAtomic(path, "old".repeat(1000));
    return {
      act: () => writeFileAtomic(path, "new".repeat(1000)),
      check: async (error) => {
        expect(["old".repeat(1000), "new".repeat(1000)]).toContain(await readFile(path, "utf8"));
        if (crash) return;
        expect(error).toEqual(new UserError(`cannot write ${path}: the disk is full.`));
        expect(await readdir(folder)).toEqual(["weights.safetensors"]);
      },
    };
  });
});
