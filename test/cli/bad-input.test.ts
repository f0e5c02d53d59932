import { cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadRun, saveRun } from "../../src/files/run-folder-node.js";
import { encodeSafetensors, type SafeTensor } from "../../src/files/safetensors.js";
import { readSafetensors } from "../../src/files/safetensors-node.js";
import { temporaryFolder } from "../files/temporary-folder.js";
import { type Ended, filesOf, play, throughtime, tiny } from "./command.js";

/** Holds a finished run, `run`, and texts. */
let cwd: string;

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), "throughtime-"));
  await writeFile(join(cwd, "empty.txt"), "");
  await writeFile(join(cwd, "one.txt"), "a");
  await writeFile(join(cwd, "same.txt"), "aaaaaaaa");
  await writeFile(join(cwd, "short.txt"), "hello world");
  await writeFile(join(cwd, "latin.txt"), Buffer.from("caf\xe9 ".repeat(100), "latin1"));
  await mkdir(join(cwd, "other"));
  await writeFile(join(cwd, "other", "thesis.md"), "Do not lose me.");
  expect(
    await throughtime(["text", "train", play, ...tiny, "--steps", "3", "--out", "run", "--json"], { cwd }),
  ).toMatchObject({ code: 0 });
});
afterAll(() => rm(cwd, { recursive: true, force: true }));

const oneSentence = ({ code, stdout, stderr }: Ended): string => {
  expect(stderr).toMatch(/^error: [^\n]+\n$/);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  return stderr.slice("error: ".length, -1);
};

test("texts, options and folders that will not do are named in one sentence, and nothing is written", async () => {
  const train = (...args: string[]): string[] => ["text", "train", ...args, "--json"];
  const cases: [string[], string | RegExp][] = [
    [train("empty.txt"), "empty.txt is empty."],
    [train("one.txt"), "one.txt holds one character only: there is nothing to predict."],
    [train("same.txt"), 'same.txt holds one character only, "a", again and again: there is nothing to predict.'],
    [train("short.txt"), /^short\.txt is too short: a window of 50 characters needs 51 to train on/],
    [train(play, "--batch", "3000"), /^The text is too short: a batch of 3000 streams .* would fit\.$/],
    [train("latin.txt"), "latin.txt is not a text in UTF-8."],
    [train("gone.txt"), "cannot read gone.txt: there is no such file or folder."],
    [train("other"), "cannot read other: it is a folder."],
    [
      train(play, "--out", "other"),
      "other is not overwritten: it holds files but no run.json, so it is no run folder.",
    ],
    [train(play, "--out", "empty.txt"), "empty.txt is a file, not a run folder."],
    [train(play, "--out", "run"), /^run holds a run already: --resume goes on with it, --overwrite replaces it/],
    [train(play, "--resume", "--out", "nowhere"), "there is no run folder nowhere."],
    [
      train("same.txt", "--resume", "--out", "run"),
      "the run run cannot be resumed with same.txt: it was trained on another text.",
    ],
    [
      train(play, "--hidden", "90000"),
      /^a model of 97,\d{3},\d{3},\d{3} parameters needs [\d,]+ MiB with Adam's two moments, and there are [\d,]+:/,
    ],
    [["text", "sample", "nowhere"], "there is no run folder nowhere."],
    [["text", "sample", "other"], "other is no run folder: it holds no run.json."],
    [
      ["text", "sample", "run", "--prompt", "Où?"],
      /^Unknown character "ù" \(U\+00F9\) at position 2: .* Did you mean "u"\?$/,
    ],
  ];
  const before = await filesOf(join(cwd, "run"));
  const answers = await Promise.all(cases.map(([args]) => throughtime(args, { cwd })));
  for (const [i, [args, expected]] of cases.entries())
    expect
      .soft(oneSentence(answers[i]!), args.join(" "))
      .toEqual(typeof expected === "string" ? expected : expect.stringMatching(expected));
  expect(await filesOf(join(cwd, "run"))).toEqual(before);
  expect((await readdir(cwd)).sort()).toEqual([
    "empty.txt",
    "latin.txt",
    "one.txt",
    "other",
    "run",
    "same.txt",
    "short.txt",
  ]);
  expect(await readFile(join(cwd, "other", "thesis.md"), "utf8")).toBe("Do not lose me.");
});

