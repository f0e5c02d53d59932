/** Program → plan: for each kernel the dispatches that carry it out. Nothing is made on a device here. */
import { type Kernel, type Program, reads, type Statement, type View, writes } from "../../program/program.js";
import {
  type DeviceLimits,
  type Dispatch,
  type KernelDispatch,
  noProgramHas,
  type Plan,
  type Planned,
  type Planning,
} from "./dispatch.js";
import { joined, type Touch, type Touching } from "./join.js";
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
  /** Whether loops that are carried out whole read their weights in 16 bits. Default false. */
  readonly halfWeights?: boolean | undefined;
  /** Carries out no loop whole, but as its dispatches for each step. Default false. */
  readonly stepwise?: boolean | undefined;
}

const { scratch: SCRATCH, halves: HALVES } = noProgramHas;
/** Elements of scratch memory that kernels take one behind the other, before the first is taken again. */
const SCRATCH_ROUND = 2 ** 21;

export function planProgram({
  program,
  locate,
  scratchOffset,
  flag,
  limits,
  halfWeights,
  stepwise,
}: PlanOptions): Plan {
  let [taken, scratch, halves] = [0, 0, 0];
  const places: ReadonlyMap<number, Place> = new Map([
    [SCRATCH, { space: "temporaries", offset: scratchOffset }],
    [HALVES, { space: "halves", offset: program.plan.halves ?? 0 }],
  ]);
  const planning: Planning = {
    limits,
    flag: undefined,
    locate: (buffer) => places.get(buffer) ?? locate(buffer),
    halves: halfWeights
      ? (rows, columns) => {
          const view = { buffer: HALVES, offset: halves, rows, columns, stride: columns, step: 0 };
          halves += rows * columns;
          return view;
        }
      : undefined,
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
  const planned = (statement: Statement, how: Planning): readonly Touching[] => {
    const { steps, kernels } =
      statement.kind === "loop"
        ? { steps: statement.steps, kernels: statement.body }
        : { steps: 1, kernels: [statement] };
    const touches = kernels.flatMap((kernel) => touchesOf(kernel, steps, how));
    const watching: Planning = {
      ...how,
      scratch(rows, columns) {
        const view = how.scratch(rows, columns);
        touches.push(touchOf(view, 1, true, how));
        return view;
      },
      halves:
        how.halves &&
        ((rows, columns) => {
          const view = how.halves!(rows, columns);
          touches.push(touchOf(view, 1, true, how));
          return view;
        }),
    };
    return planStatement(statement, program, watching, stepwise).map((one) => ({ planned: one, touches }));
  };
  const all = (statements: readonly Statement[], how: Planning): Planned[] =>
    joined(statements.flatMap((statement) => planned(statement, how)));
  return {
    compute: all(program.compute, planning),
    guard: guarded ? { label: "guards", ...planGuard(program.guards, flag, planning) } : undefined,
    commit: all(program.commit, committing),
    scratch,
    halves,
  };
}

function planStatement(
  statement: Statement,
  { buffers }: Program,
  planning: Planning,
  stepwise = false,
): readonly Planned[] {
  if (statement.kind !== "loop") return planKernel(statement, planning);
  const whole = stepwise ? "as was asked for" : planWholeLoop(statement, buffers, planning);
  if (typeof whole !== "string") return whole;
  const { name, steps, reverse } = statement;
  return [
    { loop: name, steps, reverse, why: whole, body: statement.body.flatMap((kernel) => planKernel(kernel, planning)) },
  ];
}

const planKernel = (kernel: Kernel, planning: Planning): readonly Dispatch[] =>
  dispatchesOf(kernel, planning).map((dispatch) => ({ label: kernel.label, ...dispatch }));

/** What a kernel reads and writes in all of so many steps. */
const touchesOf = (kernel: Kernel, steps: number, planning: Planning): Touch[] => [
  ...reads(kernel).map((view) => touchOf(view, steps, false, planning)),
  ...writes(kernel).map((view) => touchOf(view, steps, true, planning)),
];

function touchOf(view: View, steps: number, isWritten: boolean, { locate }: Planning): Touch {
  const { space, offset } = locate(view.buffer);
  const ends = [0, (steps - 1) * view.step];
  const from = offset + view.offset;
  const length = (view.rows - 1) * view.stride + view.columns;
  return { space, from: from + Math.min(...ends), to: from + Math.max(...ends) + length, writes: isWritten };
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
