/**
 * The built package in a page of a real browser: what it trains and writes there is what Node trains and writes, while the
 * page stays to be had.
 */
import { readFile } from "node:fs/promises";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

import { enableRelaxedSimd } from "../../src/backend/wasm/flags-node.js";
import { executablePath, launch, missing, required } from "./chromium.js";
import { type Outcome, type Training, train } from "./page/train.js";
import { openSite, type Site } from "./site.js";

// A software driver on a busy machine takes its time.
vi.setConfig({ testTimeout: 120_000 });

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
  play = (await readFile("data/play.txt", "utf8")).slice(0, 25_000);
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

type InPage = Awaited<ReturnType<typeof trainIn>>;

const leaveIn = ({ page }: Tab, training: Training) =>
  page.evaluate(([text, settings]) => window.page.leave(text, settings), [play, training] as const);

/** A browser may let a worker that is in the middle of a step go on for two seconds. */
const workersGone = ({ page }: Tab) => expect.poll(() => page.workers().length, { timeout: 10_000 }).toBe(0);

/**
 * A host that takes the processor away for a while looks like a page that is busy. What a page does itself it does each time: the
 * best of a few runs counts.
 */
async function expectResponsive(found: InPage, again: () => Promise<InPage>): Promise<void> {
  for (let tries = 1; tries < 5 && found.blocked.training >= LONGEST_WHILE_TRAINING; tries++) found = await again();
  expect(found.blocked.training).toBeLessThan(LONGEST_WHILE_TRAINING);
  expect(Math.max(...Object.values(found.blocked))).toBeLessThan(LONGEST_WHILE_MAKING);
}

const inNode = new Map<string, Promise<Outcome>>();

/** What Node makes of it, with the fused multiply-add that browsers have; made once for each training. */
function trainInNode(training: Training): Promise<Outcome> {
  enableRelaxedSimd();
  const key = JSON.stringify(training);
  const made = inNode.get(key) ?? train(play, training);
  inNode.set(key, made);
  return made;
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
    const training: Training = { backend: "wasm", threads, hidden: 64, batch: 16, window: 32, steps: 120 };
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
    await expectResponsive(found, () => trainIn(tab, training));
    await tab.page.close();
  });
});

/** A software driver carries it out, a thousand times slower than a card. */
const small: Training = { backend: "webgpu", hidden: 16, batch: 8, window: 16, steps: 20 };
const large: Training = { backend: "wasm", hidden: 256, batch: 16, window: 32, steps: 1000 };
/** Of the loss: sums are taken in another order than on the processor. */
const TOLERANCE = 1e-5;

function expectFollowed(found: readonly number[], expected: readonly number[]): void {
  expect(found.length).toBe(expected.length);
  for (const [i, loss] of found.entries())
    expect(Math.abs(loss - expected[i]!), `step ${i + 1}`).toBeLessThan(TOLERANCE * expected[i]!);
}

describe.skipIf(skipped)("training in a page, on WebGPU", () => {
  it("trains and writes as the processor does in Node, and leaves the page alone", async () => {
    const tab = await open(site.plain);
    const found = await trainIn(tab, small);
    const expected = await trainInNode({ ...small, backend: "wasm", threads: 1 });

    expect(found.losses.at(-1)).toBeLessThan(0.9 * found.losses[0]!);
    expectFollowed(found.losses, expected.losses);
    expectFollowed([found.validationLoss!], [expected.validationLoss!]);
    expect(found.text).toBe(expected.text);

    expect(tab.started()).toBe(0);
    expect(tab.complaints).toEqual([]);
    await expectResponsive(found, () => trainIn(tab, small));
    await tab.page.close();
  });
});

describe.skipIf(skipped)("a trainer that is disposed of in the middle of a step", () => {
  it.each([
    { name: "threads", isolated: true, training: { ...large, threads: 2 } },
    { name: "a worker", isolated: false, training: { ...large, threads: 1 } },
    { name: "WebGPU", isolated: false, training: small },
  ])("ends training with an error, and its workers: $name", async ({ isolated, training }) => {
    const tab = await open(isolated ? site.isolated : site.plain);
    const { steps, end } = await leaveIn(tab, training);
    expect(steps).toBeLessThan(10);
    expect(end).toBe("this session is disposed: create a new one");
    await workersGone(tab);
    expect(tab.complaints).toEqual([]);
    await tab.page.close();
  });
});

/** At the end: a browser whose graphics process ended takes its time for another. */
describe.skipIf(skipped)("training on WebGPU", () => {
  it("goes on from the last checkpoint each time that its device is lost", async () => {
    const tab = await open(site.plain);
    const chromium = await browser.newBrowserCDPSession();
    await tab.page.exposeFunction("crash", () => {
      // It is never answered.
      void chromium.send("Browser.crashGpuProcess").catch(() => undefined);
    });
    const times = [
      { saved: 5, crashed: 8 },
      { saved: 9, crashed: 12 },
    ];
    const lives = await tab.page.evaluate(([text, settings, losses]) => window.page.lose(text, settings, losses), [
      play,
      small,
      times,
    ] as const);
    const { losses } = await trainInNode({ ...small, backend: "wasm", threads: 1 });

    expect(lives.map(({ from }) => from)).toEqual([0, ...times.map(({ saved }) => saved)]);
    for (const { from, losses: found } of lives) expectFollowed(found, losses.slice(from, from + found.length));
    for (const [i, { crashed }] of times.entries()) {
      const { from, losses: found, end } = lives[i]!;
      expect(from + found.length).toBeGreaterThanOrEqual(crashed);
      expect(from + found.length).toBeLessThan(small.steps);
      // The program is named unless the device was lost between two runs of it.
      expect(end).toMatch(
        /^the graphics device was lost( at the program "training step" \(.*; which of the program's \d+ dispatches was running the driver does not say, the most arithmetic is in ".+"\)| \([^;]*\)): make a new trainer and restore/,
      );
    }
    const last = lives.at(-1)!;
    expect(last.end).toBe("all steps made");
    expect(last.from + last.losses.length).toBe(small.steps);
    await tab.page.close();
  });
});
