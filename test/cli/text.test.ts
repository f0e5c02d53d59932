import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadTextRun } from "../../src/files/text-run-node.js";
import { temporaryFolder } from "../files/temporary-folder.js";
import { filesOf, lasting, play, reports, throughtime, tiny } from "./command.js";

test("text train --json: a line an update and nothing else, and a run that text sample writes with", async () => {
  const cwd = await temporaryFolder();
  const trained = await throughtime(["text", "train", play, ...tiny, "--cell", "gru", "--steps", "30", "--json"], {
    cwd,
  });
  expect(trained).toMatchObject({ code: 0, stderr: "" });
  const lines = reports(trained.stdout);
  expect(lines.map(({ step }) => step)).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
  for (const line of lines) {
    const last = line.step === 30;
    expect(Object.keys(line)).toEqual([
      "step",
      "loss",
      ...(last ? ["validationLoss"] : []),
      "bitsPerCharacter",
      "gradientNorm",
      "learningRate",
      "charactersPerSecond",
    ]);
    expect(Object.values(line).every(Number.isFinite)).toBe(true);
    expect(line.bitsPerCharacter).toBe((line.validationLoss ?? line.loss) / Math.LN2);
    expect(line.learningRate).toBe(0.002);
    expect(line.charactersPerSecond).toBeGreaterThan(0);
  }
  expect(lines.at(-1)!.loss).toBeLessThan(lines[0]!.loss - 0.1);

  const dir = join(cwd, "runs", "play-gru");
  const { model, vocabulary } = await loadTextRun(dir);
  expect(model).toEqual({ cell: "gru", hidden: 12, layers: 2, embedding: 0, dropout: 0 });
  const sample = (...more: string[]): ReturnType<typeof throughtime> =>
    throughtime(["text", "sample", dir, "--length", "40", ...more], { cwd });
  const [first, again, other, wild, greedy] = await Promise.all([
    sample("--seed", "5", "--prompt", "NELL:"),
    sample("--seed", "5", "--prompt", "NELL:"),
    sample("--seed", "6", "--prompt", "NELL:"),
    sample("--seed", "5", "--temperature", "2", "--top-k", "9", "--top-p", "0.9"),
    sample("--temperature", "0", "--backend", "reference"),
  ]);
  for (const { code, stderr } of [first, again, other, wild, greedy])
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(first.stdout).toMatch(/^NELL:.{40}\n?$/s);
  expect(again.stdout).toBe(first.stdout);
  expect(other.stdout).not.toBe(first.stdout);
  expect([...wild.stdout].every((character) => vocabulary.characters.includes(character))).toBe(true);
});

test("k steps and a resume to N are N steps straight, bit for bit, dropout and embedding included", async () => {
  const cwd = await temporaryFolder();
  const options = [...tiny, "--embedding", "7", "--dropout", "0.3", "--json"];
  const [straight, first] = await Promise.all([
    throughtime(["text", "train", play, ...options, "--steps", "330", "--out", "straight"], { cwd }),
    throughtime(["text", "train", play, ...options, "--steps", "140", "--out", "paused"], { cwd }),
  ]);
  const second = await throughtime(["text", "train", play, "--resume", "--steps", "330", "--json", "--out", "paused"], {
    cwd,
  });
  expect([straight, first, second].map(({ code }) => code)).toEqual([0, 0, 0]);
  const whole = reports(straight.stdout);
  const parts = [...reports(first.stdout), ...reports(second.stdout)];
  expect(lasting(parts)).toEqual(lasting(whole));
  expect(whole.filter(({ validationLoss }) => validationLoss !== undefined).map(({ step }) => step)).toEqual([
    150, 300, 330,
  ]);
  // An epoch has 285 windows, so that the resumed part goes into a second one.
  const [one, two] = [await filesOf(join(cwd, "straight")), await filesOf(join(cwd, "paused"))];
  expect(Object.keys(one)).toEqual([
    "optimizer.safetensors",
    "progress.json",
    "states.safetensors",
    "vocabulary.json",
    "weights.safetensors",
  ]);
  for (const [name, bytes] of Object.entries(one)) expect(two[name]!.equals(bytes), name).toBe(true);
  expect(JSON.parse(one["progress.json"]!.toString())).toMatchObject({ step: 330, epoch: 1 });

  const conflicts = await Promise.all(
    [
      ["--hidden", "13"],
      ["--cell", "rnn"],
      ["--learning-rate", "0.01"],
      ["--backend", "reference"],
    ].map((option) => throughtime(["text", "train", play, "--resume", "--out", "paused", ...option], { cwd })),
  );
  expect(conflicts.map(({ code, stderr }) => [code, stderr])).toEqual([
    [1, "error: the run paused was trained with --hidden 12, so it cannot be resumed with 13.\n"],
    [1, "error: the run paused was trained with --cell lstm, so it cannot be resumed with rnn.\n"],
    [1, "error: the run paused was trained with --learning-rate 0.002, so it cannot be resumed with 0.01.\n"],
    [1, "error: the run paused was trained with --backend wasm, so it cannot be resumed with reference.\n"],
  ]);
  const done = await throughtime(["text", "train", play, "--resume", "--out", "paused", "--json"], { cwd });
  expect(done).toEqual({
    code: 0,
    stdout: "",
    stderr: "the run paused has made its 330 updates already; --steps with a larger number trains it further.\n",
  });
  const epoch = await throughtime(["text", "train", play, "--resume", "--out", "paused", "--epochs", "1"], { cwd });
  expect(epoch).toEqual({
    code: 0,
    stdout: "",
    stderr: "the run paused has made its 330 updates already; --epochs with a larger number trains it further.\n",
  });
});

test("without --json and a terminal: plain lines, now and then", async () => {
  const cwd = await temporaryFolder();
  const file = join(cwd, "Mein Text.txt");
  await writeFile(file, (await readFile(play, "utf8")).slice(0, 4000));
  const { code, stdout, stderr } = await throughtime(
    [
      "text",
      "train",
      file,
      ...tiny,
      "--batch",
      "5",
      "--epochs",
      "3",
      "--layers",
      "1",
      "--clip-norm",
      "0",
      "--validation",
      "0.2",
    ],
    { cwd },
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const lines = stdout.split("\n");
  expect(lines[0]).toMatch(
    /Mein Text\.txt: 4,000 characters, \d+ different\. lstm, 1 layer of 12: [\d,]+ parameters, on wasm(, \d+ threads)?\.$/,
  );
  expect(lines.at(-2)).toBe(
    "Saved in runs/Mein-Text-lstm. To let it write: throughtime text sample runs/Mein-Text-lstm",
  );
  const steps = lines.slice(1, -2);
  expect(steps.length).toBeGreaterThan(10);
  expect(steps.length).toBeLessThan(40);
  for (const line of steps)
    expect(line).toMatch(
      /^step +\d+\/93 {2}loss \d\.\d{3}( {2}validation \d\.\d{3} \(\d\.\d\d bits\/character\))? {2}gradient norm \d\.\d{3} {2}[\d,]+ characters\/s$/,
    );
  expect(steps.at(-1)).toContain("step 93/93");
  expect(steps.at(-1)).toContain("validation");
  expect((await loadTextRun(join(cwd, "runs/Mein-Text-lstm"))).checkpoint().progress).toMatchObject({
    step: 93,
    epoch: 3,
  });
});
