import { readFile } from "node:fs/promises";
import { UserError } from "../errors.js";

/** What the system's error codes say to a person; each completes "cannot write FILE: …". */
const PROBLEMS: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EFBIG: "it would be larger than the system allows",
  EROFS: "the disk is read-only",
  EACCES: "permission is denied",
  EPERM: "permission is denied",
  ENOENT: "there is no such file or folder",
  ENOTDIR: "a part of its path is not a folder",
  EISDIR: "it is a folder",
  ENAMETOOLONG: "its name is too long",
  EMFILE: "too many files are open",
  ENFILE: "too many files are open",
  EIO: "the disk failed",
  EBUSY: "it is in use",
  ERR_FS_FILE_TOO_LARGE: "it is larger than 2 GiB",
};

/** The system's error code of a failed file operation, "" where there is none. */
export const codeOf = (error: unknown): string => String((error as NodeJS.ErrnoException | null)?.code ?? "");

/** Why a file operation failed, in words that complete "cannot read FILE: …". */
export function ioProblem(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return PROBLEMS[codeOf(error)] ?? message.split("\n", 1)[0]!;
}

/**
 * The bytes of a file.
 * @throws UserError that names the path and why it cannot be read.
 */
export async function readBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new UserError(`cannot read ${path}: ${ioProblem(error)}.`);
  }
}

/**
 * A file as text in UTF-8.
 * @throws UserError that names the path: it cannot be read, is larger than a text may be, or is not UTF-8
 */
export async function readTextFile(path: string): Promise<string> {
  const bytes = await readBytes(path);
  if (bytes.byteLength > LARGEST_TEXT) throw new UserError(`${path} is larger than the 512 MiB that a text may have.`);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new UserError(`${path} is not a text in UTF-8.`);
  }
}

/** V8's longest string. */
const LARGEST_TEXT = 2 ** 29 - 32;
