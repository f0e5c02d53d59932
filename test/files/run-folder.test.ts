import { copyFile, mkdir, readdir, readFile, rm, stat, symlink, truncate, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { UserError } from "../../src/errors.js";
import {
  checkSavable,
  isDamagedRun,
  isRun,
  loadRun,
  type RunContents,
  runFile,
  runText,
  saveRun,
} from "../../src/files/run-folder-node.js";
import { runOfStep, stepOf } from "./run-of-step.js";
import { temporaryFolder } from "./temporary-folder.js";

let base: string;
let dir: string;
beforeEach(async () => {
  base = await temporaryFolder();
  dir = join(base, "run");
});

async function refusal(action: Promise<unknown>): Promise<string> {
  const error = await action.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(UserError);
  const { message } = error as Error;
  expect(message).toMatch(/^[^\n]+\.$/);
  return message;
}

const small = (step: number) => runOfStep(step, 10);
const checkpoint = async () => join(dir, (await loadRun(dir)).checkpoint);

async function editManifest(edit: (manifest: Record<string, unknown>) => void): Promise<void> {
  const path = join(dir, "run.json");
  const manifest = JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
  edit(manifest);
  await writeFile(path, JSON.stringify(manifest));
}

describe("a saved run", () => {
  test("comes back as it was, whatever it holds", async () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9._-]{0,10}[a-z]$/);
    const files = fc.dictionary(name, fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.string({ unit: "grapheme" })));
    await fc.assert(
      fc.asyncProperty(fc.jsonValue({ noUnicodeString: false }), files, async (config, files) => {
        const contents: RunContents = { config, files };
        await saveRun(dir, contents);
        const run = await loadRun(dir);
        expect(run.config).toEqual(JSON.parse(JSON.stringify(config)));
        expect([...run.files.keys()].sort()).toEqual(Object.keys(files).sort());
        for (const [name, data] of Object.entries(files)) {
          if (typeof data === "string") expect(runText(run, name)).toBe(data);
          else expect([...runFile(run, name)]).toEqual([...data]);
        }
      }),
      { numRuns: 60 },
    );
  });

  test("lies in plain sight: run.json, and the files under their own names in one checkpoint folder", async () => {
    for (const step of [1, 2, 3]) await saveRun(dir, small(step));
    expect((await readdir(dir)).sort()).toEqual(["checkpoint-000003", "run.json"]);
    expect((await readdir(join(dir, "checkpoint-000003"))).sort()).toEqual(Object.keys(small(3).files).sort());
    const manifest = JSON.parse(await readFile(join(dir, "run.json"), "utf8"));
    expect(manifest).toMatchObject({ format: "throughtime-run", version: 1, checkpoint: "checkpoint-000003" });
    expect(manifest.config).toEqual(small(3).config);
    expect(Object.keys(manifest.files)).toEqual(Object.keys(small(3).files));
  });

  test("can hold other files at every save", async () => {
    await saveRun(dir, small(1));
    await saveRun(dir, { config: {}, files: { "scaler.json": "{}" } });
    expect([...(await loadRun(dir)).files.keys()]).toEqual(["scaler.json"]);
  });

  test("is made in folders that do not exist yet, and in an empty one", async () => {
    await saveRun(join(dir, "a", "b"), small(1));
    await mkdir(join(base, "empty"));
    await saveRun(join(base, "empty"), small(2));
    expect(stepOf(await loadRun(join(dir, "a", "b")))).toBe(1);
    expect(stepOf(await loadRun(join(base, "empty")))).toBe(2);
  });

  test("saved many times at once is saved in that order", async () => {
    await Promise.all([1, 2, 3, 4, 5].map((step) => saveRun(dir, small(step))));
    expect(stepOf(await loadRun(dir))).toBe(5);
    expect((await readdir(dir)).sort()).toEqual(["checkpoint-000005", "run.json"]);
  });

  test("is found by loads that go on meanwhile", async () => {
    await saveRun(dir, small(1));
    let saving = true;
    const writer = (async () => {
      for (let step = 2; step <= 30; step++) await saveRun(dir, small(step));
      saving = false;
    })();
    let last = 1;
    while (saving) {
      const step = stepOf(await loadRun(dir));
      expect(step).toBeGreaterThanOrEqual(last);
      last = step;
    }
    await writer;
    expect(last).toBeGreaterThan(1);
  });

  test("survives a failed save that waits before a good one", async () => {
    const bad = saveRun(dir, { config: { a: NaN }, files: {} });
    const good = saveRun(dir, small(2));
    await refusal(bad);
    await good;
    expect(stepOf(await loadRun(dir))).toBe(2);
  });

  test("loses what a crash left beside it: at the second save, or after ten minutes", async () => {
    await saveRun(dir, small(1));
    await mkdir(join(dir, "checkpoint-000002"));
    await writeFile(join(dir, "checkpoint-000002", "weights.safetensors"), "half");
    await writeFile(join(dir, ".throughtime-0123456789abcdef.tmp"), "half");
    await saveRun(dir, small(2));
    expect((await readdir(dir)).sort()).toEqual(["checkpoint-000002", "checkpoint-000003", "run.json"]);
    const longAgo = new Date(Date.now() - 11 * 60 * 1000);
    await mkdir(join(dir, "checkpoint-000009"));
    await utimes(join(dir, "checkpoint-000009"), longAgo, longAgo);
    await saveRun(dir, small(3));
    expect((await readdir(dir)).sort()).toEqual(["checkpoint-000004", "run.json"]);
    expect(stepOf(await loadRun(dir))).toBe(3);
  });

  test("whose checkpoint folder was deleted can be saved again", async () => {
    for (const step of [1, 2]) await saveRun(dir, small(step));
    await rm(join(dir, "checkpoint-000002"), { recursive: true });
    await saveRun(dir, small(3));
    expect((await readdir(dir)).sort()).toEqual(["checkpoint-000003", "run.json"]);
    expect(stepOf(await loadRun(dir))).toBe(3);
  });

  test("keeps what a person put beside it", async () => {
    await saveRun(dir, small(1));
    await writeFile(join(dir, "notes.txt"), "mine");
    await mkdir(join(dir, "checkpoint-best"));
    await saveRun(dir, small(2));
    expect((await readdir(dir)).sort()).toEqual(["checkpoint-000002", "checkpoint-best", "notes.txt", "run.json"]);
  });
});

