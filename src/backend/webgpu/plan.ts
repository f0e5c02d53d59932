/** Program → plan: for each kernel the dispatches that carry it out. Nothing is made on a device here. */
import { kept } from "../../graph/maps.js";
import { type Kernel, kernelsIn, type Program, reads, type Statement, type View } from "../../program/program.js";
import {
  type DeviceLimits,
  type KernelDispatch,
  noProgramHas,
  type Plan,
  type Planned,
  type PlannedKernel,
  type Planning,
} from "./dispatch.js";
import { joined, type Spanning, single } from "./join.js";
import { planWholeLoop } from "./loops/whole-loop.js";
import { type Span, spanOf, spansOf } from "./span.js";
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
  const isWanted = wantedOf(program);
  const all = (statements: readonly Statement[], how: Planning): Planned[] =>
    joined(statements.flatMap((statement) => planStatement(statement, program, isWanted, how, stepwise)));
  return {
    compute: all(program.compute, planning),
    guard: guarded ? single({ label: "guards", ...planGuard(program.guards, flag, planning) }) : undefined,
    commit: all(program.commit, committing),
    scratch,
    halves,
  };
}

/** Whether what a statement leaves in a buffer is there for others to read. */
function wantedOf({ buffers, compute, commit, guards, keep }: Program): IsWanted {
  const readers = new Map<number, Set<Statement>>();
  for (const statement of [...compute, ...commit])
    for (const { buffer } of kernelsIn(statement).flatMap(reads)) kept(readers, buffer, () => new Set()).add(statement);
  const guarding = new Set(guards.map(({ buffer }) => buffer));
  return (buffer, statement) => {
    if (keep || buffers[buffer]!.kind !== "temporary" || guarding.has(buffer)) return true;
    return [...(readers.get(buffer) ?? [])].some((reader) => reader !== statement);
  };
}

type IsWanted = (buffer: number, statement: Statement) => boolean;

function planStatement(
  statement: Statement,
  { buffers }: Program,
  isWanted: IsWanted,
  planning: Planning,
  stepwise = false,
): readonly Spanning[] {
  if (statement.kind !== "loop") {
    const { dispatches, spans } = planKernel(statement, 1, planning);
    return dispatches.map((planned) => ({ planned, spans }));
  }
  const whole = stepwise
    ? "as was asked for"
    : planWholeLoop(statement, buffers, (buffer) => isWanted(buffer, statement), planning);
  if (typeof whole !== "string") return whole;
  const { name, steps, reverse } = statement;
  const body = statement.body.map((kernel) => planKernel(kernel, steps, planning));
  return [
    {
      planned: {
        loop: name,
        steps,
        reverse,
        why: whole,
        body: body.flatMap(({ dispatches }) => dispatches.map(single)),
      },
      spans: body.flatMap(({ spans }) => spans),
    },
  ];
}

/** A kernel's dispatches, with what they read and write in so many steps. */
function planKernel(
  kernel: Kernel,
  steps: number,
  planning: Planning,
): { readonly dispatches: readonly PlannedKernel[]; readonly spans: readonly Span[] } {
  const between: View[] = [];
  const scratch = (rows: number, columns: number): View => {
    const view = planning.scratch(rows, columns);
    between.push(view);
    return view;
  };
  const dispatches = dispatchesOf(kernel, { ...planning, scratch });
  return {
    dispatches: dispatches.map((dispatch) => ({ label: kernel.label, ...dispatch })),
    spans: [...spansOf(kernel, steps, planning), ...between.map((view) => spanOf(view, 1, true, planning.locate))],
  };
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
