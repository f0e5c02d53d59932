/** Letting the event loop turn, so that training never blocks a page or a server for more than a step. */

const budget = 8;
let last = 0;

/** Waits for a turn of the event loop, at most once in 8 ms. */
export async function turn(): Promise<void> {
  const now = performance.now();
  if (now - last < budget) return;
  await new Promise<void>((resolve) => {
    if (typeof setImmediate === "function") setImmediate(resolve);
    else {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        port1.close();
        resolve();
      };
      port2.postMessage(null);
    }
  });
  last = performance.now();
}
