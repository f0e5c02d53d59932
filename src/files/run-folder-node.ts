/**
 * A run folder: the configuration, vocabulary, weights and optimiser state of one training run, saved together.
 *
 *     DIR/run.json                                which checkpoint is the run; the configuration; sizes and SHA-256
 *     DIR/checkpoint-000012/weights.safetensors   the files, under the names they were saved with
 *     DIR/checkpoint-000012/…
 *
 * `run.json` alone decides. A save writes a whole new checkpoint folder, waits until the disk has it, and then replaces
 * `run.json` by one rename; only after that is the checkpoint before removed. So a crash at any moment leaves the old
 * run or the new one, whole; what a crash leaves beside it is removed by a later save.
 *
 * The weights are a plain safetensors file. From PyTorch, with `pip install safetensors`:
 *
 *     from json import load; from safetensors.torch import load_file
 *     model.load_state_dict(load_file(f"DIR/{load(open('DIR/run.json'))['checkpoint']}/weights.safetensors"))
 *
 * One process at a time may save into a folder; any number may load from it meanwhile.
 */
import { createHash } from "node:crypto";
import { access, constants, lstat, mkdir, readdir, readFile, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { checkOptions, UserError } from "../errors.js";
import { syncFolder, TEMPORARY_NAME, temporaryIn, writeFileAtomic, writeSynced } from "./atomic-node.js";
import { codeOf, ioProblem, readBytes } from "./io-node.js";
import { type Manifest, manifestFault, parseManifest, printManifest, requireFileNames } from "./run-manifest.js";

/**
 * What a run holds. `config` is any JSON value; `files` maps plain names (letters, digits, `.`, `_`, `-`) to bytes, or
 * to text kept as UTF-8. Neither may change until the save has ended.
 */
export type RunContents = { readonly config: unknown; readonly files: Readonly<Record<string, Uint8Array | string>> };

/** A run as it was loaded: every file complete and unchanged since it was saved. */
export type Run = {
  readonly dir: string;
  /** The folder inside `dir` that holds the files, such as `checkpoint-000012`. */
  readonly checkpoint: string;
  readonly config: unknown;
  readonly files: ReadonlyMap<string, Uint8Array>;
};

export interface SaveOptions {
  /**
   * Whether a run is replaced whose run.json is damaged, as `isDamagedRun` has it. Default false: what is left of it may still
   * be of use.
   */
  readonly replaceDamaged?: boolean;
}

const CHECKPOINT_NAME = /^checkpoint-(\d{6,15})$/;
const ABANDONED_AFTER_MS = 10 * 60 * 1000;
const LARGEST_FILE = 2 ** 31 - 1; // of fs.readFile
const saving = new Map<string, Promise<void>>();

/**
 * Saves a run into `dir`, which is created where it is missing. A run already there is replaced as a whole, at one
 * moment: until then `loadRun` gives the old one. Saves into one folder from one process wait for each other.
 *
 * @throws UserError that names the folder: it holds files but no run, or a damaged one, the disk is full, permission is missing, or
 *   `config` is not JSON. The old run is then intact and nothing half-written is left; only where the disk failed
 *   after the rename is it the new run that is there, whole.
 */
export async function saveRun(dir: string, contents: RunContents, options: SaveOptions = {}): Promise<void> {
  checkOptions("saveRun", options, "replaceDamaged");
  const key = resolve(dir);
  const before = saving.get(key) ?? Promise.resolve();
  const current = before.catch(() => {}).then(() => save(dir, contents, options));
  saving.set(key, current);
  try {
    await current;
  } catch (error) {
    throw error instanceof UserError ? error : new UserError(`cannot save the run ${dir}: ${ioProblem(error)}.`);
  } finally {
    if (saving.get(key) === current) saving.delete(key);
  }
}

async function save(dir: string, { config, files }: RunContents, options: SaveOptions): Promise<void> {
  requireFileNames(dir, Object.keys(files));
  const bytes = Object.entries(files).map(
    ([name, data]) => [name, typeof data === "string" ? Buffer.from(data, "utf8") : data] as const,
  );
  for (const [name, { byteLength }] of bytes) {
    if (byteLength <= LARGEST_FILE) continue;
    throw new UserError(`the run ${dir} cannot be saved: ${name} has ${byteLength} bytes, and Node reads up to 2 GiB.`);
  }
  const listed = Object.fromEntries(
    bytes.map(([name, data]) => [name, { bytes: data.byteLength, sha256: sha256(data) }]),
  );
  printManifest(dir, { checkpoint: null, config, files: listed }); // refuses what JSON cannot hold, before any write
  const { previous, undo, isDamaged } = await openForSaving(dir, options);
  if (!isDamaged) await tidy(dir, previous, previous);
  let checkpoint: string | undefined;
  try {
    checkpoint = await makeCheckpoint(dir, previous);
    const folder = join(dir, checkpoint);
    for (const [name, data] of bytes) await writeSynced(join(folder, name), data);
    await syncFolder(folder);
    await syncFolder(dir);
    await writeFileAtomic(join(dir, "run.json"), printManifest(dir, { checkpoint, config, files: listed }));
  } catch (error) {
    await takeBack(dir, checkpoint, undo, options);
    throw error;
  }
  await tidy(dir, previous, checkpoint);
}

/**
 * Loads the run of a folder and checks every file against the sizes and hashes of `run.json`.
 *
 * @throws UserError that names the folder and what is wrong: no run, another version, a file missing, cut short or
 *   changed.
 */
export async function loadRun(dir: string): Promise<Run> {
  for (;;) {
    const { checkpoint, config, files } = await requireManifest(dir);
    if (checkpoint === null) throw new UserError(`the run ${dir} holds nothing yet: its first save did not finish.`);
    try {
      const read = new Map<string, Uint8Array>();
      for (const [name, expected] of Object.entries(files)) {
        read.set(name, await readChecked(join(dir, checkpoint, name), expected));
      }
      return { dir, checkpoint, config, files: read };
    } catch (error) {
      // Another process may have saved and removed this checkpoint meanwhile: then the newer one is the run.
      const now = await requireManifest(dir);
      if (now.checkpoint === checkpoint) throw error;
    }
  }
}

/** Whether `loadRun` would find a saved run of this version there. Its files are not checked. */
export async function isRun(dir: string): Promise<boolean> {
  try {
    return (await requireManifest(dir)).checkpoint !== null;
  } catch (error) {
    if (error instanceof UserError) return false;
    throw error;
  }
}

/**
 * Whether a folder is a run whose run.json is damaged: cut short or changed, but begun as one. Where nothing is left of it, the
 * folder must hold checkpoints and nothing else.
 */
export async function isDamagedRun(dir: string): Promise<boolean> {
  const path = join(dir, "run.json");
  try {
    const fault = manifestFault(await readFile(path));
    if (fault !== "blank") return fault === "damaged";
    const entries = await readdir(dir, { withFileTypes: true });
    const others = entries.filter(({ name }) => name !== "run.json" && !TEMPORARY_NAME.test(name));
    return others.length > 0 && others.every((entry) => entry.isDirectory() && numberOf(entry.name) !== undefined);
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "EISDIR"].includes(codeOf(error))) return false;
    throw new UserError(`cannot read ${path}: ${ioProblem(error)}.`);
  }
}

