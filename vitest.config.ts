import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { vulkanEnvironment } from "./test/backend/webgpu/vulkan.js";

const source = (file: string): string => fileURLToPath(new URL(`src/${file}`, import.meta.url));

export default defineConfig({
  // As tsconfig's paths: examples import the package by its name, and run from the source without a build.
  resolve: {
    alias: [
      { find: /^throughtime$/, replacement: source("index.ts") },
      { find: /^throughtime\/node$/, replacement: source("node.ts") },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    env: vulkanEnvironment(),
    globalSetup: "test/backend/webgpu/announce.ts",
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
