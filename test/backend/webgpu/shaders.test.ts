/** What the three cells become, checked by WebGPU's own rules without a driver; a change of a kernel is seen here. */
import { afterAll, describe, expect, it } from "vitest";
import type { Plan, Planned } from "../../../src/backend/webgpu/dispatch.js";
import { webgpu } from "../../../src/backend/webgpu/index.js";
import { current, sumAll } from "../../../src/graph/language.js";
import { gradients } from "../../../src/graph/sweep.js";
import { batchVariable, variable } from "../../../src/graph/variable.js";
import { recurrent } from "../../../src/layers/recurrent.js";
import { type CellName, cellNamed, cellNames } from "../../../src/models/text-model.js";
import type { ProgramOptions } from "../../../src/program/lower.js";
import { createNetwork } from "../../../src/train/network.js";
import { nullDevice } from "./driver.js";
import { isWhole } from "./loop-cases.js";

const session = await webgpu({ device: await nullDevice() }).createSession();
afterAll(() => session.dispose());

/** Outputs of a layer over [T 3, N 5, D 6] with 7 hidden features, and the gradients of their squares' sum. */
function forwardAndBackward(cell: CellName): ProgramOptions {
  const input = batchVariable("input", [3, 5, 6]);
  const network = createNetwork(recurrent(cellNamed(cell, 7)), 1);
  const { output } = network.trace(current(input), { training: false, seed: current(variable("seed", [1], "index")) });
  const wrt = [current(input), ...network.tensors.values()];
  const tensors = [output, ...gradients(sumAll(output.mul(output)), wrt)];
  const results = tensors.map((tensor, i) => ({ variable: variable(`result ${i}`, tensor.shape), tensor }));
  return { name: cell, results };
}

const listed = (planned: Planned, indent = ""): string =>
  "loop" in planned
    ? [
        `${planned.loop}: ${planned.steps} steps${planned.reverse ? " in reverse" : ""}`,
        ...planned.body.map((dispatch) => listed(dispatch, "  ")),
      ].join("\n")
    : `${indent}${planned.label}: ${planned.how}, ${planned.workgroups.join("×")} workgroups`;

/** All dispatches, and the text of those that are loops. */
function described({ compute }: Plan): string {
  const inLoops = compute.filter(isWhole);
  const texts = [...new Map(inLoops.map(({ label, code }) => [code, label]))];
  return [
    compute.map((planned) => listed(planned)).join("\n"),
    ...texts.map(([code, label]) => `// ${label}\n${code.trim()}`),
    "",
  ].join("\n\n");
}

describe("the kernels of", () => {
  it.each(cellNames)("%s", async (cell) => {
    const { plan } = await session.compile(forwardAndBackward(cell));
    await expect(described(plan)).toMatchFileSnapshot(`shaders/${cell}.wgsl`);
  });
});
