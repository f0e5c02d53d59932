/**
 * PyTorch beside us, as fast as it goes on this machine: on one thread, on all with a BLAS of one thread, and on all with a
 * BLAS that has the same threads (OpenMP). Which is best depends on the workload; the best one counts.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { UserError } from "../../src/errors.js";
import type { Workload } from "./workloads.js";

const PYTHON = "/usr/bin/python3";
const PACKAGES = "python3-torch libopenblas0-pthread libopenblas0-openmp";
const SCRIPT = fileURLToPath(new URL("pytorch.py", import.meta.url));

/** A way of running PyTorch. */
export interface Configuration {
  readonly name: string;
  readonly threads: number;
  readonly blas: "pthread" | "openmp";
}

export interface Measured extends Configuration {
  /** Milliseconds of each piece. */
  readonly measure: (seconds: number) => Promise<number[]>;
}

export interface PyTorch {
  /** "pytorch-1.13.0". */
  readonly name: string;
  /** Builds the workload in every configuration, warmed up. */
  prepare(workload: Workload): Promise<Measured[]>;
  forget(): Promise<void>;
  stop(): void;
}

const missing = (why: string): UserError =>
  new UserError(`--against pytorch wants the Debian packages ${PACKAGES} (apt-get install ${PACKAGES}): ${why}`);

/** Where Debian keeps the flavour of OpenBLAS. */
function folderOf(blas: Configuration["blas"]): string {
  const found = readdirSync("/usr/lib")
    .map((architecture) => `/usr/lib/${architecture}/openblas-${blas}`)
    .find((folder) => existsSync(folder));
  if (!found) throw missing(`there is no libopenblas0-${blas}`);
  return found;
}

/** Starts PyTorch, a process for each BLAS. @throws UserError where it is not installed */
export async function startPyTorch(python = PYTHON): Promise<PyTorch> {
  if (!existsSync(python)) throw missing(`there is no ${python}`);
  const all = availableParallelism();
  const servers = new Map<Configuration["blas"], Server>();
  const stop = (): void => {
    for (const server of servers.values()) server.stop();
  };
  const configurations: Configuration[] = [{ name: "1 thread", threads: 1, blas: "pthread" }];
  if (all > 1)
    configurations.push(
      { name: `${all} threads, BLAS 1`, threads: all, blas: "pthread" },
      { name: `${all} threads, OpenMP`, threads: all, blas: "openmp" },
    );
  try {
    let version = "";
    for (const { blas } of configurations) {
      if (servers.has(blas)) continue;
      const server = startServer(python, blas);
      servers.set(blas, server);
      const { torch, blas: files, missing: why } = await server.next();
      if (why) throw missing(why);
      if (!files!.some((file) => file.includes(`openblas-${blas}`)))
        throw new UserError(
          `PyTorch did not take the BLAS of libopenblas0-${blas}: it has ${files!.join(", ") || "none"}`,
        );
      version = torch!;
    }
    return {
      name: `pytorch-${version}`,
      async prepare(workload) {
        const prepared: Measured[] = [];
        for (const configuration of configurations) {
          const server = servers.get(configuration.blas)!;
          const { ready } = await server.ask({ prepare: workload, threads: configuration.threads });
          const measure = async (seconds: number) => (await server.ask({ measure: ready, seconds })).ms!;
          prepared.push({ ...configuration, measure });
        }
        return prepared;
      },
      async forget() {
        for (const server of servers.values()) await server.ask({ forget: true });
      },
      stop,
    };
  } catch (error) {
    stop();
    throw error;
  }
}

interface Answer {
  readonly torch?: string;
  readonly blas?: readonly string[];
  readonly missing?: string;
  readonly ready?: number;
  readonly ms?: number[];
}

interface Server {
  ask(request: object): Promise<Answer>;
  next(): Promise<Answer>;
  stop(): void;
}

function startServer(python: string, blas: Configuration["blas"]): Server {
  const child: ChildProcess = spawn(python, [SCRIPT], {
    stdio: ["pipe", "pipe", "pipe"],
    env: {
      ...process.env,
      LD_LIBRARY_PATH: folderOf(blas),
      // Two pools of threads would be in one another's way; OpenMP is one pool for PyTorch and its BLAS.
      ...(blas === "pthread" ? { OPENBLAS_NUM_THREADS: "1" } : {}),
    },
  });
  let complaint = "";
  child.stderr!.on("data", (text) => {
    complaint += text;
  });
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const next = async (): Promise<Answer> => {
    const { value, done } = await lines.next();
    if (!done) return JSON.parse(value) as Answer;
    throw new UserError(`PyTorch ended: ${complaint.trim().split("\n").at(-1) || `exit code ${child.exitCode}`}`);
  };
  return {
    next,
    ask(request) {
      child.stdin!.write(`${JSON.stringify(request)}\n`);
      return next();
    },
    stop: () => void child.kill(),
  };
}