/**
 * The bytes of one of a run's files.
 * @throws UserError that names the run, the file, and what it holds instead.
 */
export function runFile(run: Run, name: string): Uint8Array {
  const bytes = run.files.get(name);
  if (!bytes) throw new UserError(`the run ${run.dir} holds no ${name}, only ${[...run.files.keys()].join(", ")}.`);
  return bytes;
}

/**
 * One of a run's files as text.
 * @throws UserError where it is missing or not UTF-8.
 */
export function runText(run: Run, name: string): string {
  const bytes = runFile(run, name);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new UserError(`${join(run.dir, run.checkpoint, name)} is not UTF-8 text.`);
  }
}

async function requireManifest(dir: string): Promise<Manifest> {
  const found = await findManifest(dir);
  if (found === "no folder") throw new UserError(`there is no run folder ${dir}.`);
  if (found === "no run.json") throw new UserError(`${dir} is no run folder: it holds no run.json.`);
  return found;
}

async function findManifest(dir: string): Promise<Manifest | "no folder" | "no run.json"> {
  const path = join(dir, "run.json");
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    const code = codeOf(error);
    if (code !== "ENOENT" && code !== "ENOTDIR") throw new UserError(`cannot read ${path}: ${ioProblem(error)}.`);
    const folder = await stat(dir).catch(() => undefined);
    if (folder && !folder.isDirectory()) throw new UserError(`${dir} is a file, not a run folder.`);
    return folder ? "no run.json" : "no folder";
  }
  return parseManifest(bytes, path);
}

