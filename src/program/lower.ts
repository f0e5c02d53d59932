/** Graph to program: the graph rewritten, its tensors computed in views of buffers, the statements made fewer, the memory planned. */
import { UserError } from "../errors.js";
import { copyOf, type Tensor } from "../graph/tensor.js";
import { chainsFor, type ForEach, onTensors } from "./lowering/for-each.js";
import { type Assignment, createLowering } from "./lowering/lowering.js";
import { isPartOfInput } from "./lowering/schedule.js";
import { createStorage } from "./lowering/storage.js";
import { fewerKernels } from "./passes/fewer-kernels.js";
import { inPlace } from "./passes/in-place.js";
import { intoLoops } from "./passes/into-loops.js";
import { type Apart, planMemory, readGuard } from "./passes/plan.js";
import { type Buffer, type Kernel, type Program, reads, type Statement, type View } from "./program.js";
import { fewerPasses } from "./rewriting/fewer-passes.js";
import { mergeEqual, needed } from "./rewriting/simplify.js";

export type { ForEach } from "./lowering/for-each.js";
export type { Assignment } from "./lowering/lowering.js";

/** What a program is to compute. */
export interface ProgramOptions {
  readonly name: string;
  /** Written whenever the program runs: losses, norms, outputs. */
  readonly results: readonly Assignment[];
  /** Written only when all guards are finite: weights, moments, carried state. All read the old values of the variables. */
  readonly commit?: readonly Assignment[];
  /** After `commit`, and only where that happens. */
  readonly forEach?: ForEach | undefined;
  /** Scalars that must be finite for `commit` to happen. */
  readonly guards?: readonly Tensor[];
  /** What gradients are taken of: what it is computed from may be stored in fewer bits, where a backend asks for that. */
  readonly loss?: Tensor;
  /** Share no memory, so that every value can be looked at after a run. */
  readonly keep?: boolean;
}

/** All that a computation is to compute. */
export const rootsOf = ({ results, commit = [], forEach, guards = [] }: Omit<ProgramOptions, "name">): Tensor[] => [
  ...[...results, ...commit].map(({ tensor }) => tensor),
  ...(forEach?.members.flatMap(({ inputs }) => inputs) ?? []),
  ...guards,
];

export interface LowerOptions {
  /** Leaves small passes over all time steps as they are, where a processor better does them in a loop, in a cache. Default false. */
  readonly whole?: boolean;
  /** As in `planMemory`. A parameter, so that who does not want it need not load it (`throughput.ts`). */
  readonly apart?: Apart;
  /**
   * Puts buffers onto one another and plans them, with some of what the loss is computed from in 16 bits (`half-activations.ts`);
   * for programs that say what their loss is, without `keep`. A parameter, so that who does not want it need not load it.
   */
  readonly inHalves?: (buffers: readonly Buffer[], statements: readonly Statement[], loss: View) => Placed;
}

/** Statements whose buffers have their places. */
export type Placed = Pick<Program, "buffers" | "plan"> & { readonly statements: readonly Statement[] };

/** Makes the program that computes `results`, then carries out `commit`. */
export function lower(options: ProgramOptions, how: LowerOptions = {}): Program {
  return assembled(readied(options), undefined, how);
}

/** Assignments made independent of one another, and the graph rewritten for fewer passes (but where every value is to be looked at). */
export function readied({
  results,
  commit = [],
  forEach,
  guards = [],
  loss,
  ...options
}: ProgramOptions): ProgramOptions & Pick<Required<ProgramOptions>, "commit" | "guards"> {
  const copied = commit.map(({ variable, tensor }) => ({ variable, tensor: ownCopy(tensor) }));
  const roots = rootsOf({ results, commit: copied, forEach, guards });
  const better = options.keep ? (tensor: Tensor) => tensor : fewerPasses(roots);
  const assigned = ({ variable, tensor }: Assignment): Assignment => ({ variable, tensor: better(tensor) });
  return {
    ...options,
    ...(loss ? { loss: better(loss) } : {}),
    results: results.map(assigned),
    commit: copied.map(assigned),
    forEach: forEach && onTensors(forEach, better),
    guards: guards.map(better),
  };
}