test("a folder that cannot be written is refused before any training, a damaged run but with --overwrite", async () => {
  const folder = await temporaryFolder();
  const train = (...args: string[]) =>
    throughtime(["text", "train", play, ...tiny, "--steps", "1", "--json", ...args], { cwd: folder });
  if (process.platform === "linux")
    expect(oneSentence(await train("--out", "/proc/throughtime/run"))).toMatch(
      /^no run can be saved in \/proc\/throughtime\/run: (\/proc takes no files|permission is denied)\.$/,
    );
  for (const [name, length] of [
    ["cut", 100],
    ["empty", 0],
  ] as const) {
    await cp(join(cwd, "run"), join(folder, name), { recursive: true });
    await truncate(join(folder, name, "run.json"), length);
    const before = await readdir(join(folder, name), { recursive: true });
    expect(oneSentence(await train("--out", name))).toBe(
      `${name} holds a run whose run.json is damaged: --overwrite replaces it, and --out names another folder.`,
    );
    expect(oneSentence(await train("--out", name, "--resume"))).toMatch(/run\.json is not valid JSON/);
    expect(await readdir(join(folder, name), { recursive: true })).toEqual(before);
    expect(await train("--out", name, "--overwrite")).toMatchObject({ code: 0, stderr: "" });
    expect((await readdir(join(folder, name))).sort()).toEqual(["checkpoint-000002", "run.json"]);
    expect((await loadRun(join(folder, name))).checkpoint).toBe("checkpoint-000002");
  }
  await cp(join(cwd, "run"), join(folder, "weights"), { recursive: true });
  const { checkpoint } = await loadRun(join(folder, "weights"));
  await truncate(join(folder, "weights", checkpoint, "weights.safetensors"), 100);
  expect(await train("--out", "weights", "--overwrite")).toMatchObject({ code: 0, stderr: "" });
  await loadRun(join(folder, "weights"));
  await cp(join(cwd, "other"), join(folder, "other"), { recursive: true });
  expect(oneSentence(await train("--out", "other", "--overwrite"))).toBe(
    "other is not overwritten: it holds files but no run.json, so it is no run folder.",
  );
  expect(await readFile(join(folder, "other", "thesis.md"), "utf8")).toBe("Do not lose me.");
});

test("a learning rate that explodes stops the run", async () => {
  const out = await temporaryFolder();
  const [huge, infinite] = await Promise.all(
    ["1e4", "1e39"].map((rate) =>
      throughtime(["text", "train", play, ...tiny, "--learning-rate", rate, "--json", "--out", `out${rate}`], {
        cwd: out,
      }),
    ),
  );
  expect(huge!.stderr).toMatch(
    /^error: step 2: the loss is [\d.e+]+, where guessing gives 4\.11: the learning rate 10000 is too large\.\n$/,
  );
  expect(infinite!.stderr).toMatch(
    /^error: step \d: .*no weight was changed\. The learning rate is 1e\+39: a smaller one, or clipping, may help\.\n$/,
  );
  expect([huge!.code, infinite!.code]).toEqual([1, 1]);
  expect(await readdir(out)).toEqual([]);
});

test("a full disk: one sentence, the old run whole, nothing half-written", async () => {
  const folder = await temporaryFolder();
  await cp(join(cwd, "run"), join(folder, "run"), { recursive: true });
  const before = await filesOf(join(folder, "run"));
  // weights.safetensors has about 13 kB, optimizer.safetensors twice that.
  const [resumed, fresh, listing] = await Promise.all([
    throughtime(["text", "train", play, "--resume", "--steps", "5", "--out", "run", "--json"], {
      cwd: folder,
      largestFile: 40,
    }),
    throughtime(["text", "train", play, ...tiny, "--steps", "2", "--out", "fresh/run", "--json"], {
      cwd: folder,
      largestFile: 40,
    }),
    throughtime(["text", "sample", join(cwd, "run")], { cwd: folder, stdoutTo: "/dev/full" }),
  ]);
  expect(resumed).toMatchObject({
    code: 1,
    stderr: "error: cannot save the run run: it would be larger than the system allows.\n",
  });
  expect(fresh).toMatchObject({
    code: 1,
    stderr: "error: cannot save the run fresh/run: it would be larger than the system allows.\n",
  });
  expect(listing).toEqual({ code: 1, stdout: "", stderr: "error: cannot write the output: the disk is full.\n" });
  expect(await filesOf(join(folder, "run"))).toEqual(before);
  expect(await readdir(folder)).toEqual(["run"]);
});

