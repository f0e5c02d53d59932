/** Says why there is one thread where more are wanted; loaded when that is so. */

let said = false;

/** A warning, once. */
export function sayWhy(threads: number): void {
  const isolated = (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated;
  const missing =
    isolated === false
      ? "this page is not cross-origin isolated (it wants the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp)"
      : "this engine has no SharedArrayBuffer";
  if (!said) console.warn(`throughtime: one thread instead of ${threads}: ${missing}`);
  said = true;
}
