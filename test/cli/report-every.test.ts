/** --report-every: a line says what several updates did; the run is the same. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { testDevice } from "../backend/webgpu/driver.js";
import { temporaryFolder } from "../files/temporary-folder.js";
import { filesOf, play, reports, throughtime, tiny } from "./command.js";

const device = await testDevice();
const passengers = fileURLToPath(new URL("../../data/airline-passengers.csv", import.meta.url));
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const stepsOf = (stdout: string): number[] => reports(stdout).map(({ step }) => step);

test("text train: each line has the mean loss since the one before, and the weights are the same", async () => {
  const cwd = await temporaryFolder();
  const train = (out: string, ...more: string[]): ReturnType<typeof throughtime> =>
    throughtime(["text", "train", play, ...tiny, "--steps", "30", "--json", "--out", out, ...more], { cwd });
  const [each, few] = await Promise.all([train("each"), train("few", "--report-every", "7")]);
  expect([each, few].map(({ code, stderr }) => [code, stderr])).toEqual([
    [0, ""],
    [0, ""],
  ]);
  const [all, lines] = [reports(each.stdout), reports(few.stdout)];
  expect(all).toHaveLength(30);
  expect(lines.map(({ step }) => step)).toEqual([7, 14, 21, 28, 30]);
  let before = 0;
  for (const line of lines) {
    const last = all[line.step - 1]!;
    expect(line.loss).toBeCloseTo(mean(all.slice(before, line.step).map(({ loss }) => loss)), 12);
    expect(line.gradientNorm).toBe(last.gradientNorm);
    expect(line.validationLoss).toBe(last.validationLoss);
    before = line.step;
  }
  const [one, other] = [await filesOf(join(cwd, "each")), await filesOf(join(cwd, "few"))];
  for (const [name, bytes] of Object.entries(one)) expect(other[name]!.equals(bytes), name).toBe(true);

  // A resumed run reports where an uninterrupted one does.
  const more = await throughtime(
    ["text", "train", play, "--resume", "--out", "few", "--steps", "45", "--report-every", "10", "--json"],
    { cwd },
  );
  expect(more).toMatchObject({ code: 0, stderr: "" });
  expect(stepsOf(more.stdout)).toEqual([40, 45]);
});

test("text train: plain lines stay as many as they were where reports allow it", async () => {
  const cwd = await temporaryFolder();
  const { code, stdout } = await throughtime(
    ["text", "train", play, ...tiny, "--steps", "60", "--report-every", "7", "--out", "run"],
    { cwd },
  );
  expect(code).toBe(0);
  expect([...stdout.matchAll(/^step +(\d+)\//gm)].map(([, step]) => Number(step))).toEqual([
    7, 14, 21, 28, 35, 42, 49, 56, 60,
  ]);
});

test("series train: the same", async () => {
  const cwd = await temporaryFolder();
  const train = (out: string, ...more: string[]): ReturnType<typeof throughtime> =>
    throughtime(
      ["series", "train", passengers, "-c", "Passengers", "--steps", "9", "--hidden", "4", "--members", "1"].concat(
        ["--threads", "1", "--json", "--out", out],
        more,
      ),
      { cwd },
    );
  const [each, few] = await Promise.all([train("each"), train("few", "--report-every", "4")]);
  expect([each.code, few.code]).toEqual([0, 0]);
  const [all, lines] = [reports(each.stdout), reports(few.stdout)];
  const steps = lines.map(({ step }) => step);
  expect(all.length).toBeGreaterThanOrEqual(9); // 18 where the network is trusted at all
  expect(steps.slice(0, 4)).toEqual([4, 5, 8, 9]); // an epoch has 5
  expect(steps.at(-1)).toBe(all.length);
  steps.forEach((step, i) => {
    const part = all.slice(steps[i - 1] ?? 0, step);
    expect(lines[i]!.loss).toBeCloseTo(mean(part.map(({ loss }) => loss)), 12);
  });
  const weights = await Promise.all(["each", "few"].map(async (run) => await filesOf(join(cwd, run))));
  for (const [name, bytes] of Object.entries(weights[0]!)) expect(weights[1]![name]!.equals(bytes), name).toBe(true);
  expect(await readFile(join(cwd, "few", "run.json"), "utf8")).not.toContain("reportEvery");
});

test.runIf(device)("on webgpu ten updates are reported together, unless asked for otherwise", async () => {
  const cwd = await temporaryFolder();
  const train = (...more: string[]): ReturnType<typeof throughtime> =>
    throughtime(["text", "train", play, ...tiny, "--backend", "webgpu", "--json", "--out", "run", ...more], { cwd });
  const first = await train("--steps", "12");
  expect(first).toMatchObject({ code: 0, stderr: "" });
  expect(stepsOf(first.stdout)).toEqual([10, 12]);
  const resumed = await train("--resume", "--steps", "15", "--report-every", "1");
  expect(resumed).toMatchObject({ code: 0, stderr: "" });
  expect(stepsOf(resumed.stdout)).toEqual([13, 14, 15]);
});
