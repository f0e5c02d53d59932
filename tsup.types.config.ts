import { defineConfig } from "tsup";

/**
 * The declarations, each entry by itself: of what two entries share tsup would make a third file, and the types in
 * `export * as series` would be taken for values.
 */
const declarationsOf = (name: string) => ({
  entry: { [name]: `src/${name}.ts` },
  format: ["esm" as const],
  dts: { only: true },
});

export default defineConfig([declarationsOf("index"), declarationsOf("node")]);
