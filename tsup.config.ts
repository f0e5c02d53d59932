import { readFile } from "node:fs/promises";
import { basename, dirname, relative, resolve } from "node:path";
import { defineConfig, type Options } from "tsup";

/**
 * Marks the objects behind `export * as series` and the like as free of effects, so that a bundler leaves them out, and all
 * that they name, where a page does not use them.
 */
const pureNamespaces = (code: string): string =>
  code.replace(
    /^var (\w+) = \{\};\n__export\(\1, (\{.*?^\})\);/gms,
    "var $1 = /* @__PURE__ */ ((all) => (\n__export(all, $2), all))({});",
  );

/**
 * seedrandom's Alea as a module, without what suits its file to every loader and without the kinds of numbers that nobody asks for: for
 * a CommonJS file the bundle would carry a loader larger than the file.
 */
const aleaAsModule: NonNullable<Options["esbuildPlugins"]>[number] = {
  name: "alea-as-module",
  setup(build) {
    build.onLoad({ filter: /seedrandom[\\/]lib[\\/]alea\.js$/ }, async ({ path }) => {
      const body = /^\(function\(global, module, define\) \{$(.*)^if \(module && module\.exports\) \{$/ms;
      const [, code = ""] = body.exec(await readFile(path, "utf8")) ?? [];
      const contents = code.replace(/^ {2}prng\.int32 = .*^ {2}prng\.quick = prng;$/ms, "");
      if (contents === code) return { errors: [{ text: `${path} is not as it was` }] };
      return { contents: `${contents}export default impl;` };
    });
  },
};

/**
 * What is loaded on demand finds all that training needs in one file: esbuild would cut that by who shares what, into some twenty
 * files that a page without a bundler loads one by one, and that Vite does not always put together again. Paths are relative: files'
 * names contain a hash of them.
 */
const oneCore: NonNullable<Options["esbuildPlugins"]>[number] = {
  name: "one-core",
  setup(build) {
    const core = resolve("src/train/trainer.ts");
    build.onResolve({ filter: /^\.\.?\// }, async ({ kind, path, resolveDir }) =>
      kind === "dynamic-import"
        ? {
            path: relative(".", (await build.resolve(path, { kind: "import-statement", resolveDir })).path),
            namespace: "on-demand",
          }
        : undefined,
    );
    build.onResolve({ filter: /^core$/, namespace: "on-demand" }, () => ({ path: core }));
    build.onLoad({ filter: /./, namespace: "on-demand" }, ({ path }) => ({
      contents: `import * as core from "core"; export * from "./${basename(path)}";`,
      resolveDir: resolve(dirname(path)),
    }));
  },
};

export default defineConfig({
  entry: { index: "src/index.ts", node: "src/node.ts", "cli/main": "src/cli/main.ts" },
  format: ["esm"],
  target: "es2022",
  platform: "neutral",
  external: [/^node:/],
  // One small file of it: as a CommonJS package it would take as long to load as all the rest.
  noExternal: [/^seedrandom/],
  removeNodeProtocol: false,
  sourcemap: true,
  splitting: true,
  treeshake: true,
  clean: true,
  esbuildPlugins: [aleaAsModule, oneCore],
  plugins: [{ name: "pure-namespaces", renderChunk: (code) => ({ code: pureNamespaces(code) }) }],
});
