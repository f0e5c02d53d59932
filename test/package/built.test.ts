/** The package, built as `npm run build` builds it. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { brotliCompressSync } from "node:zlib";
import { build as bundle } from "tsup";
import { build as buildPage, type Rollup } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as source from "../../src/index.js";

const KB = 1000; // bytes
let folder = "";
let dist = "";

beforeAll(async () => {
  await mkdir("node_modules/.cache", { recursive: true });
  folder = await mkdtemp("node_modules/.cache/page-");
  dist = join(folder, "dist");
  await bundle({ config: "tsup.config.ts", outDir: dist, dts: false, sourcemap: false, silent: true });
  await writeFile(join(folder, "package.json"), await readFile("package.json"));
}, 240_000);

afterAll(() => rm(folder, { recursive: true }));

/**
 * The JavaScript of a page that uses `names`: what it loads at first, and what may follow on demand. Taken into a page by Vite,
 * minified, in brotli, as servers send it.
 */
async function pageWith(names: readonly string[]): Promise<{ readonly first: number; readonly later: number }> {
  const entry = join(folder, "page.js");
  const list = names.join(", ");
  await writeFile(entry, `import { ${list} } from "./dist/index.js";\nconsole.log(${list});\n`);
  const result = (await buildPage({
    root: folder,
    configFile: false,
    logLevel: "error",
    build: { write: false, target: "es2022", modulePreload: false, rollupOptions: { input: entry } },
  })) as Rollup.RollupOutput;
  const chunks = new Map(
    result.output.filter((output) => output.type === "chunk").map((chunk) => [chunk.fileName, chunk]),
  );
  const atOnce = new Set<string>();
  // A page without shared memory loads `remote`, one with it `crew`, which brings several threads.
  const begins = ({ isEntry, name }: Rollup.OutputChunk): boolean => isEntry || /^remote\b/.test(name);
  const pending = [...chunks.values()].filter(begins).map(({ fileName }) => fileName);
  for (let name = pending.pop(); name; name = pending.pop()) {
    if (atOnce.has(name)) continue;
    atOnce.add(name);
    pending.push(...chunks.get(name)!.imports);
  }
  const size = (wanted: boolean): number =>
    [...chunks.values()]
      .filter(({ fileName }) => atOnce.has(fileName) === wanted)
      .reduce((sum, { code }) => sum + brotliCompressSync(code).length, 0);
  return { first: size(true), later: size(false) };
}

/** What a small model of characters learns, and then writes. */
async function trainedText(api: typeof source, threads: number) {
  const text = api.readText("the cat sat on the mat, and the rat ran to the hat. ".repeat(80));
  const size = text.vocabulary.size;
  const model = api.sequential({
    embedding: api.embedding(size, 16),
    rnn: api.recurrent(api.lstm(32), { layers: 2, dropout: 0.1 }),
    head: api.dense(size),
  });
  const trainer = await api.createTrainer(model, {
    loss: api.crossEntropy(),
    optimizer: api.adam({ learningRate: 1e-2 }),
    clip: { norm: 5 },
    bptt: { window: 24 },
    batch: 32,
    seed: 1,
    backend: api.wasm({ threads }),
  });
  const losses: number[] = [];
  for await (const { loss } of trainer.fit(api.textBatches(text), { steps: 60 })) losses.push(loss);
  const predictor = await trainer.predictor({ inputShape: [1, 1, 1], inputType: "index" });
  let written = "";
  for await (const character of api.generate(predictor, text.vocabulary, { length: 40, temperature: 0 }))
    written += character;
  trainer.dispose();
  return { losses, written, threads: trainer.threads };
}

const training = "adam createTrainer crossEntropy dense embedding lstm recurrent sequential".split(" ");

describe("the built package", () => {
  it("loads less than 40 kB in a page that builds cells and layers and trains on the processor", async () => {
    const { first } = await pageWith(training);
    expect(first / KB).toBeLessThan(40);
    expect(first / KB).toBeGreaterThan(10);
  }, 120_000);

  it("brings reading text and sampling for a few kB more, and nothing that a page does not use", async () => {
    const core = await pageWith(training);
    const text = await pageWith([...training, "generate", "readText", "textBatches"]);
    expect((text.first - core.first) / KB).toBeLessThan(4);
    // The reference backend, threads' programs, prediction.
    expect(text.later / KB).toBeGreaterThan(3);
    const series = await pageWith([...training, "series"]);
    expect((series.first - core.first) / KB).toBeGreaterThan(5);
  }, 240_000);

  it("trains and samples as its source does, on one thread and on two", async () => {
    const built = (await import(pathToFileURL(resolve(dist, "index.js")).href)) as typeof source;
    expect(built.createTrainer).not.toBe(source.createTrainer);
    for (const threads of [1, 2]) {
      const expected = await trainedText(source, threads);
      expect(expected.losses.at(-1)).toBeLessThan(expected.losses[0]! / 2);
      expect(await trainedText(built, threads)).toEqual(expected);
    }
  }, 60_000);

  it("has V8 compile what trains with its file", async () => {
    const files = (await readdir(dist)).filter((file) => file.endsWith(".js"));
    const codes = await Promise.all(files.map((file) => readFile(join(dist, file), "utf8")));
    const kernels = codes.filter((code) => code.includes("// src/backend/wasm/kernels/"));
    expect(kernels).not.toEqual([]);
    for (const code of kernels) {
      expect(code).toMatch(/^var \w+ = \(function /m);
      expect(code).not.toMatch(/^(async )?function /m);
    }
  });

  it("imports nothing but its own few files, so that it loads at once and without a bundler", async () => {
    const files = (await readdir(dist)).filter((file) => file.endsWith(".js"));
    const codeOf = (file: string): Promise<string> => readFile(join(dist, file), "utf8");
    const imports = async (file: string): Promise<string[]> => {
      const code = await codeOf(file);
      return [...code.matchAll(/^(?:import|export)\b[^;]*?\bfrom '([^']+)'|^import '([^']+)'/gm)].map(
        (found) => found[1] ?? found[2]!,
      );
    };
    const reached = new Set(["index.js"]);
    for (const file of reached)
      for (const name of await imports(file)) {
        expect(name, `what ${file} imports`).toMatch(/^\.\//);
        reached.add(name.slice(2));
      }
    expect(reached.size).toBeGreaterThan(1);
    // Each costs about a millisecond.
    expect(reached.size).toBeLessThanOrEqual(Math.min(20, files.length));
    // Shaders and all that makes them come with the first session on a graphics processor.
    const withShaders = async (some: Iterable<string>): Promise<string[]> => {
      const codes = await Promise.all([...some].map(async (file) => ({ file, code: await codeOf(file) })));
      return codes.filter(({ code }) => code.includes("@compute")).map(({ file }) => file);
    };
    expect(await withShaders(files)).not.toEqual([]);
    expect(await withShaders(reached)).toEqual([]);
  });
});
