import { describe, expect, it } from "vitest";
import { type BackendName, backends, casesIn, committedCases, runCase } from "./suites.js";

const paths = await casesIn(committedCases);

describe("golden cases computed by PyTorch", () => {
  it("are all there", () => {
    expect(paths).toHaveLength(50);
  });

  it.each(paths.map((path) => [path.replace(/^.*[\\/]/, ""), path]))("%s", async (_, path) => {
    const reports = [];
    for await (const report of runCase(path, Object.keys(backends) as BackendName[])) reports.push(report);
    expect(reports.length).toBeGreaterThan(0);
    expect(reports.filter(({ passed }) => !passed)).toEqual([]);
  });
});
