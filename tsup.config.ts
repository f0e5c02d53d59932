import { defineConfig } from "tsup";

export default defineConfig({
  entry: { index: "src/index.ts", node: "src/node.ts", "cli/main": "src/cli/main.ts" },
  format: ["esm"],
  target: "es2022",
  platform: "neutral",
  external: [/^node:/],
  removeNodeProtocol: false,
  dts: { entry: { index: "src/index.ts", node: "src/node.ts" } },
  sourcemap: true,
  splitting: true,
  treeshake: true,
  clean: true,
});
