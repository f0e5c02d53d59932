/** `run.json`, the one file that says what a run folder holds: written, and read without trusting it. */
import { UserError } from "../errors.js";

/** `checkpoint` is null in a folder whose first save has not finished. */
export type Manifest = {
  readonly checkpoint: string | null;
  readonly config: unknown;
  readonly files: Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>>;
};

const FORMAT = "throughtime-run";
const VERSION = 1;
const FILE_NAME = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_])?$/;

/**
 * The text of a run.json.
 * @throws UserError where `config` holds what JSON cannot: it would come back as something else.
 */
export function printManifest(dir: string, manifest: Manifest): string {
  const problem = jsonProblem(manifest.config, "config", new Set());
  if (problem) throw new UserError(`the run ${dir} cannot be saved: ${problem}, which JSON cannot hold.`);
  return `${JSON.stringify({ format: FORMAT, version: VERSION, ...manifest }, null, 2)}\n`;
}

/**
 * Reads a run.json; `path` names it in messages.
 * @throws UserError that says what is wrong with it.
 */
export function parseManifest(bytes: Uint8Array, path: string): Manifest {
  const value = parseJson(bytes, path);
  if (!isRecord(value) || value.format !== FORMAT) {
    throw new UserError(`${path} was not written by throughtime: its "format" is not "${FORMAT}".`);
  }
  if (value.version !== VERSION) {
    const version = JSON.stringify(value.version) ?? "missing";
    throw new UserError(`${path} is of version ${version}, and this throughtime reads version ${VERSION}.`);
  }
  const { checkpoint, config, files } = value;
  const bad = (field: string) => new UserError(`${path} is damaged: its ${field} is not what a save writes.`);
  if (checkpoint !== null && !(typeof checkpoint === "string" && /^checkpoint-\d{6,15}$/.test(checkpoint))) {
    throw bad('"checkpoint"');
  }
  if (config === undefined) throw bad('"config"');
  if (!isRecord(files)) throw bad('"files"');
  for (const [name, entry] of Object.entries(files)) {
    // A name must not lead out of the folder.
    const fits =
      FILE_NAME.test(name) &&
      isRecord(entry) &&
      Number.isSafeInteger(entry.bytes) &&
      Number(entry.bytes) >= 0 &&
      typeof entry.sha256 === "string" &&
      /^[0-9a-f]{64}$/.test(entry.sha256);
    if (!fits) throw bad(`entry ${JSON.stringify(name.slice(0, 80))} in "files"`);
  }
  return { checkpoint, config, files: files as Manifest["files"] };
}

/**
 * What is wrong with bytes that are no run.json as a save writes it. "damaged": they begin as one; "blank": nothing is left that
 * could tell (no bytes, zeros, a few letters); "foreign": another program's, or another version's.
 */
export function manifestFault(bytes: Uint8Array): "none" | "damaged" | "blank" | "foreign" {
  try {
    parseManifest(bytes, "");
    return "none";
  } catch {
    const text = new TextDecoder().decode(bytes).replace(/\s+/g, "");
    const head = `{"format":"${FORMAT}",`;
    if (/^\0*$/.test(text) || head.startsWith(text)) return "blank";
    if (!text.startsWith(head)) return "foreign";
    const version = /^"version":(\d+)[,}]/.exec(text.slice(head.length))?.[1];
    return version === undefined || version === String(VERSION) ? "damaged" : "foreign";
  }
}

/** Refuses names that are no plain file names, or that a file system without upper and lower case would merge. */
export function requireFileNames(dir: string, names: readonly string[]): void {
  const seen = new Set<string>();
  for (const name of names) {
    const reason = !FILE_NAME.test(name)
      ? "it may hold letters, digits, '.', '_' and '-' only"
      : seen.has(name.toLowerCase())
        ? "it differs from another only in upper and lower case"
        : undefined;
    if (reason)
      throw new UserError(`the run ${dir} cannot be saved: ${JSON.stringify(name)} is no file name, ${reason}.`);
    seen.add(name.toLowerCase());
  }
}

function parseJson(bytes: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new UserError(`${path} is not valid JSON (was it cut short or edited?).`);
  }
}

/** Where a value holds what JSON would drop or change; a field that is undefined may be dropped. */
function jsonProblem(value: unknown, at: string, above: Set<object>): string | undefined {
  if (value === null || typeof value === "string" || typeof value === "boolean") return undefined;
  if (typeof value === "number") return Number.isFinite(value) ? undefined : `${at} is ${value}`;
  if (typeof value !== "object") return `${at} is ${typeof value === "undefined" ? "undefined" : `a ${typeof value}`}`;
  if (above.has(value)) return `${at} holds itself`;
  const prototype = Object.getPrototypeOf(value) as object | null;
  const isPlain = Array.isArray(value) || prototype === null || Object.getPrototypeOf(prototype) === null;
  if (!isPlain) return `${at} is a ${value.constructor?.name ?? "value of a class"}`;
  above.add(value);
  for (const [key, item] of Array.isArray(value) ? value.entries() : Object.entries(value)) {
    if (item === undefined && !Array.isArray(value)) continue;
    const problem = jsonProblem(item, Array.isArray(value) ? `${at}[${key}]` : `${at}.${key}`, above);
    if (problem) return problem;
  }
  above.delete(value);
  return undefined;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