async function readChecked(path: string, expected: { bytes: number; sha256: string }): Promise<Uint8Array> {
  const found = await stat(path).catch((error: unknown) => {
    if (codeOf(error) === "ENOENT") throw new UserError(`${path} is missing, though run.json lists it.`);
    throw new UserError(`cannot read ${path}: ${ioProblem(error)}.`);
  });
  if (!found.isFile()) throw new UserError(`${path} is not a file, though run.json lists it as one.`);
  if (found.size !== expected.bytes) {
    const hint = found.size < expected.bytes ? " (was it cut short?)" : "";
    throw new UserError(`${path} has ${found.size} bytes where run.json says ${expected.bytes}${hint}.`);
  }
  const bytes = await readBytes(path);
  if (sha256(bytes) !== expected.sha256) {
    throw new UserError(`${path} has changed since it was saved: its SHA-256 is not the one in run.json.`);
  }
  return bytes;
}

/**
 * Tries whether a save into `dir` could begin, so that a long run does not end in a refusal: a file is written there, or in the
 * first folder above that exists, and removed again.
 * @throws UserError that names the folder: it holds files but no run, or a damaged one, or may not be written
 */
export async function checkSavable(dir: string, options: SaveOptions = {}): Promise<void> {
  checkOptions("checkSavable", options, "replaceDamaged");
  const found = await findForSaving(dir, options);
  if (found === "no run.json") await refuseOtherFiles(dir);
  try {
    if (found !== "no folder" && found !== "no run.json") await access(join(dir, "run.json"), constants.W_OK);
    await tryWriting(await nearestFolder(dir));
  } catch (error) {
    const problem = error instanceof UserError ? error.message : ioProblem(error);
    throw new UserError(`no run can be saved in ${dir}: ${problem}.`);
  }
}

async function tryWriting(folder: string): Promise<void> {
  const trial = temporaryIn(folder);
  try {
    await writeSynced(trial, "trial");
    await rm(trial);
  } catch (error) {
    await rm(trial, { force: true }).catch(() => {}); // the first failure is the one to tell
    throw codeOf(error) === "ENOENT" ? new UserError(`${folder} takes no files`) : error;
  }
}

/** The folder itself, or where it is missing the first above it that is there. */
async function nearestFolder(dir: string): Promise<string> {
  for (let folder = resolve(dir); ; folder = dirname(folder)) {
    const found = await stat(folder).catch((error: unknown) => {
      if (codeOf(error) !== "ENOENT" || dirname(folder) === folder) throw error;
    });
    if (found) return folder;
    if (await lstat(folder).catch(() => undefined)) throw new UserError(`${folder} is a link that leads nowhere`);
  }
}

/** As `findManifest`; a damaged run is named where it may be replaced. */
async function findForSaving(
  dir: string,
  { replaceDamaged = false }: SaveOptions,
): Promise<Manifest | "no folder" | "no run.json" | "damaged"> {
  try {
    return await findManifest(dir);
  } catch (error) {
    if (replaceDamaged && error instanceof UserError && (await isDamagedRun(dir))) return "damaged";
    throw error;
  }
}

async function refuseOtherFiles(dir: string): Promise<void> {
  if ((await readdir(dir)).some((name) => !TEMPORARY_NAME.test(name)))
    throw new UserError(`${dir} is not overwritten: it holds files but no run.json, so it is no run folder.`);
}