test("run folders that were cut, changed or made up are refused by name", async () => {
  const folder = await temporaryFolder();
  const run = await loadRun(join(cwd, "run"));
  const { tensors } = await readSafetensors(join(cwd, "run", run.checkpoint, "weights.safetensors"));
  const files = Object.fromEntries(run.files);
  const weights = (change: (all: Map<string, SafeTensor>) => void): Uint8Array => {
    const changed = new Map(tensors);
    change(changed);
    return encodeSafetensors(changed);
  };
  const bias = tensors.get("head.bias") as Extract<SafeTensor, { dtype: "F32" }>;
  const overlapping = Buffer.from(files["weights.safetensors"]!);
  const at = overlapping.indexOf('"data_offsets":[') + '"data_offsets":['.length;
  overlapping.write("4", at);
  const huge = Buffer.from(files["weights.safetensors"]!);
  huge.writeBigUInt64LE(2n ** 40n);
  const broken: Record<string, [Record<string, Uint8Array | string>, RegExp]> = {
    overlapping: [
      { "weights.safetensors": overlapping },
      /weights\.safetensors cannot be read as safetensors: tensor .* where F32 .* needs \d+\.$/,
    ],
    huge: [
      { "weights.safetensors": huge },
      /weights\.safetensors cannot be read as safetensors: its header claims 1099511627776 bytes, above the limit/,
    ],
    lacking: [
      { "weights.safetensors": weights((all) => all.delete("head.bias")) },
      /weights\.safetensors lacks the tensor "head\.bias" of its model\.$/,
    ],
    added: [
      { "weights.safetensors": weights((all) => all.set("tail.bias", bias)) },
      /weights\.safetensors: the model has no parameter "tail\.bias"; it has rnn\.weight_ih_l0, [^\n]*head\.bias$/,
    ],
    reshaped: [
      { "weights.safetensors": weights((all) => all.set("head.bias", { ...bias, shape: [1, bias.data.length] })) },
      /weights\.safetensors: [^\n]*parameter "head\.bias" of the model has shape \[61\], not \[1, 61\]$/,
    ],
    whole: [
      {
        "weights.safetensors": weights((all) =>
          all.set("head.bias", { dtype: "I32", shape: bias.shape, data: new Int32Array(61) }),
        ),
      },
      /tensor "head\.bias" holds I32, where numbers with a fraction are needed/,
    ],
    illiterate: [
      { "vocabulary.json": '{"characters":["a","a"]}' },
      /vocabulary\.json is damaged: A vocabulary's entry 1, "a" \(U\+0061\), stands twice\.$/,
    ],
  };
  for (const [name, [changed]] of Object.entries(broken))
    await saveRun(join(folder, name), { config: run.config, files: { ...files, ...changed } });
  await saveRun(join(folder, "stranger"), { config: { kind: "poem" }, files: {} });
  await cp(join(cwd, "run"), join(folder, "cut"), { recursive: true });
  await truncate(join(folder, "cut", run.checkpoint, "weights.safetensors"), 5000);

  const names = [...Object.keys(broken), "stranger", "cut"];
  const answers = await Promise.all(names.map((name) => throughtime(["text", "sample", name], { cwd: folder })));
  for (const [i, name] of names.entries()) {
    const expected =
      broken[name]?.[1] ??
      {
        stranger: /^stranger is no text run but one of kind "poem"\.$/,
        cut: /weights\.safetensors has 5000 bytes where run\.json says \d+ \(was it cut short\?\)\.$/,
      }[name]!;
    expect.soft(oneSentence(answers[i]!), name).toMatch(expected);
  }
  const resumed = await throughtime(["text", "train", play, "--resume", "--steps", "9", "--out", "lacking", "--json"], {
    cwd: folder,
  });
  expect(resumed.stderr).toMatch(/^error: [^\n]*tensor [^\n]*head\.bias[^\n]*\n$/);
  expect(resumed.code).toBe(1);
});
