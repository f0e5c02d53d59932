/** How a graphics processor carries out a layer of a cell: what is dispatched, in how many workgroups. No device is asked. */

import type { DeviceLimits, Planned } from "../backend/webgpu/dispatch.js";
import type { Cell } from "../cells/cell.js";
import { checkCount, checkOptions, UserError } from "../errors.js";
import { current, sumAll } from "../graph/language.js";
import { gradients } from "../graph/sweep.js";
import { batchVariable, variable } from "../graph/variable.js";
import { recurrent } from "../layers/recurrent.js";
import { createNetwork } from "../train/network.js";

/** Options of `explainDispatches`; all have defaults. */
export interface DispatchesOptions {
  /** D, features of the input. Default: as many as the cell's output has. */
  readonly input?: number;
  /** N, rows of the batch. Default 32. */
  readonly batch?: number;
  /** T, time steps. Default 50. */
  readonly time?: number;
  /** What a workgroup may have. Default: what every device that has WebGPU allows. */
  readonly limits?: DeviceLimits;
}

/** The graphics backend's planning: loaded with the first that asks for it. */
const onDemand = { planAlone: () => import("../backend/webgpu/plan-alone.js") };

/** The least that the WebGPU specification allows a device. */
const LEAST_LIMITS: DeviceLimits = { invocations: 256, workgroupStorage: 16_384 };

/**
 * The dispatches of the webgpu backend for a layer of the cell over [T, N, D], forward and backward, as plain text: kernels,
 * workgroups, and whether a time loop is one dispatch or some for each step.
 * @throws UserError where a size is no whole number of at least 1, or the cell cannot take an input of that size
 */
export async function explainDispatches(cell: Cell, options: DispatchesOptions = {}): Promise<string> {
  if (typeof cell?.step !== "function")
    throw new UserError("explainDispatches: wants a cell, such as lstm(64), not a layer or anything else");
  const { input = cell.hidden, batch = 32, time = 50, limits = LEAST_LIMITS } = options;
  checkOptions("explainDispatches", options, "input batch time limits");
  for (const [name, value] of Object.entries({ input, batch, time })) checkCount(`explain: ${name}`, value);
  const x = batchVariable("x", [time, batch, input]);
  const network = createNetwork(recurrent(cell), 1);
  const { output } = network.trace(current(x), { training: false, seed: current(variable("seed", [1], "index")) });
  const wrt = [current(x), ...network.tensors.values()];
  const tensors = [output, ...gradients(sumAll(output.mul(output)), wrt)];
  const results = tensors.map((tensor, i) => ({ variable: variable(`result ${i}`, tensor.shape), tensor }));
  const { planAlone } = await onDemand.planAlone();
  const { compute } = planAlone({ name: cell.name, results }, limits);
  const lines = compute.flatMap((planned) => described(planned));
  const width = Math.max(...lines.map(([what]) => what.length));
  return [
    `${cell.name} on WebGPU: T = ${time}, N = ${batch}, D = ${input}; a workgroup of at most ${limits.invocations} invocations and ${limits.workgroupStorage / 1024} KiB`,
    "",
    ...lines.map(([what, how]) => `  ${what.padEnd(width)}  ${how}`.trimEnd()),
    "",
    `${compute.reduce((sum, planned) => sum + countOf(planned), 0)} dispatches in one submission`,
    "",
  ].join("\n");
}

const countOf = (planned: Planned): number => ("loop" in planned ? planned.steps * planned.body.length : 1);

function described(planned: Planned, indent = ""): [what: string, how: string][] {
  if ("loop" in planned)
    return [
      [
        `${planned.loop}, ${planned.steps} steps${planned.reverse ? " in reverse" : ""}, for each:`,
        `not in one dispatch: ${planned.why}`,
      ],
      ...planned.body.flatMap((dispatch) => described(dispatch, "  ")),
    ];
  const [x, y, z] = planned.workgroups;
  const count = x * y * z;
  return [[indent + planned.label, `${planned.how}; ${count} workgroup${count === 1 ? "" : "s"}`]];
}
