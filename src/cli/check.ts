/** throughtime check */
import type { Command } from "commander";
import { type BackendName, backendNamed } from "../backend/choose.js";
import type { Backend } from "../backend/contract.js";
import { reference } from "../backend/reference/index.js";
import { enableRelaxedSimd } from "../backend/wasm/flags-node.js";
import type { Cell } from "../cells/cell.js";
import { gru } from "../cells/gru.js";
import { lstm } from "../cells/lstm.js";
import { rnn } from "../cells/rnn.js";
import { gradientCheck } from "../check/gradient-check.js";
import { current, sumAll, type Tensor } from "../graph/language.js";
import { sizeOf } from "../graph/shape.js";
import { gradients } from "../graph/sweep.js";
import { type Variable, variable } from "../graph/variable.js";
import { recurrent } from "../layers/recurrent.js";
import { createRng } from "../parameters/rng.js";
import { createNetwork } from "../train/network.js";
import { backendOption, v8FlagsOption } from "./options.js";

const HIDDEN = 4;
const cases: readonly (readonly [string, Cell])[] = [
  ["rnn tanh", rnn(HIDDEN)],
  ["rnn relu", rnn(HIDDEN, { nonlinearity: "relu" })],
  ["rnn without bias", rnn(HIDDEN, { bias: false })],
  ["lstm", lstm(HIDDEN)],
  ["lstm without bias", lstm(HIDDEN, { bias: false })],
  ["lstm, projection", lstm(HIDDEN, { projection: 3 })],
  ["lstm, peepholes", lstm(HIDDEN, { peepholes: true })],
  ["lstm, projection and peepholes", lstm(HIDDEN, { projection: 3, peepholes: true })],
  ["gru, reset after", gru(HIDDEN)],
  ["gru, reset before", gru(HIDDEN, { reset: "before" })],
  ["gru without bias", gru(HIDDEN, { bias: false })],
];

/** What float32 may differ from float64 by, of a tensor's largest number. */
const FLOAT32_TOLERANCE = 2e-5;

export function addCheck(program: Command): void {
  program
    .command("check")
    .summary("gradient check of every cell")
    .description(
      "Compares the derived gradient of every cell and option with finite differences in float64, every input, parameter " +
        "and initial state by itself; and, where the backend is another than the reference, its outputs and gradients " +
        "with the reference's. Exit code 1 where one fails.",
    )
    .addOption(backendOption())
    .addOption(v8FlagsOption())
    .addHelpText("after", "\nExamples:\n  throughtime check\n  throughtime check --backend reference")
    .action(async ({ backend, v8Flags }: { backend: BackendName; v8Flags: boolean }) => {
      if (v8Flags) enableRelaxedSimd();
      if (!(await checkAll(backendNamed(backend)))) process.exitCode = 1;
    });
}

async function checkAll(backend: Backend): Promise<boolean> {
  const compares = backend.name !== "reference";
  const print = (cells: readonly string[]): void => {
    const widths = [32, 12, 26, compares ? 12 : 0, 0];
    process.stdout.write(
      `${cells
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join("")
        .trimEnd()}\n`,
    );
  };
  print(["cell", "error", "worst in", compares ? backend.name : "", "verdict"]);
  let failed = 0;
  for (const [name, cell] of cases) {
    const { passed, worst } = await gradientCheck(cell);
    const distance = compares ? await distanceFromReference(cell, backend) : 0;
    const fine = passed && distance <= FLOAT32_TOLERANCE;
    if (!fine) failed++;
    print([
      name,
      worst.relativeError.toExponential(1),
      worst.name,
      compares ? distance.toExponential(1) : "",
      fine ? "passed" : "FAILED",
    ]);
  }
  process.stdout.write(
    `${failed === 0 ? `All ${cases.length} passed` : `${failed} of ${cases.length} failed`}: relative error against finite differences at most 1e-6` +
      `${compares ? `, ${backend.name} within ${FLOAT32_TOLERANCE} of the largest value of the reference's outputs and gradients` : ""}.\n`,
  );
  return failed === 0;
}

/** The largest difference of outputs and gradients from the reference's, of each tensor's largest number. */
async function distanceFromReference(cell: Cell, backend: Backend): Promise<number> {
  const [ours, theirs] = [await outputsAndGradients(cell, backend), await outputsAndGradients(cell, reference())];
  return Math.max(
    ...theirs.map((expected, i) => {
      const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      return expected.reduce((most, value, at) => Math.max(most, Math.abs(value - ours[i]![at]!)), 0) / (largest || 1);
    }),
  );
}

async function outputsAndGradients(cell: Cell, backend: Backend): Promise<Float64Array[]> {
  const rng = createRng("check");
  const normal = (size: number): Float64Array => Float64Array.from({ length: size }, () => rng.normal());
  const input = variable("input", [4, 3, 5]);
  const network = createNetwork(recurrent(cell), 1);
  const { output } = network.trace(current(input), { training: false, seed: current(variable("seed", [1], "index")) });
  const weights = variable("weights", output.shape);
  const wrt = [current(input), ...network.tensors.values()];
  const loss = sumAll(output.mul(current(weights)));
  const tensors: readonly Tensor[] = [output, ...gradients(loss, wrt)];
  const results = tensors.map((tensor, i) => ({ variable: variable(`result ${i}`, tensor.shape), tensor }));
  const session = await backend.createSession();
  try {
    const executable = await session.compile({ name: "check", results });
    for (const at of [input, weights] satisfies Variable[]) session.write(at, normal(sizeOf(at.shape)));
    executable.run();
    return await Promise.all(results.map(async ({ variable }) => Float64Array.from(await session.read(variable))));
  } finally {
    session.dispose();
  }
}
