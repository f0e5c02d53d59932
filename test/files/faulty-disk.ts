/** Stands in for `node:fs/promises` in tests: the real file system, in which the n-th operation can fail. */

import type * as FileSystem from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";

/** `failAt` counts from 1; 0 is a healthy disk. After a crash every later operation fails too: no one is there to act. */
export const disk = { failAt: 0, crash: false, done: 0, failed: "" };

export class Crash extends Error {}

const counted = [
  "access",
  "chmod",
  "mkdir",
  "open",
  "readdir",
  "readFile",
  "realpath",
  "rename",
  "rm",
  "rmdir",
  "stat",
];
const countedOnFiles = ["chmod", "close", "sync", "writeFile"];

type Operation = (...parameters: unknown[]) => Promise<unknown>;

export function faulty(real: typeof FileSystem): typeof FileSystem {
  const operations = real as unknown as Record<string, Operation>;
  const wrapped = Object.fromEntries(counted.map((name) => [name, (...given: unknown[]) => perform(name, given)]));
  async function perform(name: string, given: unknown[]): Promise<unknown> {
    await mayFail(name);
    const result = await operations[name]!(...given);
    return name === "open" ? faultyFile(result as FileHandle) : result;
  }
  return { ...real, ...wrapped } as typeof FileSystem;
}

function faultyFile(file: FileHandle): FileHandle {
  const operations = file as unknown as Record<string, Operation>;
  return new Proxy(file, {
    get: (_, name: string) => {
      if (!countedOnFiles.includes(name)) return operations[name];
      return async (...given: unknown[]) => {
        try {
          await mayFail(name);
        } catch (error) {
          if (name === "close") await file.close(); // a crash closes files too
          if (name === "writeFile" && disk.done === disk.failAt) await file.writeFile(firstHalf(given[0]));
          throw error;
        }
        return operations[name]!.apply(file, given);
      };
    },
  });
}

const firstHalf = (data: unknown) => (data as Uint8Array | string).slice(0, (data as Uint8Array | string).length / 2);

async function mayFail(name: string): Promise<void> {
  disk.done++;
  if (disk.failAt === 0 || disk.done < disk.failAt) return;
  if (disk.done === disk.failAt) disk.failed = name;
  if (disk.crash) throw new Crash(`crashed at ${name}`);
  if (disk.done === disk.failAt) throw Object.assign(new Error(`ENOSPC: no space left, ${name}`), { code: "ENOSPC" });
}
