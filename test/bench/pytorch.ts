/**
 * PyTorch beside us, as fast as it goes on this machine. On the processor: on one thread, on all with a BLAS of one thread, and on
 * all with a BLAS that has the same threads (OpenMP). On a graphics card: cuDNN in float32, and with products whose factors have 19
 * bits (TF32). Which is best depends on the workload; the best one counts.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { UserError } from "../../src/errors.js";
import type { Graphics } from "./graphics.js";
import type { Workload } from "./workloads.js";

/** Debian's, unless another is named: Debian's PyTorch has no CUDA. */
const PYTHON = process.env.PYTHON || "/usr/bin/python3";
const PACKAGES = "python3-torch libopenblas0-pthread libopenblas0-openmp";
const SCRIPT = fileURLToPath(new URL("pytorch.py", import.meta.url));

/** A way of running PyTorch. */
export interface Configuration {
  readonly name: string;
  readonly threads: number;
  /** On a card PyTorch's own libraries count. */
  readonly blas?: Blas | undefined;
  /** "cpu", "cuda:0" … */
  readonly device: string;
  /** Whether a card's products take factors of 19 bits. */
  readonly tf32: boolean;
}

type Blas = "pthread" | "openmp";

export interface Measured extends Configuration {
  /** Milliseconds of each piece, or of the mean of so many together. */
  readonly measure: (seconds: number, together: number) => Promise<number[]>;
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
function folderOf(blas: Blas): string {
  const found = readdirSync("/usr/lib")
    .map((architecture) => `/usr/lib/${architecture}/openblas-${blas}`)
    .find((folder) => existsSync(folder));
  if (!found) throw missing(`there is no libopenblas0-${blas}`);
  return found;
}

/** On the processor. */
function onProcessor(): Configuration[] {
  const all = availableParallelism();
  const common = { device: "cpu", tf32: false } as const;
  const single: Configuration = { ...common, name: "1 thread", threads: 1, blas: "pthread" };
  if (all === 1) return [single];
  return [
    single,
    { ...common, name: `${all} threads, BLAS 1`, threads: all, blas: "pthread" },
    { ...common, name: `${all} threads, OpenMP`, threads: all, blas: "openmp" },
  ];
}

/** On a card; any device of PyTorch goes through the same code. */
export const onCard = (device: string): Configuration[] => [
  { name: "float32", threads: 1, device, tf32: false },
  { name: "TF32", threads: 1, device, tf32: true },
];

/** Starts PyTorch on the processor, a process for each BLAS. @throws UserError where it is not installed */
export const startPyTorch = (python = PYTHON): Promise<PyTorch> => start(python, "pthread", onProcessor);

/**
 * Starts PyTorch on the card that WebGPU computes on.
 * @throws UserError where it is not installed, or has not that card
 */
export const startPyTorchOn = (graphics: Pick<Graphics, "name" | "info" | "isSoftware">, python = PYTHON) => {
  if (graphics.isSoftware)
    throw new UserError(
      `WebGPU computes on the processor here (${graphics.name}): there is no card that both could have`,
    );
  return start(python, undefined, ({ torch, cards }) => onCard(`cuda:${cardOf(graphics, torch!, cards!)}`));
};

const plain = (text: string): string =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, " ")
    .trim();

/** Which of CUDA's cards it is. @throws UserError where it is none of them */
export function cardOf(
  { name, info }: Pick<Graphics, "name" | "info">,
  torch: string,
  cards: readonly string[],
): number {
  if (cards.length === 0)
    throw new UserError(`PyTorch ${torch} finds no CUDA: PYTHON names another Python whose PyTorch has it`);
  const ours = plain(`${name} ${info.vendor}`);
  const found = cards.findIndex((card) => ours.includes(plain(card)));
  if (found >= 0) return found;
  // Some systems tell no more than the maker.
  if (cards.length === 1 && ours.includes("nvidia")) return 0;
  throw new UserError(`WebGPU computes on ${name}, but PyTorch's cards are ${cards.join(", ")}`);
}

/** `first`: the BLAS of the first process; `choose`: the ways to run PyTorch, by what that process says. */
export async function start(
  python: string,
  first: Blas | undefined,
  choose: (answer: Answer) => readonly Configuration[],
): Promise<PyTorch> {
  if (!existsSync(python)) throw missing(`there is no ${python}`);
  const servers = new Map<Blas | undefined, Server>();
  const stop = (): void => {
    for (const server of servers.values()) server.stop();
  };
  const open = async (blas: Blas | undefined): Promise<Answer> => {
    const server = startServer(python, blas);
    servers.set(blas, server);
    const answer = await server.next();
    if (answer.missing) throw missing(answer.missing);
    if (blas && !answer.blas!.some((file) => file.includes(`openblas-${blas}`)))
      throw new UserError(
        `PyTorch did not take the BLAS of libopenblas0-${blas}: it has ${answer.blas!.join(", ") || "none"}`,
      );
    return answer;
  };
  try {
    const answer = await open(first);
    const configurations = choose(answer);
    for (const { blas } of configurations) if (!servers.has(blas)) await open(blas);
    return {
      name: `pytorch-${answer.torch}`,
      async prepare(workload) {
        const prepared: Measured[] = [];
        for (const configuration of configurations) {
          const { blas, threads, device, tf32 } = configuration;
          const server = servers.get(blas)!;
          const { ready } = await server.ask({ prepare: workload, threads, device, tf32 });
          const measure = async (seconds: number, together: number) =>
            (await server.ask({ measure: ready, seconds, together })).ms!;
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
  readonly cards?: readonly string[];
  readonly missing?: string;
  readonly ready?: number;
  readonly ms?: number[];
}

interface Server {
  ask(request: object): Promise<Answer>;
  next(): Promise<Answer>;
  stop(): void;
}

function startServer(python: string, blas: Blas | undefined): Server {
  const child: ChildProcess = spawn(python, [SCRIPT], {
    stdio: ["pipe", "pipe", "pipe"],
    env: {
      ...process.env,
      ...(blas ? { LD_LIBRARY_PATH: folderOf(blas) } : {}),
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
