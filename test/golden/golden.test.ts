import { describe, expect, it } from "vitest";
import { testBackend } from "../backend/webgpu/driver.js";
import { type BackendName, backends, casesIn, committedCases, type Report, runCase } from "./suites.js";

const paths = await casesIn(committedCases);
const hasGraphics = (await testBackend()) !== undefined;
const everyBackend = (Object.keys(backends) as BackendName[]).filter((name) => name !== "webgpu" || hasGraphics);

describe("golden cases computed by PyTorch", () => {
  it("are all there", () => {
    expect(paths).toHaveLength(50);
  });

  it.each(paths.map((path) => [path.replace(/^.*[\\/]/, ""), path]))("%s", async (_, path) => {
    const reports: Report[] = [];
    for await (const report of runCase(path, everyBackend)) reports.push(report);
    const names = reports.map(({ backend }) => backend);
    expect(names).toEqual(names.includes("host") ? ["host"] : everyBackend);
    expect(reports.filter(({ passed }) => !passed)).toEqual([]);
    // These cases keep the narrow bound even where they are long or saturated.
    for (const { error } of reports) expect(error).toBeLessThanOrEqual(2e-5);
  });
});
