/** Web workers, and what there is for threads in Node and in browsers. */
import { UserError } from "../../../errors.js";

/** A worker of either world. */
export interface Thread {
  post(message: unknown): void;
  /** Keeps the process alive, or lets it end. */
  hold(alive: boolean): void;
  terminate(): void;
}

const listening = `
onmessage = ({ data }) => receive((message) => postMessage(message), data);
`;

/** Starts a worker on JavaScript that defines `receive(post, message)`; there is no file to locate. */
export function startInPage(
  source: string,
  receive: (message: unknown) => void,
  fail: (error: unknown) => void,
): Thread {
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

/** Node's built-in modules without an import that a bundler for the browser would trip over. */
export function nodeModule<T>(name: string): T | undefined {
  const host = (globalThis as { process?: { getBuiltinModule?(name: string): unknown } }).process;
  return host?.getBuiltinModule?.(name) as T | undefined;
}

/** Processors that threads can run on. */
export function processors(): number {
  const os = nodeModule<{ availableParallelism?(): number }>("node:os");
  return os?.availableParallelism?.() ?? globalThis.navigator?.hardwareConcurrency ?? 1;
}

/** Whether there is memory for several threads. */
export const hasSharedMemory = (): boolean =>
  typeof SharedArrayBuffer !== "undefined" && typeof Atomics !== "undefined";

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
export const wantsShared = (threads: number): boolean => hasSharedMemory() && (threads > 1 || !mayBlock());

/** Why nothing more comes from a session. */
export const disposed = (): UserError => new UserError("this session is disposed: create a new one");

/** Memory through which workers are told what to do. */
export const CREW_BYTES = 64;
/** Ahead of it that in which the code of a program has them meet (`team.ts`): three cache lines, and one for each worker. */
export const controlBytes = (workers: number): number => 64 * (3 + workers);