describe("a save refuses, and leaves everything as it was", () => {
  test.each(["thesis.txt", ".hidden", "checkpoint-000001", "throughtime.tmp"])(
    "a folder that holds %s",
    async (name) => {
      await mkdir(dir);
      await writeFile(join(dir, name), "mine");
      expect(await refusal(saveRun(dir, small(1)))).toBe(
        `${dir} is not overwritten: it holds files but no run.json, so it is no run folder.`,
      );
      expect(await readdir(dir)).toEqual([name]);
    },
  );

  test("a run.json of another program, of another version, or damaged", async () => {
    await mkdir(dir);
    for (const [text, culprit] of [
      ['{"name": "someone else\'s"}', "not written by throughtime"],
      ['{"format": "throughtime-run", "version": 7}', "version 7"],
      ['{"format": "through', "not valid JSON"],
    ] as const) {
      await writeFile(join(dir, "run.json"), text);
      const message = await refusal(saveRun(dir, small(1)));
      expect(message).toContain(join(dir, "run.json"));
      expect(message).toContain(culprit);
      expect(await readFile(join(dir, "run.json"), "utf8")).toBe(text);
    }
  });

  test("a file in the folder's place, and in a parent's", async () => {
    await writeFile(dir, "mine");
    expect(await refusal(saveRun(dir, small(1)))).toBe(`${dir} is a file, not a run folder.`);
    expect(await refusal(saveRun(join(dir, "inner"), small(1)))).toContain(join(dir, "inner"));
    expect(await readFile(dir, "utf8")).toBe("mine");
  });

  test.runIf(process.platform === "linux")(
    "a folder where the system makes none, at once: Node's recursive mkdir would turn round for ever",
    async () => {
      expect(await refusal(saveRun("/proc/throughtime/run", small(1)))).toContain("/proc/throughtime/run");
      expect(await refusal(checkSavable("/proc/throughtime/run"))).toMatch(
        /^no run can be saved in \/proc\/throughtime\/run: (\/proc takes no files|permission is denied)\.$/,
      );
    },
  );

  test("a link to nothing in a parent's place, which stays as it is", async () => {
    await symlink(join(base, "gone"), join(base, "link"));
    expect(await refusal(saveRun(join(base, "link", "run"), small(1)))).toContain(join(base, "link", "run"));
    expect(await refusal(checkSavable(join(base, "link", "run")))).toBe(
      `no run can be saved in ${join(base, "link", "run")}: ${join(base, "link")} is a link that leads nowhere.`,
    );
    expect(await readdir(base)).toEqual(["link"]);
  });

  test.each(["../escape", "a/b", "a\\b", "", ".", "..", ".hidden", "con trol", "ä.json", `${"x".repeat(200)}`])(
    "the file name %j",
    async (name) => {
      const message = await refusal(saveRun(dir, { config: {}, files: { [name]: "x" } }));
      expect(message).toContain(JSON.stringify(name));
      expect(message).toContain(dir);
      expect(await readdir(base)).toEqual([]);
    },
  );

  test("names that differ in upper and lower case only", async () => {
    const files = { "Weights.bin": "", "weights.bin": "" };
    expect(await refusal(saveRun(dir, { config: {}, files }))).toContain('"weights.bin"');
  });

  test("a file too large to be read back", async () => {
    const huge = Object.defineProperty(new Uint8Array(1), "byteLength", { value: 2 ** 31 });
    const message = await refusal(saveRun(dir, { config: {}, files: { "weights.safetensors": huge } }));
    expect(message).toContain("weights.safetensors has 2147483648 bytes");
    expect(await readdir(base)).toEqual([]);
  });

  const circular: Record<string, unknown> = {};
  circular.self = circular;
  test.each([
    [{ learningRate: NaN }, "config.learningRate is NaN"],
    [{ best: [1, Infinity] }, "config.best[1] is Infinity"],
    [{ a: { b: 1n } }, "config.a.b is a bigint"],
    [[() => 0], "config[0] is a function"],
    [[undefined], "config[0] is undefined"],
    [undefined, "config is undefined"],
    [{ when: new Date(0) }, "config.when is a Date"],
    [{ w: new Float32Array(2) }, "config.w is a Float32Array"],
    [{ m: new Map() }, "config.m is a Map"],
    [circular, "config.self holds itself"],
  ])("a configuration that JSON cannot hold: %#", async (config, culprit) => {
    const message = await refusal(saveRun(dir, { config, files: {} }));
    expect(message).toBe(`the run ${dir} cannot be saved: ${culprit}, which JSON cannot hold.`);
    expect(await readdir(base)).toEqual([]);
  });
});

