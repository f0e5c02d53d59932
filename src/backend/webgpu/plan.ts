/** Program → plan: for each kernel the dispatches that carry it out. Nothing is made on a device here. */
import { type Kernel, type Program, reads, type Statement, type View, writes } from "../../program/program.js";
import type { DeviceLimits, Dispatch, KernelDispatch, Plan, Planned, Planning } from "./dispatch.js";
import { joined, type Touch, type Touching } from "./join.js";
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
}

/** The number of a buffer that no program has. */
const SCRATCH = -1;
/** Elements of scratch memory that kernels take one behind the other, before the first is taken again. */
const SCRATCH_ROUND = 2 ** 21;

export function planProgram({ program, locate, scratchOffset, flag, limits }: PlanOptions): Plan {
  let [taken, scratch] = [0, 0];
  const planning: Planning = {
    limits,
    flag: undefined,
    locate: (buffer) => (buffer === SCRATCH ? { space: "temporaries", offset: scratchOffset } : locate(buffer)),
    scratch(rows, columns): View {
      const size = rows * columns;
      const offset = taken + size > SCRATCH_ROUND ? 0 : taken;
      taken = offset + size;
      scratch = Math.max(scratch, taken);
      return { buffer: SCRATCH, offset, rows, columns, stride: columns, step: 0 };
    },
  };
  const guarded = program.guards.length > 0;
  const committing = { ...planning, flag: guarded ? flag : undefined };
  const all = (statements: readonly Statement[], how: Planning): Planned[] =>
    joined(statements.flatMap((statement) => planStatement(statement, how)));
  return {
    compute: all(program.compute, planning),
    guard: guarded ? { label: "guards", ...planGuard(program.guards, flag, planning) } : undefined,
    commit: all(program.commit, committing),
    scratch,
  };
}

function planStatement(statement: Statement, planning: Planning): readonly Touching[] {
  if (statement.kind !== "loop") return planKernel(statement, planning);
  const { name, steps, reverse } = statement;
  const kernels = statement.body.flatMap((kernel) => planKernel(kernel, planning, steps));
  const body = kernels.map(({ planned }) => planned as Dispatch);
  return [{ planned: { loop: name, steps, reverse, body }, touches: kernels.flatMap(({ touches }) => touches) }];
}

/** The dispatches of a kernel, each with all that the kernel touches in `steps` steps. */
function planKernel(kernel: Kernel, planning: Planning, steps = 1): readonly Touching[] {
  const touches: Touch[] = [];
  const touch = (view: View, writes: boolean): void => {
    const { space, offset } = planning.locate(view.buffer);
    const [first, last] = [0, (steps - 1) * view.step].sort((a, b) => a - b) as [number, number];
    const from = offset + view.offset;
    const length = (view.rows - 1) * view.stride + view.columns;
    touches.push({ space, from: from + first, to: from + last + length, writes });
  };
  for (const view of reads(kernel)) touch(view, false);
  for (const view of writes(kernel)) touch(view, true);
  const scratch: Planning["scratch"] = (rows, columns) => {
    const view = planning.scratch(rows, columns);
    touch(view, true);
    return view;
  };
  const dispatches = dispatchesOf(kernel, { ...planning, scratch });
  return dispatches.map((dispatch) => ({ planned: { label: kernel.label, ...dispatch }, touches }));
}

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
