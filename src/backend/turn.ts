/** Letting the event loop turn, so that no page or server waits for more than a step, or for a part of making one. */

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