describe("a run whose run.json is damaged", () => {
  const replaceDamaged = true;

  test("cut short at every byte, or all zeros, is replaced where that is asked for, and only there", async () => {
    await saveRun(dir, small(1));
    await saveRun(dir, small(2));
    const manifest = join(dir, "run.json");
    const whole = await readFile(manifest);
    const left = [Buffer.alloc(whole.length)];
    for (let length = whole.length - 2; length >= 0; length--) left.push(whole.subarray(0, length));
    for (const [i, bytes] of left.entries()) {
      await writeFile(manifest, bytes);
      expect(await isDamagedRun(dir), `${bytes.length} bytes`).toBe(true);
      if (i % 100 !== 0 && bytes.length > 0) continue;
      const before = (await readdir(dir)).sort();
      expect(await refusal(saveRun(dir, small(3)))).toContain(`${manifest} is not valid JSON`);
      expect(await refusal(checkSavable(dir))).toContain(`${manifest} is not valid JSON`);
      expect((await readdir(dir)).sort()).toEqual(before);
      await checkSavable(dir, { replaceDamaged });
      await saveRun(dir, small(i), { replaceDamaged });
      expect(stepOf(await loadRun(dir))).toBe(i);
      expect(await readdir(dir)).toHaveLength(2);
      expect(await isDamagedRun(dir)).toBe(false);
    }
  });

  test("keeps what a person put beside it", async () => {
    await saveRun(dir, small(1));
    await truncate(join(dir, "run.json"), 60);
    await writeFile(join(dir, "notes.txt"), "mine");
    await saveRun(dir, small(2), { replaceDamaged });
    expect((await readdir(dir)).sort()).toEqual(["checkpoint-000002", "notes.txt", "run.json"]);
  });

  test("is not what another program, another version or a person wrote: nothing of that is replaced", async () => {
    const folders: Record<string, Record<string, string>> = {
      foreign: { "run.json": '{"name": "someone else\'s"}', "checkpoint-000001/model.bin": "theirs" },
      broken: { "run.json": '{"name": "someone', "checkpoint-000001/model.bin": "theirs" },
      newer: { "run.json": '{"format": "throughtime-run", "version": 7, "x"', "checkpoint-000001/w": "" },
      unknown: { "run.json": '{"format": "throughtime-run", "version": 7}', "checkpoint-000001/w": "" },
      alone: { "run.json": "" },
      beside: { "run.json": "", "checkpoint-000001/w": "", "thesis.txt": "mine" },
      plain: { "run.json": "", "checkpoint-000001": "a file" },
      none: { "checkpoint-000001/model.bin": "theirs" },
    };
    for (const [name, files] of Object.entries(folders)) {
      const folder = join(base, name);
      for (const [file, text] of Object.entries(files)) {
        await mkdir(dirname(join(folder, file)), { recursive: true });
        await writeFile(join(folder, file), text);
      }
      expect(await isDamagedRun(folder), name).toBe(false);
      await refusal(checkSavable(folder, { replaceDamaged }));
      await refusal(saveRun(folder, small(1), { replaceDamaged }));
      expect((await readdir(folder)).sort(), name).toEqual(
        [...new Set(Object.keys(files).map((file) => file.split("/")[0]!))].sort(),
      );
      for (const [file, text] of Object.entries(files))
        expect(await readFile(join(folder, file), "utf8"), name).toBe(text);
    }
  });
});

