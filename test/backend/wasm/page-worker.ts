/** A web worker on Node's worker threads, for what only pages do: `vi.stubGlobal("Worker", PageWorker)`. */
import { resolveObjectURL } from "node:buffer";
import { Worker } from "node:worker_threads";

export class PageWorker {
  onmessage: ((event: { readonly data: unknown }) => void) | undefined;
  onerror: ((error: Error) => void) | undefined;
  private readonly worker: Promise<Worker>;

  constructor(url: string) {
    this.worker = this.start(url);
  }

  private async start(url: string): Promise<Worker> {
    const code = await resolveObjectURL(url)!.text();
    const worker = new Worker(
      `const { parentPort } = require("node:worker_threads");
      const postMessage = (message) => parentPort.postMessage(message);
      let onmessage;
      ${code}
      parentPort.on("message", (data) => onmessage({ data }));`,
      { eval: true },
    );
    worker.on("message", (data) => this.onmessage?.({ data }));
    worker.on("error", (error) => this.onerror?.(error));
    return worker;
  }

  async postMessage(message: unknown): Promise<void> {
    (await this.worker).postMessage(message);
  }

  async terminate(): Promise<void> {
    await (await this.worker).terminate();
  }
}
