/** The browser that the tests drive: the machine's own Chromium or Chrome. */
import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

const usual = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/opt/google/chrome/chrome",
  "/snap/bin/chromium",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
];

const { CHROMIUM, THROUGHTIME_BROWSER } = process.env;

/** Where it is; undefined where there is none. */
export const executablePath: string | undefined = CHROMIUM || usual.find((path) => existsSync(path));

/** Whether its absence is a failure. */
export const required = THROUGHTIME_BROWSER === "required";

export const missing =
  "The browser tests need Chromium: install it (Debian: apt-get install chromium), or name an executable in CHROMIUM.";

/** `--enable-unsafe-webgpu` lets a page have WebGPU on a processor, by way of SwiftShader. */
const flags = [
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--no-sandbox",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // After a second crash of its graphics process a browser gives a page none otherwise.
  "--disable-gpu-process-crash-limit",
  "--disable-domain-blocking-for-3d-apis",
  // As in Node: without it SwiftShader takes a second for each kernel with memory of a workgroup; no kernel needs it.
  "--enable-dawn-features=disable_workgroup_init",
];

export async function launch(): Promise<Browser> {
  if (!executablePath) throw new Error(missing);
  return chromium.launch({ executablePath, args: flags });
}
