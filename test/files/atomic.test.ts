import { chmod, lstat, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { UserError } from "../../src/errors.js";
import { writeFileAtomic } from "../../src/files/atomic-node.js";
import { ioProblem, readBytes } from "../../src/files/io-node.js";
import { readSafetensors, writeSafetensors } from "../../src/files/safetensors-node.js";
import { temporaryFolder } from "./temporary-folder.js";

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  path = join(folder, "file.txt");
});

async function refusal(action: Promise<unknown>): Promise<string> {
  const error = await action.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(UserError);
  return (error as Error).message;
}

describe("writeFileAtomic", () => {
  test("writes text as UTF-8 and bytes as they are, over what was there", async () => {
    await writeFileAtomic(path, "straße");
    expect(await readFile(path, "utf8")).toBe("straße");
    await writeFileAtomic(path, Uint8Array.of(0, 255, 10).subarray(1));
    expect([...(await readFile(path))]).toEqual([255, 10]);
    await writeFileAtomic(path, "");
    expect((await stat(path)).size).toBe(0);
    expect(await readdir(folder)).toEqual(["file.txt"]);
  });

  test("keeps the mode of a file, and gives a new one the usual mode", async () => {
    await writeFile(join(folder, "usual"), "");
    await writeFileAtomic(path, "1");
    expect((await stat(path)).mode).toBe((await stat(join(folder, "usual"))).mode);
    await chmod(path, 0o600);
    await writeFileAtomic(path, "2");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test("writes through a link", async () => {
    await mkdir(join(folder, "elsewhere"));
    await writeFile(join(folder, "elsewhere", "real"), "old");
    await symlink(join("elsewhere", "real"), path);
    await writeFileAtomic(path, "new");
    expect((await lstat(path)).isSymbolicLink()).toBe(true);
    expect(await readFile(join(folder, "elsewhere", "real"), "utf8")).toBe("new");
    expect(await readdir(join(folder, "elsewhere"))).toEqual(["real"]);
  });

  test("many writes to one file at once leave one of them whole", async () => {
    const texts = Array.from({ length: 20 }, (_, i) => `${i}`.repeat(50_000));
    await Promise.all(texts.map((text) => writeFileAtomic(path, text)));
    expect(texts).toContain(await readFile(path, "utf8"));
    expect(await readdir(folder)).toEqual(["file.txt"]);
  });

  test("a missing folder", async () => {
    const missing = join(folder, "none", "file.txt");
    expect(await refusal(writeFileAtomic(missing, "x"))).toBe(
      `cannot write ${missing}: there is no folder ${join(folder, "none")}.`,
    );
  });

  test("a folder, a device, a file as a folder, no name", async () => {
    expect(await refusal(writeFileAtomic(folder, "x"))).toBe(`cannot write ${folder}: it is a folder.`);
    expect(await refusal(writeFileAtomic("/dev/null", "x"))).toBe("cannot write /dev/null: it is no file.");
    await writeFile(path, "mine");
    const below = join(path, "below");
    expect(await refusal(writeFileAtomic(below, "x"))).toBe(
      `cannot write ${below}: a part of its path is not a folder.`,
    );
    expect(await refusal(writeFileAtomic("", "x"))).toContain("names no file");
    expect(await refusal(writeFileAtomic(`${folder}/new/`, "x"))).toContain("names no file");
    expect(await readFile(path, "utf8")).toBe("mine");
    expect(await readdir(folder)).toEqual(["file.txt"]);
  });

  test("a name that is too long", async () => {
    const long = join(folder, "x".repeat(300));
    expect(await refusal(writeFileAtomic(long, "x"))).toBe(`cannot write ${long}: its name is too long.`);
    const longest = join(folder, "x".repeat(255));
    await writeFileAtomic(longest, "x");
    expect(await readdir(folder)).toEqual(["x".repeat(255)]);
  });
});

test("the system's problems in words, and unknown ones in the first line of its own", () => {
  const coded = (code: string) => Object.assign(new Error(`${code}: what the system says`), { code });
  expect(ioProblem(coded("ENOSPC"))).toBe("the disk is full");
  expect(ioProblem(coded("EACCES"))).toBe("permission is denied");
  expect(ioProblem(coded("EROFS"))).toBe("the disk is read-only");
  expect(ioProblem(coded("EWEIRD"))).toBe("EWEIRD: what the system says");
  expect(ioProblem(new Error("one\ntwo"))).toBe("one");
});

test("readBytes reads, and names what it cannot read", async () => {
  await writeFile(path, "x");
  expect([...(await readBytes(path))]).toEqual([0x78]);
  expect(await refusal(readBytes(folder))).toBe(`cannot read ${folder}: it is a folder.`);
  await rm(path);
  expect(await refusal(readBytes(path))).toBe(`cannot read ${path}: there is no such file or folder.`);
});

test("a safetensors file on disk", async () => {
  const data = Float64Array.of(1, -2, 0.5);
  await writeSafetensors(path, { x: { dtype: "F64", shape: [3], data } }, { step: "7" });
  const { tensors, metadata } = await readSafetensors(path);
  expect(tensors.get("x")).toEqual({ dtype: "F64", shape: [3], data });
  expect({ ...metadata }).toEqual({ step: "7" });
  await writeFile(path, "PK\x03\x04 this is a zip file");
  expect(await refusal(readSafetensors(path))).toContain(path);
});
