import { randomBytes } from "node:crypto";
import { access, chmod, constants, open, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { UserError } from "../errors.js";
import { codeOf, ioProblem } from "./io-node.js";

/** The names of temporary files that a crash can leave behind; nothing else is called so. */
export const TEMPORARY_NAME = /^\.throughtime-[0-9a-f]{16}\.tmp$/;

/** A new path in a folder for a file that will not stay. */
export const temporaryIn = (folder: string): string =>
  join(folder, `.throughtime-${randomBytes(8).toString("hex")}.tmp`);

/**
 * Writes a file so that a crash at any moment, of the process or of the machine, leaves the old file or the new one
 * whole: a temporary file in the same folder, fsync, rename, fsync of the folder. Links are followed, and an existing
 * file keeps its mode.
 *
 * @param data bytes, or text that is written as UTF-8.
 * @throws UserError that names the path and why it cannot be written; the temporary file is then removed.
 */
export async function writeFileAtomic(path: string, data: Uint8Array | string): Promise<void> {
  let temporary: string | undefined;
  try {
    const { target, mode } = await targetOf(path);
    temporary = temporaryIn(dirname(target));
    await writeSynced(temporary, data);
    if (mode !== undefined) await chmod(temporary, mode);
    await rename(temporary, target);
    temporary = undefined;
    await syncFolder(dirname(target));
  } catch (error) {
    if (temporary) await rm(temporary, { force: true }).catch(() => {}); // the first failure is the one to tell
    if (error instanceof UserError) throw error;
    const problem = codeOf(error) === "ENOENT" ? `there is no folder ${dirname(path)}` : ioProblem(error);
    throw new UserError(`cannot write ${path}: ${problem}.`);
  }
}

/** Where a path leads: a regular file that may be written, with its mode, or a name that is still free. */
async function targetOf(path: string): Promise<{ target: string; mode?: number }> {
  // An empty path or one that ends in a separator names no file; stat would call it missing.
  if (!basename(path) || /[/\\]$/.test(path)) throw new UserError(`cannot write "${path}": it names no file.`);
  const found = await stat(path).catch((error: unknown) => {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  });
  if (!found) return { target: path };
  // A rename would put a file where a folder or a device was.
  if (!found.isFile())
    throw new UserError(`cannot write ${path}: it is ${found.isDirectory() ? "a folder" : "no file"}.`);
  await access(path, constants.W_OK);
  return { target: await realpath(path), mode: found.mode & 0o7777 };
}

/** Writes a new file and waits until the disk has it; the file must not exist. */
export async function writeSynced(path: string, data: Uint8Array | string): Promise<void> {
  const file = await open(path, "wx");
  try {
    await file.writeFile(data);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Waits until the disk has a folder's names. Windows opens no folders, and keeps renames in its own journal. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
