/** Runs golden cases: which suite a case belongs to, on which backends, and what comes of it. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Backend, Session } from "../../src/backend/contract.js";
import { reference } from "../../src/backend/reference/index.js";
import { wasm } from "../../src/backend/wasm/index.js";
import { testBackend } from "../backend/webgpu/driver.js";
import { count, type GoldenCase, oneOf, readCase } from "./case.js";
import { errorOf, type Outcome, toleranceOf } from "./compare.js";
import { runDense } from "./dense.js";
import { runRecurrent } from "./recurrent.js";
import { runSchedules } from "./schedules.js";
import { runTruncated } from "./truncated.js";

/** The copies in the repository. */
export const committedCases = fileURLToPath(new URL("./cases/", import.meta.url));

export const backends = {
  reference,
  wasm: () => wasm({ threads: 1 }),
  // Every program that can be shared is, however small.
  "wasm-threads": () => wasm({ threads: 2, shareFrom: 0 }),
  async webgpu() {
    const backend = await testBackend();
    if (!backend) throw new Error("there is no Vulkan driver for Dawn");
    return backend;
  },
} as const satisfies Readonly<Record<string, () => Backend | Promise<Backend>>>;
export type BackendName = keyof typeof backends;

/** Suites that compute on a backend, and those that do not. */
const computing = { recurrent: runRecurrent, truncated: runTruncated, dense: runDense };
const hosted = { schedules: runSchedules };

export interface Report {
  readonly name: string;
  /** A backend, or "host" for what no backend computes. */
  readonly backend: string;
  readonly passed: boolean;
  /** The largest error, where there is one. */
  readonly error?: number;
  /** The largest error, with the tensor it is in and the tolerance; or why the case could not be run. */
  readonly detail: string;
}

/** The paths of a folder's cases, in order; throws where there is none. */
export async function casesIn(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".safetensors")).sort();
  if (names.length === 0) throw new Error(`${folder} holds no .safetensors file`);
  return names.map((name) => join(folder, name));
}

/** Runs one case on each backend in turn. A case that cannot be read or is not understood gives one failure. */
export async function* runCase(path: string, names: readonly BackendName[]): AsyncGenerator<Report> {
  const label = path.replace(/^.*[\\/]/, "").replace(/\.safetensors$/, "");
  let suite: keyof typeof computing | keyof typeof hosted;
  try {
    suite = suiteOf(await readCase(path));
  } catch (error) {
    yield { name: label, backend: "-", passed: false, detail: messageOf(error) };
    return;
  }
  for (const name of suite in hosted ? (["host"] as const) : names) {
    // Read anew each time, so that each run has to ask for every field and tensor itself.
    const report = async (): Promise<Omit<Report, "name" | "backend">> => {
      const golden = await readCase(path);
      suiteOf(golden);
      if (name === "host") return judged(await hosted[suite as keyof typeof hosted](golden), "float64");
      const { backend, threads } = watched(await backends[name]());
      const judgement = judged(await computing[suite as keyof typeof computing](golden, backend), backend.precision);
      const several = name === "wasm-threads" && (await readCase(path)).fields.get("batch", count) > 1;
      return several && threads() < 2 ? { ...judgement, passed: false, detail: "threads did not share it" } : judgement;
    };
    const outcome = await report().catch((error) => ({ passed: false, detail: messageOf(error) }));
    yield { name: label, backend: name, ...outcome };
  }
}

/** A backend, and the most threads that have shared one of its programs. */
function watched(backend: Backend): { readonly backend: Backend; threads(): number } {
  let most = 0;
  const createSession = async (): Promise<Session> => {
    const session = await backend.createSession();
    const compile: Session["compile"] = async (source) => {
      const executable = await session.compile(source);
      most = Math.max(most, executable.threads);
      return executable;
    };
    return { ...session, compile };
  };
  return { backend: { ...backend, createSession }, threads: () => most };
}

const suiteOf = ({ fields }: GoldenCase) =>
  fields.get("suite", oneOf(["recurrent", "truncated", "dense", "schedules"] as const));

/** A case passes where each of its tensors does. */
function judged(outcome: Outcome, precision: Backend["precision"]): Omit<Report, "name" | "backend"> {
  const { comparisons } = outcome;
  if (comparisons.length === 0) return { passed: false, detail: "it compared nothing" };
  const { tolerance, demand } = toleranceOf(precision, outcome.demand);
  const errors = comparisons.map((comparison) => ({ tensor: comparison.tensor, error: errorOf(comparison) }));
  const worst = errors.reduce((a, b) => (b.error > a.error ? b : a));
  const passed = errors.every(({ error }) => error <= tolerance);
  return {
    passed,
    error: worst.error,
    detail: `error ${worst.error.toExponential(1)} in ${worst.tensor}, tolerance ${tolerance.toExponential(0)}${demand ? ` (${demand})` : ""}`,
  };
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
