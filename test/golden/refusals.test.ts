/** The runner must fail on what it does not understand, and on wrong figures: a check that cannot fail shows nothing. */
import { spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { encodeSafetensors, type SafeTensor } from "../../src/files/safetensors.js";
import { readSafetensors } from "../../src/files/safetensors-node.js";
import { temporaryFolder } from "../files/temporary-folder.js";
import { casesIn, committedCases, type Report, runCase } from "./suites.js";

interface Draft {
  readonly description: Record<string, unknown>;
  readonly tensors: Map<string, SafeTensor>;
}

/** A committed case, changed, in a folder of its own. */
async function changed(name: string, change: (draft: Draft) => void): Promise<{ folder: string; path: string }> {
  const { tensors, metadata } = await readSafetensors(join(committedCases, `${name}.safetensors`));
  const description = JSON.parse(metadata.case!) as Record<string, unknown>;
  change({ description, tensors });
  const folder = await temporaryFolder();
  const path = join(folder, "changed.safetensors");
  await writeFile(path, encodeSafetensors(tensors, { case: JSON.stringify(description) }));
  return { folder, path };
}

async function reportsOf(path: string): Promise<Report[]> {
  const reports: Report[] = [];
  for await (const report of runCase(path, ["reference"])) reports.push(report);
  return reports;
}

const set =
  (name: string, value: unknown) =>
  ({ description }: Draft): void => {
    description[name] = value;
  };
const drop =
  (name: string) =>
  ({ tensors }: Draft): void => {
    tensors.delete(name);
  };
/** The last figure of a tensor replaced. */
const bend =
  (name: string, bent: (value: number) => number) =>
  ({ tensors }: Draft): void => {
    const tensor = tensors.get(name)!;
    const data = Float64Array.from(tensor.data as Float64Array);
    data[data.length - 1] = bent(data.at(-1)!);
    tensors.set(name, { dtype: "F64", shape: tensor.shape, data });
  };

const strange: readonly [string, string, (draft: Draft) => void, string][] = [
  ["a suite", "lstm-tiny", set("suite", "attention"), '"suite" of the case is "attention"'],
  ["no suite", "lstm-tiny", ({ description }) => delete description.suite, 'the case has no "suite"'],
  ["a kind of cell", "lstm-tiny", set("kind", "mgu"), '"kind" of the case is "mgu"'],
  ["a nonlinearity", "rnn-tiny", set("nonlinearity", "sin"), '"nonlinearity" of the case is "sin"'],
  ["a projection of a GRU", "gru-tiny", set("proj_size", 2), "a projection belongs to lstm, not to gru"],
  ["a field", "gru-tiny", set("peepholes", true), "fields that are not understood: peepholes"],
  ["lengths past the end", "gru-lengths", set("lengths", [3, 9, 1, 6]), "do not fit 4 rows of 8 steps"],
  ["an activation", "dense-relu", set("activations", ["relu", "mish", "identity"]), '"activations" of the case is'],
  ["a loss", "dense-mae", set("loss", "hinge"), '"loss" of the case is "hinge"'],
  ["an optimiser", "truncated-rnn-sgd", set("optimizer", "lion"), '"optimizer" of the case is "lion"'],
  [
    "an option of an optimiser",
    "truncated-rnn-adam",
    set("options", { lr: 0.01, maximize: true }),
    "not understood: maximize",
  ],
  ["a schedule", "schedules", set("schedules", { polynomial: { lr: 0.1 } }), 'there is no schedule "polynomial"'],
  [
    "an option of a schedule",
    "schedules",
    set("schedules", { step: { lr: 0.1, step_size: 7, verbose: true } }),
    "not understood: verbose",
  ],
  ["no schedule", "schedules", set("schedules", {}), "the case names no schedule"],
  ["a missing tensor", "gru-tiny", drop("grad.bias_hh_l0"), 'it has no tensor "grad.bias_hh_l0"'],
  [
    "a tensor too many",
    "gru-tiny",
    ({ tensors }) => void tensors.set("extra", { dtype: "F64", shape: [1], data: new Float64Array(1) }),
    "tensors that are not understood: extra",
  ],
  ["another shape", "gru-tiny", set("hidden_size", 5), 'tensor "weight_ih_l0" has shape [12,3], not [15,3]'],
  ["a figure that is none", "lstm-tiny", bend("grad.c0", () => Number.NaN), "figures that are not finite"],
];

it.each(strange)("refuses %s that it does not understand", async (_, name, change, message) => {
  const reports = await reportsOf((await changed(name, change)).path);
  expect(reports).toHaveLength(1);
  expect(reports[0]).toMatchObject({ passed: false });
  expect(reports[0]!.detail).toContain(message);
});

it.each([
  ["lstm-tiny", "output"],
  ["lstm-tiny", "cn"],
  ["gru-lengths", "grad.h0"],
  ["dense-elu", "grad.layers.0.bias"],
  ["truncated-gru-adagrad", "losses"],
  ["truncated-gru-adagrad", "grad_norms"],
  ["truncated-lstm-rmsprop", "after.rnn.bias_hh_l0"],
  ["schedules", "plateau"],
])("fails where a figure is off by 1e-7 of the largest: %s, %s", async (name, tensor) => {
  const { path } = await changed(name, (draft) => {
    const data = [...(draft.tensors.get(tensor)!.data as Float64Array)];
    bend(tensor, (value) => value + 1e-7 * Math.max(...data.map(Math.abs)))(draft);
  });
  const [report] = await reportsOf(path);
  expect(report).toMatchObject({ passed: false });
  expect(report!.detail).toMatch(`error 1.0e-7 in ${tensor}`);
});

it("fails on a file that is no safetensors file", async () => {
  const path = join(await temporaryFolder(), "torn.safetensors");
  await writeFile(path, "torn");
  const reports = await reportsOf(path);
  expect(reports).toHaveLength(1);
  expect(reports[0]).toMatchObject({ passed: false, backend: "-" });
});

it("refuses a folder without cases, or none at all", async () => {
  const folder = await temporaryFolder();
  await expect(casesIn(folder)).rejects.toThrow("holds no .safetensors file");
  await expect(casesIn(join(folder, "nowhere"))).rejects.toThrow("ENOENT");
});

function command(environment: Record<string, string>): { status: number | null; stdout: string; stderr: string } {
  const script = fileURLToPath(new URL("./run.ts", import.meta.url));
  const result = spawnSync(process.execPath, ["--import", "tsx", script], {
    env: { ...process.env, ...environment },
    encoding: "utf8",
  });
  return { status: result.status, stdout: result.stdout, stderr: result.stderr };
}

it("the command exits with 0 only where every case passes", async () => {
  const good = await changed("rnn-one", () => {});
  expect(command({ GOLDEN: good.folder, BACKENDS: "reference,wasm,wasm-threads" })).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(
      /^pass {2}reference .*\npass {2}wasm .*\npass {2}wasm-threads .*\n1 cases on reference, wasm, wasm-threads: 3 passed, 0 failed\n$/,
    ),
  });
  const bad = await changed(
    "rnn-one",
    bend("output", (value) => value + 1),
  );
  expect(command({ GOLDEN: bad.folder, BACKENDS: "wasm" })).toMatchObject({
    status: 1,
    stdout: expect.stringContaining("1 cases on wasm: 0 passed, 1 failed"),
  });
  expect(command({ GOLDEN: good.folder, BACKENDS: "abacus" })).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('BACKENDS names "abacus"'),
  });
}, 120_000);
