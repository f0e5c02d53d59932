/** Worker threads of Node and of browsers, and what there is for them. */

import { UserError } from "../../../errors.js";

/** A worker of either world. */
export interface Thread {
  post(message: unknown): void;
  /** Keeps the process alive, or lets it end. */
  hold(alive: boolean): void;
  terminate(): void;
}

const listening = `
if (typeof process === "object" && process.getBuiltinModule) {
  const { parentPort } = process.getBuiltinModule("node:worker_threads");
  parentPort.on("message", (data) => receive((message) => parentPort.postMessage(message), data));
} else onmessage = ({ data }) => receive((message) => postMessage(message), data);
`;

interface NodeWorker {
  postMessage(message: unknown): void;
  on(event: string, listener: (value: never) => void): void;
  ref(): void;
  unref(): void;
  terminate(): void;
}
interface WorkerOptions {
  readonly eval: true;
  readonly execArgv: readonly string[];
  /** Otherwise Node would load its streams, to hand on what a worker prints; ours print nothing. */
  readonly stdout: true;
  readonly stderr: true;
}
type NodeWorkerConstructor = new (source: string, options: WorkerOptions) => NodeWorker;

/** Node's built-in modules without an import that a bundler for the browser would trip over. */
function nodeModule<T>(name: string): T | undefined {
  const host = (globalThis as { process?: { getBuiltinModule?(name: string): unknown } }).process;
  return host?.getBuiltinModule?.(name) as T | undefined;
}

/**
 * Starts a worker on JavaScript that defines `receive(post, message)`; there is no file to locate. It holds a process
 * alive until it is told otherwise.
 */
export function startThread(
  source: string,
  receive: (message: unknown) => void,
  fail: (error: unknown) => void,
): Thread {
  const node = nodeModule<{ Worker: NodeWorkerConstructor }>("node:worker_threads");
  if (node) {
    const worker = new node.Worker(source + listening, { eval: true, execArgv: [], stdout: true, stderr: true });
    worker.on("message", receive);
    worker.on("error", fail);
    return {
      post: (message) => worker.postMessage(message),
      hold: (alive) => (alive ? worker.ref() : worker.unref()),
      terminate: () => worker.terminate(),
    };
  }
  const url = URL.createObjectURL(new Blob([source + listening], { type: "text/javascript" }));
  const worker = new Worker(url);
  worker.onmessage = ({ data }: MessageEvent<unknown>) => receive(data);
  worker.onerror = ({ message }) => fail(new Error(`a worker failed: ${message ?? "it could not be started"}`));
  return {
    post: (message) => worker.postMessage(message),
    hold: () => {},
    terminate: () => {
      worker.terminate();
      URL.revokeObjectURL(url);
    },
  };
}

/** Processors that threads can run on. */
export function processors(): number {
  const os = nodeModule<{ availableParallelism?(): number }>("node:os");
  return os?.availableParallelism?.() ?? globalThis.navigator?.hardwareConcurrency ?? 1;
}

/** Why there is no memory for threads here; undefined where there is. */
export function noSharedMemory(): string | undefined {
  if (typeof SharedArrayBuffer !== "undefined" && typeof Atomics !== "undefined") return undefined;
  return (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated === false
    ? "this page is not cross-origin isolated (it wants the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp)"
    : "this engine has no SharedArrayBuffer";
}

/** Whether this is the thread of a page. */
export const isPage = (): boolean => typeof document !== "undefined" && typeof window !== "undefined";

/** Whether this thread may block. A page's may not. */
export function mayBlock(): boolean {
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1);
    return true;
  } catch {
    return false;
  }
}

/** Whether there should be shared memory: for several threads, and for one that is not a page's own. */
export const wantsShared = (threads: number): boolean => !noSharedMemory() && (threads > 1 || !mayBlock());

/** Why nothing more comes from a session. */
export const disposed = (): UserError => new UserError("this session is disposed: create a new one");

/** Memory through which workers are told what to do. */
export const CREW_BYTES = 64;
/** Ahead of it that in which the code of a program has them meet (`team.ts`): three cache lines, and one for each worker. */
export const controlBytes = (workers: number): number => 64 * (3 + workers);