describe("a load names what is wrong", () => {
  const path = async (name: string) => join(await checkpoint(), name);

  test("no folder, no run, a file", async () => {
    expect(await refusal(loadRun(dir))).toBe(`there is no run folder ${dir}.`);
    expect(await refusal(loadRun(base))).toBe(`${base} is no run folder: it holds no run.json.`);
    await writeFile(dir, "");
    expect(await refusal(loadRun(dir))).toBe(`${dir} is a file, not a run folder.`);
    expect([await isRun(dir), await isRun(base), await isRun(join(base, "none"))]).toEqual([false, false, false]);
  });

  test("each file missing", async () => {
    for (const name of Object.keys(small(1).files)) {
      await saveRun(dir, small(1));
      const missing = await path(name);
      await rm(missing);
      expect(await refusal(loadRun(dir))).toBe(`${missing} is missing, though run.json lists it.`);
    }
  });

  test("each file cut short, at every byte", async () => {
    await saveRun(dir, runOfStep(1, 2));
    for (const name of Object.keys(small(1).files)) {
      const file = await path(name);
      const { size } = await stat(file);
      await copyFile(file, join(base, "whole"));
      for (let length = size - 1; length >= 0; length--) {
        await truncate(file, length);
        const message = await refusal(loadRun(dir));
        expect(message).toBe(`${file} has ${length} bytes where run.json says ${size} (was it cut short?).`);
      }
      await copyFile(join(base, "whole"), file);
      expect(stepOf(await loadRun(dir))).toBe(1);
    }
  });

  test("a file with one bit changed, and one that grew", async () => {
    await saveRun(dir, small(1));
    const file = await path("weights.safetensors");
    const bytes = await readFile(file);
    bytes[bytes.length - 1]! ^= 1;
    await writeFile(file, bytes);
    expect(await refusal(loadRun(dir))).toContain(`${file} has changed`);
    await writeFile(file, Buffer.concat([bytes, bytes]));
    expect(await refusal(loadRun(dir))).toContain(`${file} has ${2 * bytes.length} bytes where run.json says`);
  });

  test("a folder in a file's place, and a link that leads nowhere", async () => {
    await saveRun(dir, small(1));
    const file = await path("trainer.json");
    await rm(file);
    await mkdir(file);
    expect(await refusal(loadRun(dir))).toContain(`${file} is not a file`);
    await rm(file, { recursive: true });
    await symlink("nowhere", file);
    expect(await refusal(loadRun(dir))).toContain(`${file} is missing`);
  });

  test("run.json cut short at every byte", async () => {
    await saveRun(dir, { config: { a: 1 }, files: { "x.json": "{}" } });
    const manifest = join(dir, "run.json");
    const { size } = await stat(manifest);
    for (let length = size - 2; length >= 0; length--) {
      await truncate(manifest, length);
      expect(await refusal(loadRun(dir))).toBe(`${manifest} is not valid JSON (was it cut short or edited?).`);
      expect(await isRun(dir)).toBe(false);
    }
  });

  test.each<[string, (manifest: Record<string, unknown>) => void, string]>([
    ["another format", (m) => Object.assign(m, { format: "other" }), "was not written by throughtime"],
    ["another version", (m) => Object.assign(m, { version: 2 }), "is of version 2"],
    ["no version", (m) => delete m.version, "is of version missing"],
    ["a checkpoint outside", (m) => Object.assign(m, { checkpoint: "../checkpoint-000001" }), '"checkpoint"'],
    ["no checkpoint", (m) => delete m.checkpoint, '"checkpoint"'],
    ["no config", (m) => delete m.config, '"config"'],
    ["no files", (m) => delete m.files, '"files"'],
    ["files in a list", (m) => Object.assign(m, { files: [] }), '"files"'],
    ["a file outside", (m) => Object.assign(m, { files: { "../../secret": entry } }), '"../../secret"'],
    ["no size", (m) => Object.assign(m, { files: { x: { ...entry, bytes: undefined } } }), '"x"'],
    ["a size below zero", (m) => Object.assign(m, { files: { x: { ...entry, bytes: -1 } } }), '"x"'],
    ["half a hash", (m) => Object.assign(m, { files: { x: { ...entry, sha256: "abc" } } }), '"x"'],
    ["a file that is null", (m) => Object.assign(m, { files: { x: null } }), '"x"'],
  ])("a run.json with %s", async (what, edit, culprit) => {
    await saveRun(dir, small(1));
    await editManifest(edit);
    const message = await refusal(loadRun(dir));
    expect(message).toContain(join(dir, "run.json"));
    expect(message).toContain(culprit);
    expect(await isRun(dir)).toBe(false);
    expect(await isDamagedRun(dir)).toBe(!/^another/.test(what));
  });
  const entry = { bytes: 1, sha256: "0".repeat(64) };

  test("a run whose first save did not finish, which a save may then complete", async () => {
    await saveRun(dir, small(1));
    await editManifest((manifest) => Object.assign(manifest, { checkpoint: null }));
    expect(await refusal(loadRun(dir))).toContain(`${dir} holds nothing yet`);
    expect(await isRun(dir)).toBe(false);
    await saveRun(dir, small(2));
    expect(await isRun(dir)).toBe(true);
    expect(stepOf(await loadRun(dir))).toBe(2);
  });

  test("a file that is asked for but not there, or not text", async () => {
    await saveRun(dir, { config: null, files: { "a.bin": Uint8Array.of(0xff), "b.json": "{}" } });
    const run = await loadRun(dir);
    expect(() => runFile(run, "weights.safetensors")).toThrow(
      new UserError(`the run ${dir} holds no weights.safetensors, only a.bin, b.json.`),
    );
    expect(() => runText(run, "a.bin")).toThrow(`${join(dir, run.checkpoint, "a.bin")} is not UTF-8 text.`);
  });
});