/** Makes a folder ready for a save; says which checkpoint its run is, and how to take the preparation back. */
async function openForSaving(
  dir: string,
  options: SaveOptions,
): Promise<{ previous?: string; undo: () => Promise<void>; isDamaged?: boolean }> {
  const found = await findForSaving(dir, options);
  // None of its checkpoints counts, and none goes before a new one is there.
  if (found === "damaged") return { previous: await latest(dir), undo: async () => {}, isDamaged: true };
  if (typeof found === "object") return { previous: found.checkpoint ?? undefined, undo: async () => {} };
  if (found === "no run.json") await refuseOtherFiles(dir);
  const created: string[] = [];
  const undo = async () => {
    await rm(join(dir, "run.json"), { force: true });
    for (const folder of created) await rmdir(folder);
  };
  try {
    if (found === "no folder") {
      await makeFolder(resolve(dir), created);
      for (const folder of created) await syncFolder(dirname(folder));
    }
    // From here on the folder is known as ours, should a crash leave a first checkpoint that no run.json names yet.
    await writeFileAtomic(join(dir, "run.json"), printManifest(dir, { checkpoint: null, config: null, files: {} }));
  } catch (error) {
    await undo().catch(() => {}); // the first failure is the one to tell
    throw error;
  }
  return { undo };
}

/**
 * Makes a folder and those above it that are missing; puts what it made in front of `created`. One at a time: Node's own
 * `recursive` never ends where a file system (such as /proc) says of a new folder that it is missing.
 */
async function makeFolder(path: string, created: string[]): Promise<void> {
  const exists = await stat(path).catch((error: unknown) => {
    if (codeOf(error) !== "ENOENT") throw error;
  });
  if (exists) return;
  await makeFolder(dirname(path), created);
  const made = await mkdir(path).then(
    () => true,
    (error: unknown) => {
      if (codeOf(error) !== "EEXIST") throw error; // another process was faster
      return false;
    },
  );
  if (made) created.unshift(path);
}

/** The checkpoint of the highest number. */
async function latest(dir: string): Promise<string | undefined> {
  const names = (await readdir(dir)).filter((name) => numberOf(name) !== undefined);
  return names.sort((a, b) => numberOf(b)! - numberOf(a)!)[0];
}

/** Makes the folder of the next checkpoint: a number above every other's. */
async function makeCheckpoint(dir: string, previous: string | undefined): Promise<string> {
  const number = 1 + Math.max(numberOf(previous) ?? 0, numberOf(await latest(dir)) ?? 0);
  const checkpoint = `checkpoint-${String(number).padStart(6, "0")}`;
  await mkdir(join(dir, checkpoint));
  return checkpoint;
}

/** After a failed save: removes what it wrote, unless run.json already names it or cannot be asked. */
async function takeBack(
  dir: string,
  checkpoint: string | undefined,
  undo: () => Promise<void>,
  options: SaveOptions,
): Promise<void> {
  try {
    const now = await findForSaving(dir, options);
    if (typeof now === "object" && now.checkpoint !== null && now.checkpoint === checkpoint) return;
    if (checkpoint) await rm(join(dir, checkpoint), { recursive: true, force: true });
    await undo();
  } catch {
    // The failure that led here is the one to tell; the next save removes what is left.
  }
}

/**
 * Removes what no longer counts: the checkpoint that was the run before and all older ones, unless it is `keep`, and
 * temporary files. One newer than `previous` is what a crash left, or what another process is writing just now: it
 * goes once a newer save has finished, or after ten minutes.
 */
async function tidy(dir: string, previous: string | undefined, keep: string | undefined): Promise<void> {
  try {
    for (const name of await readdir(dir)) {
      const number = numberOf(name);
      const counts = number === undefined ? !TEMPORARY_NAME.test(name) : name === keep;
      if (counts) continue;
      const isOld = number === undefined || number <= (numberOf(previous) ?? 0);
      if (isOld || Date.now() - (await stat(join(dir, name))).mtimeMs > ABANDONED_AFTER_MS) {
        await rm(join(dir, name), { recursive: true, force: true });
      }
    }
  } catch {
    // No harm to the run; the next save tries again.
  }
}

function numberOf(name: string | undefined): number | undefined {
  const digits = name === undefined ? undefined : CHECKPOINT_NAME.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
