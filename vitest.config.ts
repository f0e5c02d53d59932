import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { vulkanEnvironment } from "./test/backend/webgpu/vulkan.js";

const source = (file: string): string => fileURLToPath(new URL(`src/${file}`, import.meta.url));

const pages = "test/browser/**/*.test.ts";

export default defineConfig({
  // As tsconfig's paths: examples import the package by its name, and run from the source without a build.
  resolve: {
    alias: [
      { find: /^throughtime$/, replacement: source("index.ts") },
      { find: /^throughtime\/node$/, replacement: source("node.ts") },
    ],
  },
  test: {
    pool: "forks",
    // One for each processor; what vitest takes by itself is one less, half of a machine with two.
    maxWorkers: "100%",
    env: vulkanEnvironment(),
    testTimeout: 30_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: "node",
          include: ["test/**/*.test.ts"],
          exclude: [pages],
          globalSetup: "test/backend/webgpu/announce.ts",
        },
      },
      // After all others and by itself: it measures how long a page's thread is busy.
      { extends: true, test: { name: "browser", include: [pages], sequence: { groupOrder: 1 } } },
    ],
  },
});
