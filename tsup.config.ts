import { readFile } from "node:fs/promises";
import { basename, dirname, relative, resolve } from "node:path";
import MagicString from "magic-string";
import { defineConfig, type Options } from "tsup";
import ts from "typescript";

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

type Chunk = Parameters<NonNullable<NonNullable<Options["plugins"]>[number]["renderChunk"]>>[1];

/**
 * Puts functions in parentheses, which V8 takes as a hint to compile them with their file: others it reads twice, once to find their
 * ends and again when they are first called. It does so with all that are declared, which become variables ahead of what else their
 * file or function does, and with the longer ones of the rest.
 */
function compiledAtOnce(code: string, chunk: Chunk) {
  const text = new MagicString(code);
  const file = ts.createSourceFile(chunk.path, code, ts.ScriptTarget.ES2022);
  const beginsFile = (node: ts.Node): boolean => /^\/\/ \S+\.[jt]s$/m.test(code.slice(node.pos, node.getStart(file)));
  const isLong = (node: ts.Node): boolean => node.getWidth(file) > 300;
  const declared = (statements: readonly ts.Statement[]): void => {
    /** Where the first one begins that is no function. */
    let first: number | undefined;
    for (const statement of statements) {
      const start = statement.getStart(file);
      if (beginsFile(statement)) first = undefined;
      if (ts.isFunctionDeclaration(statement)) {
        text.appendRight(start, `var ${statement.name!.text} = (`).appendLeft(statement.end, ");\n");
        if (first !== undefined) text.move(start, statement.end, first);
      } else first ??= start;
    }
  };
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && "body" in node && node.body && ts.isBlock(node.body)) {
      declared(node.body.statements);
      if ((ts.isArrowFunction(node) || ts.isFunctionExpression(node)) && isLong(node))
        text.appendRight(node.getStart(file), "(").appendLeft(node.end, ")");
    }
    ts.forEachChild(node, visit);
  };
  declared(file.statements);
  visit(file);
  return { code: text.toString(), map: chunk.map ? text.generateMap({ source: chunk.path, hires: "boundary" }) : null };
}

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
  plugins: [
    { name: "pure-namespaces", renderChunk: (code) => ({ code: pureNamespaces(code) }) },
    {
      name: "compiled-at-once",
      // What trains on the processor, and what is loaded for it.
      renderChunk: (code, chunk) =>
        /^\/\/ src\/backend\/wasm\/(kernels|threads)\//m.test(code) ? compiledAtOnce(code, chunk) : undefined,
    },
  ],
});
