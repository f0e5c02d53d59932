import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../files/temporary-folder.js";
import { play, reports, throughtime } from "./command.js";

const options = "--hidden 10 --layers 1 --batch 4 --window 150 --steps 4 --json".split(" ");

test("text train --recompute learns the same, goes on with it, and cannot be taken up later", async () => {
  const cwd = await temporaryFolder();
  const train = (...more: string[]): ReturnType<typeof throughtime> =>
    throughtime(["text", "train", play, ...more], { cwd });
  const [plain, segments] = await Promise.all([
    train(...options, "--out", "plain"),
    train(...options, "--out", "segments", "--recompute"),
  ]);
  for (const { code, stderr } of [plain, segments]) expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const [expected, found] = [reports(plain.stdout), reports(segments.stdout)];
  expect(found.length).toBe(4);
  for (const [i, { loss, gradientNorm, validationLoss }] of expected.entries()) {
    expect(found[i]!.loss).toBeCloseTo(loss, 4);
    expect(found[i]!.gradientNorm).toBeCloseTo(gradientNorm, 4);
    if (validationLoss !== undefined) expect(found[i]!.validationLoss).toBeCloseTo(validationLoss, 4);
  }
  expect(JSON.parse(await readFile(join(cwd, "segments/run.json"), "utf8")).config.training.recompute).toBe(true);

  const longer = await train("--resume", "--steps", "6", "--json", "--out", "segments");
  expect(reports(longer.stdout).map(({ step }) => step)).toEqual([5, 6]);
  expect(await train("--resume", "--steps", "6", "--recompute", "--out", "plain")).toEqual({
    code: 1,
    stdout: "",
    stderr: "error: the run plain was trained without --recompute, so it cannot be resumed with it.\n",
  });
}, 60_000);
