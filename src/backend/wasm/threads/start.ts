/** Worker threads of Node and of browsers; apart from `thread.ts`, so that a page without shared memory does not load it. */
import { nodeModule, startInPage } from "./thread.js";

const listening = `
const { parentPort } = process.getBuiltinModule("node:worker_threads");
parentPort.on("message", (data) => receive((message) => parentPort.postMessage(message), data));
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

/** As `startInPage`, in Node too, where it holds the process alive until it is told otherwise. */
export const startThread: typeof startInPage = (source, receive, fail) => {
  const node = nodeModule<{ Worker: NodeWorkerConstructor }>("node:worker_threads");
  if (!node) return startInPage(source, receive, fail);
  const worker = new node.Worker(source + listening, { eval: true, execArgv: [], stdout: true, stderr: true });
  worker.on("message", receive);
  worker.on("error", fail);
  return {
    post: (message) => worker.postMessage(message),
    hold: (alive) => (alive ? worker.ref() : worker.unref()),
    terminate: () => worker.terminate(),
  };
};
