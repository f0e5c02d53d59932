/** Program → plan: for each kernel the dispatches that carry it out. Nothing is made on a device here. */
import type { Kernel, Loop, Program, Statement, View } from "../../program/program.js";
import type {
  DeviceLimits,
  Dispatch,
  KernelDispatch,
  Plan,
  Planned,
  Planning,
  RepeatedDispatches,
} from "./dispatch.js";
import { planWholeLoop } from "./loops/whole-loop.js";
import { planChain } from "./wgsl/chain.js";
import { planFill, planGather, planGuard, planScatter, planTranspose } from "./wgsl/moves.js";
import { planProduct } from "./wgsl/product.js";
import { planReduce } from "./wgsl/reduce.js";
import { planCrossEntropy, planSoftmax } from "./wgsl/rows.js";
import type { Place } from "./wgsl/source.js";

export interface PlanOptions {
  readonly program: Program;
  /** Where a buffer of the program lies. */
  locate(buffer: number): Place;
  /** Where, among the temporaries, the scratch memory begins. */
  readonly scratchOffset: number;
  /** Where, among the indices, this program says that its commit is refused. */
  readonly flag: number;
  readonly limits: DeviceLimits;
  /** Carries out no loop whole, but as its dispatches for each step. Default false. */
  readonly stepwise?: boolean | undefined;
}

/** The number of a buffer that no program has. */
const SCRATCH = -1;

export function planProgram({ program, locate, scratchOffset, flag, limits, stepwise }: PlanOptions): Plan {
  let scratch = 0;
  const planning: Planning = {
    limits,
    flag: undefined,
    locate: (buffer) => (buffer === SCRATCH ? { space: "temporaries", offset: scratchOffset } : locate(buffer)),
    // Dispatches follow one another, so that each kernel may use all of it.
    scratch(rows, columns): View {
      scratch = Math.max(scratch, rows * columns);
      return { buffer: SCRATCH, offset: 0, rows, columns, stride: columns, step: 0 };
    },
  };
  const guarded = program.guards.length > 0;
  const committing = { ...planning, flag: guarded ? flag : undefined };
  const planned = (statement: Statement, how: Planning): readonly Planned[] => {
    if (statement.kind !== "loop") return planKernel(statement, how);
    const whole = stepwise ? "as was asked for" : planWholeLoop(statement, program.buffers, how);
    return typeof whole === "string" ? [stepByStep(statement, whole, how)] : whole;
  };
  return {
    compute: program.compute.flatMap((statement) => planned(statement, planning)),
    guard: guarded ? { label: "guards", ...planGuard(program.guards, flag, planning) } : undefined,
    commit: program.commit.flatMap((statement) => planned(statement, committing)),
    scratch,
  };
}

const stepByStep = ({ name, steps, reverse, body }: Loop, why: string, planning: Planning): RepeatedDispatches => ({
  loop: name,
  steps,
  reverse,
  why,
  body: body.flatMap((kernel) => planKernel(kernel, planning)),
});

const planKernel = (kernel: Kernel, planning: Planning): readonly Dispatch[] =>
  dispatchesOf(kernel, planning).map((dispatch) => ({ label: kernel.label, ...dispatch }));

function dispatchesOf(kernel: Kernel, planning: Planning): readonly KernelDispatch[] {
  switch (kernel.kind) {
    case "chain":
      return planChain(kernel, planning);
    case "product":
      return planProduct(kernel, planning);
    case "reduce":
      return planReduce(kernel, planning);
    case "softmax":
      return planSoftmax(kernel, planning);
    case "crossEntropy":
      return planCrossEntropy(kernel, planning);
    case "gather":
      return planGather(kernel, planning);
    case "scatter":
      return planScatter(kernel, planning);
    case "transpose":
      return planTranspose(kernel, planning);
    case "fill":
      return planFill(kernel, planning);
    case "allReduce":
    case "barrier":
      throw new Error(`${kernel.label}: a device needs no ${kernel.kind}`);
  }
}
