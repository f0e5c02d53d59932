/**
 * The built package in a page of a real browser: what it trains and writes there is what Node trains and writes, while the
 * page stays to be had.
 */
import { readFile } from "node:fs/promises";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { enableRelaxedSimd } from "../../src/backend/wasm/flags-node.js";
import { executablePath, launch, missing, required } from "./chromium.js";
import { type Outcome, type Training, train } from "./page/train.js";
import { openSite, type Site } from "./site.js";

const skipped = !executablePath && !required;
if (skipped) console.warn(missing);

/** ms; browsers speak of a long task from here on. It is 5 to 11 in steps, 22 where validation begins. */
const LONGEST_WHILE_TRAINING = 50;
/** ms; tracing, lowering and emitting a step of two LSTM layers take 30 to 70 each, one after the other. */
const LONGEST_WHILE_MAKING = 500;

let play: string;
let site: Site;
let browser: Browser;

beforeAll(async () => {
  if (skipped) return;
  play = await readFile("data/play.txt", "utf8");
  browser = await launch();
  site = await openSite();
}, 120_000);

afterAll(async () => {
  await browser?.close();
  await site?.close();
});

interface Tab {
  readonly page: Page;
  /** Errors and warnings of the console, and what failed to load. */
  readonly complaints: readonly string[];
  /** Workers started since the page was opened. */
  readonly started: () => number;
}

async function open(address: string): Promise<Tab> {
  const page = await browser.newPage();
  const complaints: string[] = [];
  let started = 0;
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("requestfailed", (request) => complaints.push(`not loaded: ${request.url()}`));
  page.on("worker", () => started++);
  await page.goto(address);
  return { page, complaints, started: () => started };
}

const trainIn = ({ page }: Tab, training: Training) =>
  page.evaluate(([text, settings]) => window.page.train(text, settings), [play, training] as const);

/** A browser may let a worker that is in the middle of a step go on for two seconds. */
const workersGone = ({ page }: Tab) => expect.poll(() => page.workers().length, { timeout: 10_000 }).toBe(0);

/** What Node makes of it, with the fused multiply-add that browsers have. */
function trainInNode(training: Training): Promise<Outcome> {
  enableRelaxedSimd();
  return train(play, training);
}

interface Case {
  readonly name: string;
  readonly isolated: boolean;
  readonly threads: number | "auto";
  readonly workers: number;
  readonly complaints: readonly unknown[];
}

const cases: readonly Case[] = [
  { name: "two threads in a cross-origin isolated page", isolated: true, threads: 2, workers: 2, complaints: [] },
  { name: "one thread in a cross-origin isolated page", isolated: true, threads: 1, workers: 1, complaints: [] },
  {
    name: "a page without isolation, which says why it has one thread",
    isolated: false,
    threads: 2,
    workers: 1,
    complaints: [expect.stringMatching(/one thread instead of 2: this page is not cross-origin isolated .*-Policy/)],
  },
  { name: "one thread in a page without isolation", isolated: false, threads: 1, workers: 1, complaints: [] },
];

describe.skipIf(skipped)("training in a page, on the processor", () => {
  it.each(cases)("$name", async ({ isolated, threads, workers, complaints }) => {
    const training: Training = { backend: "wasm", threads, hidden: 64, steps: 120 };
    const tab = await open(isolated ? site.isolated : site.plain);
    const found = await trainIn(tab, training);
    const expected = await trainInNode({ ...training, threads: found.threads });

    expect(found.losses.at(-1)).toBeLessThan(0.6 * found.losses[0]!);
    expect(found.losses).toEqual(expected.losses);
    expect(found.validationLoss).toBe(expected.validationLoss);
    expect(found.text).toBe(expected.text);

    expect(found.threads).toBe(workers);
    expect(tab.started()).toBe(workers);
    await workersGone(tab);
    expect(tab.complaints).toEqual(complaints);
    expect(found.blocked.training).toBeLessThan(LONGEST_WHILE_TRAINING);
    expect(Math.max(...Object.values(found.blocked))).toBeLessThan(LONGEST_WHILE_MAKING);
    await tab.page.close();
  });

  it.each([true, false])(
    "ends with an error when its trainer is disposed of in a step (isolated: %s)",
    async (isolated) => {
      const tab = await open(isolated ? site.isolated : site.plain);
      const training: Training = { backend: "wasm", threads: isolated ? 2 : 1, hidden: 256, steps: 1000 };
      const { steps, end } = await tab.page.evaluate(([text, settings]) => window.page.leave(text, settings), [
        play,
        training,
      ] as const);
      expect(steps).toBeLessThan(10);
      expect(end).toBe("this session is disposed: create a new one");
      await workersGone(tab);
      expect(tab.complaints).toEqual([]);
      await tab.page.close();
    },
  );
});