/** What `lower-shard.ts` knows of workers that share a batch. */
export interface Sharing {
  /** The tensors that are the same for all workers. */
  readonly whole: ReadonlySet<Tensor>;
  reduceTogether(statements: readonly Statement[], buffers: readonly Buffer[]): Statement[];
  sharedOut(statements: readonly Statement[], buffers: readonly Buffer[]): Statement[];
}

export function assembled(
  { name, results, commit: assignments = [], forEach, guards = [], loss, keep = false }: ProgramOptions,
  sharing?: Sharing,
  { whole = false, apart, inHalves }: LowerOptions = {},
): Program {
  const wanted = rootsOf({ results, commit: assignments, forEach });
  const representative = mergeEqual([...wanted, ...guards]);
  const everything = needed([...wanted, ...guards], representative);
  const stray = everything.find(({ op }) => op === "state" || op === "stepInput");
  if (stray) throw new UserError(`"${stray.name}" is used outside of its loop: make it an output`);
  const early = needed([...results.map(({ tensor }) => tensor), ...guards], representative);
  const ofCompute = new Set(early);
  const late = everything.filter((tensor) => !ofCompute.has(tensor));
  const storage = createStorage(representative);
  const lowering = createLowering(storage, everything, [
    ...wanted,
    ...guards,
    ...late.flatMap((tensor) => tensor.inputs.filter((input) => ofCompute.has(representative(input)))),
  ]);
  const reduced = new Set(
    everything.filter(({ op }) => op === "allReduce").map((tensor) => storage.sourceOf(tensor.inputs[0]!)),
  );
  storage.kindOf = (tensor) => (tensor.op === "allReduce" ? "common" : reduced.has(tensor) ? "partial" : "temporary");
  const computed = lowering.section(early, results);
  const first = sharing ? sharing.reduceTogether(computed, storage.buffers) : computed;
  const inLoops =
    keep || whole ? first : intoLoops(storage.buffers, first, (label, size) => storage.buffer(label, size));
  if (sharing) storage.kindOf = (tensor) => (sharing.whole.has(tensor) ? "common" : "temporary");
  const updates = lowering.section(late, assignments, sharing?.whole);
  if (forEach) updates.push(...chainsFor(forEach, storage));
  const finish = sharing
    ? sharing.sharedOut(sharing.reduceTogether(updates, storage.buffers), storage.buffers)
    : updates;
  const checks = guards.map((guard) => readGuard(storage.view(representative(guard))));
  const compute = keep ? inLoops : fewerKernels(storage.buffers, inLoops, [...checks, ...finish]);
  const all = [...compute, ...checks, ...finish];
  const placed = (): Placed => {
    const { buffers } = storage;
    if (inHalves && loss && !keep) return inHalves(buffers, all, storage.view(representative(loss)));
    const statements = keep ? all : inPlace(buffers, all);
    return { buffers, statements, plan: planMemory(buffers, statements, keep, apart) };
  };
  const { buffers, statements, plan } = placed();
  const part = (from: number, to?: number): Statement[] => statements.slice(from, to);
  return {
    name,
    buffers,
    compute: part(0, compute.length),
    guards: part(compute.length, compute.length + checks.length).map((check) => reads(check as Kernel)[0]!),
    commit: part(compute.length + checks.length),
    ...(keep ? { keep } : {}),
    plan,
  };
}

/** A variable's value that goes to another variable is copied first: all assignments read the old values. */
function ownCopy(tensor: Tensor): Tensor {
  const source = (alias: Tensor): Tensor => (isPartOfInput(alias) ? source(alias.inputs[0]!) : alias);
  return source(tensor).op === "variable" ? copyOf(tensor) : tensor;
}
