/** The command line of the bench. Whatever is wrong with it is a UserError that names what was written. */
import { parseArgs } from "node:util";
import { UserError } from "../../src/errors.js";
import { furtherWorkloads, type Workload, workloads } from "./workloads.js";

export type BenchBackend = "wasm" | "webgpu";

export interface BenchOptions {
  readonly backend: BenchBackend;
  readonly workloads: readonly Workload[];
  readonly json: boolean;
  /** Threads that share a batch; undefined: as many as the library takes by itself. */
  readonly threads: number | undefined;
  /** Seconds of measuring for each workload and peer. */
  readonly seconds: number;
  readonly against: "pytorch" | undefined;
  readonly profile: boolean;
  readonly revectorize: boolean;
  readonly help: boolean;
}

export const usage = `usage: npm run bench -- [options]

Time of a training step (or of 500 characters drawn) on this machine: medians after a warm-up, compile time apart.

  --only NAME,…       these workloads: ${workloads.map(({ name }) => name).join(", ")};
                      only when named: ${furtherWorkloads.map(({ name }) => name).join(", ")}
  --backend NAME      wasm (the default), or webgpu: the graphics processor
  --threads N         threads that share a batch (default: the library's own choice)
  --seconds S         seconds of measuring for each workload and peer (default 4)
  --against pytorch   measures PyTorch beside it, the two alternating, and prints the ratios: on this processor, or with
                      --backend webgpu on the same graphics card (PYTHON=… names a Python whose PyTorch has CUDA)
  --profile           where the time goes, kernel by kernel, on one thread or the graphics processor
  --revectorize       V8's 256-bit revectorisation (Node 24 on x64)
  --json              one JSON line a workload instead of the table`;

/** @throws UserError on what cannot be measured */
export function benchOptions(parameters: readonly string[]): BenchOptions {
  const { values } = parse(parameters);
  const { json = false, profile = false, revectorize = false, help = false } = values;
  if (values.against !== undefined && values.against !== "pytorch")
    throw new UserError(`--against knows pytorch only, not "${values.against}"`);
  const { backend = "wasm" } = values;
  if (backend !== "wasm" && backend !== "webgpu") throw new UserError(`--backend is wasm or webgpu, not "${backend}"`);
  if (backend === "webgpu") {
    const ofProcessor = (["threads", "revectorize"] as const).find((name) => values[name] !== undefined);
    if (ofProcessor) throw new UserError(`--${ofProcessor} is for the processor: leave it out with --backend webgpu`);
  }
  if (profile && (json || values.against))
    throw new UserError(`--profile prints a table of its own: leave out ${json ? "--json" : "--against"}`);
  if (profile && values.threads !== undefined && values.threads !== "1")
    throw new UserError(`--profile measures one thread: leave out --threads ${values.threads}`);
  return {
    backend,
    workloads: values.only === undefined ? workloads : values.only.split(",").map(workloadNamed),
    json,
    threads: values.threads === undefined ? undefined : numberOf("--threads", values.threads, true),
    seconds: numberOf("--seconds", values.seconds ?? "4", false),
    against: values.against,
    profile,
    revectorize,
    help,
  };
}

function parse(parameters: readonly string[]) {
  try {
    return parseArgs({
      args: [...parameters],
      options: {
        only: { type: "string" },
        backend: { type: "string" },
        threads: { type: "string" },
        seconds: { type: "string" },
        against: { type: "string" },
        profile: { type: "boolean" },
        revectorize: { type: "boolean" },
        json: { type: "boolean" },
        help: { type: "boolean" },
      },
    });
  } catch (error) {
    // Node's sentences name the option; what follows the first is advice on positional arguments.
    throw new UserError((error as Error).message.split(". ")[0]!);
  }
}

function workloadNamed(name: string): Workload {
  const found = [...workloads, ...furtherWorkloads].find((workload) => workload.name === name);
  if (found) return found;
  throw new UserError(`no workload "${name}"; there are ${workloads.map((workload) => workload.name).join(", ")}`);
}

function numberOf(option: string, text: string, whole: boolean): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (Number.isFinite(value) && value > 0 && (!whole || Number.isInteger(value))) return value;
  throw new UserError(`${option} must be a ${whole ? "whole number of at least 1" : "number above 0"}, not "${text}"`);
}
