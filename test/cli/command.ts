/** Runs the command as a process of its own, built as the package is: from source each start would take a second. */
import { type ChildProcess, spawn } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "tsup";
import { afterAll, beforeAll } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
export const source = join(root, "src", "cli", "main.ts");
let built: string;
const running = new Set<ChildProcess>();

beforeAll(async () => {
  const cache = join(root, "node_modules", ".cache"); // where it finds the packages that it imports
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, "throughtime-"));
  built = join(folder, "dist", "cli", "main.js");
  await copyFile(join(root, "package.json"), join(folder, "package.json"));
  await build({
    config: join(root, "tsup.config.ts"),
    outDir: join(folder, "dist"),
    entry: { "cli/main": source },
    dts: false,
    treeshake: false,
    sourcemap: false,
    silent: true,
  });
});
afterAll(async () => {
  for (const child of running) child.kill("SIGKILL");
  await rm(join(built, "..", "..", ".."), { recursive: true, force: true });
});

export const play = fileURLToPath(new URL("../../data/play.txt", import.meta.url));
/** A model so small that its training takes no time. */
export const tiny = ["--hidden", "12", "--batch", "10", "--window", "20"];

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Options {
  readonly cwd: string;
  /** In blocks of 512 bytes: the largest file that may be written, as a full disk would have it. */
  readonly largestFile?: number;
  /** Where stdout goes instead. */
  readonly stdoutTo?: string;
  /** Run the TypeScript itself, as in a clone without a build. */
  readonly fromSource?: boolean;
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

export function start(args: readonly string[], { cwd, largestFile, stdoutTo, fromSource }: Options): ChildProcess {
  const program = fromSource ? ["--import", import.meta.resolve("tsx"), source] : [built];
  const command = [process.execPath, ...program, ...args];
  const line = `${largestFile ? `ulimit -f ${largestFile}; ` : ""}exec ${command.map(quoted).join(" ")}${stdoutTo ? ` > ${stdoutTo}` : ""}`;
  const child = spawn("/bin/sh", ["-c", line], { cwd });
  running.add(child);
  child.on("close", () => running.delete(child));
  return child;
}

export async function ended(child: ChildProcess): Promise<Ended> {
  const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
  child.stdout!.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr!.on("data", (chunk: Buffer) => stderr.push(chunk));
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { code, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
}

export const throughtime = (args: readonly string[], options: Options): Promise<Ended> => ended(start(args, options));

/** The files of a run's checkpoint by name. */
export async function filesOf(dir: string): Promise<Record<string, Buffer>> {
  const { checkpoint } = JSON.parse(await readFile(join(dir, "run.json"), "utf8")) as { checkpoint: string };
  const names = await readdir(join(dir, checkpoint));
  return Object.fromEntries(
    await Promise.all(names.sort().map(async (name) => [name, await readFile(join(dir, checkpoint, name))] as const)),
  );
}

export interface TextReport {
  readonly step: number;
  readonly loss: number;
  readonly validationLoss?: number;
  readonly bitsPerCharacter: number;
  readonly gradientNorm: number;
  readonly learningRate: number;
  readonly charactersPerSecond: number;
}

/** The JSON lines of a run; throws where a line is anything else. */
export const reports = (stdout: string): TextReport[] =>
  stdout
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as TextReport);

/** What does not depend on the machine's speed, nor on where a run paused (its last step validates). */
export const lasting = (all: readonly TextReport[]): object[] =>
  all.map(({ step, loss, gradientNorm, learningRate }) => ({ step, loss, gradientNorm, learningRate }));
