/**
 * Graph to program: tensors become views of buffers and kernels that fill them.
 *
 * Every computed tensor has a home, the view it is written to. Where a tensor is wanted in a particular place (a part of a
 * concatenation, the t-th part of a kept sequence, the next state's slot, a variable), that place is its home, so that
 * nothing is copied.
 */
import { concatStart } from "../graph/ops/matrix.js";
import { varyingTensors } from "../graph/partition.js";
import { isPointwise } from "../graph/pointwise.js";
import { columnsOf, rowsOf, sizeOf } from "../graph/shape.js";
import { type LoopBody, Tensor } from "../graph/tensor.js";
import type { ElementType, Variable } from "../graph/variable.js";
import { planMemory } from "./plan.js";
import type { Buffer, Chain, Instruction, Kernel, Program, Statement, View } from "./program.js";
import { type Group, isAlias, isChained, isLeaf, isPartOfInput, type Representative, schedule } from "./schedule.js";
import { mergeEqual, reachable } from "./simplify.js";
import { matrix, overTime, reshaped, sameView, viewKey } from "./views.js";

/** A variable that takes on a tensor's value. */
export interface Assignment {
  readonly variable: Variable;
  readonly tensor: Tensor;
}

export interface ProgramOptions {
  readonly name: string;
  /** Written whenever the program runs: losses, norms, outputs. */
  readonly results: readonly Assignment[];
  /** Written only when all guards are finite: weights, moments, carried state. All read the old values of the variables. */
  readonly commit?: readonly Assignment[];
  /** Scalars that must be finite for `commit` to happen. */
  readonly guards?: readonly Tensor[];
  /** Share no memory, so that every value can be looked at after a run. */
  readonly keep?: boolean;
}

/** Makes the program that computes `results`, then carries out `commit`. */
export function lower({ name, results, commit = [], guards = [], keep = false }: ProgramOptions): Program {
  const assignments = commit.map(({ variable, tensor }) => ({ variable, tensor: ownCopy(tensor) }));
  const wanted = [...results, ...assignments].map(({ tensor }) => tensor);
  const representative = mergeEqual([...wanted, ...guards]);
  const everything = reachable([...wanted, ...guards], representative);
  const early = reachable([...results.map(({ tensor }) => tensor), ...guards], representative);
  const late = everything.filter((tensor) => !early.includes(tensor));
  const lowering = new Lowering(representative, everything, [
    ...wanted,
    ...guards,
    ...late.flatMap((tensor) => tensor.inputs),
  ]);
  const compute = lowering.section(early, results);
  const finish = lowering.section(late, assignments);
  const guardViews = guards.map((guard) => lowering.view(representative(guard)));
  const plan = planMemory(lowering.buffers, [...compute, ...guardViews.map(readGuard), ...finish], keep);
  return { name, buffers: lowering.buffers, compute, guards: guardViews, commit: finish, plan };
}

/** A variable's value that goes to another variable is copied first: all assignments read the old values. */
function ownCopy(tensor: Tensor): Tensor {
  const source = (alias: Tensor): Tensor => (isPartOfInput(alias) ? source(alias.inputs[0]!) : alias);
  return source(tensor).op === "variable"
    ? new Tensor("expand", [tensor], tensor.shape, { shape: tensor.shape })
    : tensor;
}

/** Guards are read between compute and commit; the plan must know. */
const readGuard = (guard: View): Statement => ({
  kind: "reduce",
  op: "sum",
  axis: "all",
  square: false,
  input: guard,
  out: guard,
  label: "guard",
});

interface UsedOutput {
  readonly kind: "sequence" | "final";
  readonly index: number;
  readonly tensor: Tensor;
}

class Lowering {
  readonly buffers: Buffer[] = [];
  private readonly variables = new Map<Variable, View>();
  /** Where each computed tensor lies. */
  private readonly home = new Map<Tensor, View>();
  /** Tensors that something outside their level reads. */
  private readonly wanted: Set<Tensor>;
  /** Next states: their denormal values are flushed where they are written. */
  private readonly flushed = new Set<Tensor>();
  /** Squares that are taken inside the sum that reads them. */
  private readonly squaredInSum = new Set<Tensor>();
  /** The results of each loop that the program uses. */
  private readonly usedOutputs = new Map<Tensor, UsedOutput[]>();

  constructor(
    private readonly representative: Representative,
    tensors: readonly Tensor[],
    wanted: readonly Tensor[],
  ) {
    this.wanted = new Set(wanted.map(representative));
    for (const tensor of tensors) {
      if (tensor.op !== "loopOutput") continue;
      const loop = tensor.inputs[0]!;
      this.usedOutputs.set(loop, [...(this.usedOutputs.get(loop) ?? []), { ...tensor.attributes.output!, tensor }]);
    }
  }

  private buffer(name: string, size: number, type: ElementType = "float", variable?: Variable): number {
    const id = this.buffers.length;
    this.buffers.push(
      variable ? { id, size, type, name, kind: "variable", variable } : { id, size, type, name, kind: "temporary" },
    );
    return id;
  }

  private fresh(tensor: Tensor): View {
    return matrix(this.buffer(tensor.label, sizeOf(tensor.shape), tensor.type), tensor);
  }

  variableView(variable: Variable): View {
    const known = this.variables.get(variable);
    if (known) return known;
    const view = matrix(this.buffer(variable.name, sizeOf(variable.shape), variable.type, variable), variable);
    this.variables.set(variable, view);
    return view;
  }

  /** Where a tensor's value lies. */
  view(tensor: Tensor): View {
    const known = this.home.get(tensor);
    if (known) return known;
    const source = (): View => this.view(this.representative(tensor.inputs[0]!));
    const { start = 0, size = 0, variable } = tensor.attributes;
    switch (tensor.op) {
      case "variable":
        return this.variableView(variable!);
      case "slice":
        return { ...source(), offset: source().offset + start, columns: size };
      case "sliceRows": {
        const from = source();
        const perStep = rowsOf(tensor.shape) / tensor.shape[0]!;
        return { ...from, offset: from.offset + start * perStep * from.stride, rows: size * perStep };
      }
      case "stopGradient":
        return source();
      case "reshape": {
        const from = source();
        const [rows, columns] = [rowsOf(tensor.shape), columnsOf(tensor.shape)];
        if (columns === from.columns) return from;
        if (from.stride !== from.columns && from.rows !== 1)
          throw new Error(`${tensor.label}: a strided view cannot be reshaped`);
        return { ...from, rows, columns, stride: columns };
      }
      default: {
        const view = this.fresh(tensor);
        this.home.set(tensor, view);
        return view;
      }
    }
  }

  /** Statements for a section of the program, ending with its assignments. */
  section(tensors: readonly Tensor[], assignments: readonly Assignment[]): Statement[] {
    const groups = this.groups(tensors);
    const statements = this.level(tensors, groups, this.assignedHomes(assignments, tensors, groups));
    for (const { variable, tensor } of assignments) {
      const to = reshaped(this.variableView(variable), tensor);
      const value = this.representative(tensor);
      if (isLeaf(value) || !sameView(this.view(value), to))
        statements.push(this.copy(value, to, `${variable.name}: copy`, true));
    }
    return statements;
  }

  private groups(tensors: readonly Tensor[]): Group[] {
    return schedule(tensors, this.representative, this.absorbed(tensors));
  }

  /** Squares that only a sum over everything reads are squared there. */
  private absorbed(tensors: readonly Tensor[]): Set<Tensor> {
    const users = new Map<Tensor, Tensor[]>();
    for (const tensor of tensors) {
      for (const input of new Set(tensor.inputs.map(this.representative)))
        users.set(input, [...(users.get(input) ?? []), tensor]);
    }
    return new Set(
      tensors.filter(
        (tensor) =>
          this.isSquare(tensor) &&
          !this.wanted.has(tensor) &&
          users.get(tensor)?.length === 1 &&
          users.get(tensor)![0]!.op === "sumAll",
      ),
    );
  }

  private isSquare(tensor: Tensor): boolean {
    return tensor.op === "mul" && this.representative(tensor.inputs[0]!) === this.representative(tensor.inputs[1]!);
  }

  /** Homes for assigned tensors: the variable itself, where no reader of its old value comes too late. */
  private assignedHomes(
    assignments: readonly Assignment[],
    tensors: readonly Tensor[],
    groups: readonly Group[],
  ): Map<Tensor, View> {
    const homes = new Map<Tensor, View>();
    const here = new Set(tensors);
    for (const { variable, tensor } of assignments) {
      const value = this.representative(tensor);
      if (!here.has(value) || isAlias(value) || isLeaf(value) || homes.has(value)) continue;
      const isOld = (source: Tensor): boolean => source.op === "variable" && source.attributes.variable === variable;
      if (this.readBeforeWritten(isOld, value, tensors, groups))
        homes.set(value, reshaped(this.variableView(variable), value));
    }
    return homes;
  }

  /** Whether all readers of the old value come before `value` is written, or read each element in the chain that writes it. */
  private readBeforeWritten(
    isOld: (source: Tensor) => boolean,
    value: Tensor,
    tensors: readonly Tensor[],
    groups: readonly Group[],
  ): boolean {
    const groupOf = (tensor: Tensor): number =>
      groups.findIndex((group) => (group.kind === "chain" ? group.tensors.includes(tensor) : group.tensor === tensor));
    const written = groupOf(value);
    return tensors.every((reader) => {
      const olds = reader.inputs.map(this.representative).filter((input) => isOld(this.sourceOf(input)));
      if (olds.length === 0 || isAlias(reader)) return true;
      const at = groupOf(reader);
      return (
        at >= 0 &&
        (at < written ||
          (at === written &&
            groups[at]!.kind === "chain" &&
            olds.every((old) => isOld(old) && sizeOf(old.shape) === sizeOf(value.shape))))
      );
    });
  }

  private sourceOf(tensor: Tensor): Tensor {
    const source = this.representative(tensor);
    return isPartOfInput(source) ? this.sourceOf(source.inputs[0]!) : source;
  }

  /** Statements for the tensors of one level: a section, or a loop's body. */
  private level(tensors: readonly Tensor[], groups: readonly Group[], homes: ReadonlyMap<Tensor, View>): Statement[] {
    for (const [tensor, view] of homes) this.home.set(tensor, view);
    const here = new Set(tensors);
    const absorbed = this.absorbed(tensors);
    for (const square of absorbed) this.squaredInSum.add(square);
    // The parts of a concatenation live in it; outer ones first.
    for (const tensor of [...tensors].reverse()) {
      if (tensor.op !== "concat") continue;
      const whole = this.view(tensor);
      tensor.inputs.forEach((input, i) => {
        const part = this.representative(input);
        if (!here.has(part) || isAlias(part) || isLeaf(part) || absorbed.has(part) || this.home.has(part)) return;
        this.home.set(part, {
          ...whole,
          offset: whole.offset + concatStart(tensor.inputs, i),
          columns: columnsOf(part.shape),
        });
      });
    }
    return [...this.storedLeaves(tensors), ...this.emit(groups, tensors)];
  }

  /**
   * Leaves that must lie in memory: those that a slice or reshape names, and random numbers that repeat (along rows, columns or
   * time), since a chain would draw others for each element.
   */
  private storedLeaves(tensors: readonly Tensor[]): Statement[] {
    const statements: Statement[] = [];
    const store = (input: Tensor, needed: (leaf: Tensor) => boolean): void => {
      const leaf = this.representative(input);
      if (!isLeaf(leaf) || this.home.has(leaf) || !needed(leaf)) return;
      const view = this.fresh(leaf);
      statements.push(this.copy(leaf, view, leaf.label));
      this.home.set(leaf, view);
    };
    for (const tensor of tensors) {
      if (tensor.op === "loop") {
        for (const captured of tensor.attributes.loop!.captured) store(captured, (leaf) => leaf.op === "random");
        continue;
      }
      for (const input of tensor.inputs)
        store(input, (leaf) =>
          isAlias(tensor) ? true : leaf.op === "random" && isChained(tensor) && !sameMatrix(leaf, tensor),
        );
    }
    return statements;
  }

  private emit(groups: readonly Group[], tensors: readonly Tensor[]): Statement[] {
    const used = new Map<Tensor, Set<Group>>();
    const groupOf = new Map<Tensor, Group>();
    for (const group of groups)
      for (const tensor of group.kind === "chain" ? group.tensors : [group.tensor]) groupOf.set(tensor, group);
    // A tensor must be stored when anything but its own chain reads it, or when a place waits for it.
    for (const tensor of tensors) {
      const group = groupOf.get(tensor);
      for (const input of tensor.inputs) {
        const source = this.representative(input);
        used.set(source, (used.get(source) ?? new Set()).add(group ?? { kind: "single", tensor }));
      }
    }
    return groups.flatMap((group) => {
      if (group.kind === "single") return this.single(group.tensor);
      const mustStore = (tensor: Tensor): boolean =>
        this.wanted.has(tensor) || ![...(used.get(tensor) ?? [])].every((user) => user === group) || !used.has(tensor);
      const chain = this.chain(group.rows, group.columns, group.tensors.filter(mustStore), new Set(group.tensors));
      return chain.stores.length > 0 ? [chain] : [];
    });
  }

  /** A fused chain that stores `stored`; tensors of `own` are computed in it, all others are loaded. */
  private chain(rows: number, columns: number, stored: readonly Tensor[], own: ReadonlySet<Tensor>): Kernel & Chain {
    const loads: View[] = [];
    const loadOf = new Map<string, number>();
    const pending: ((loadCount: number) => Instruction)[] = [];
    const positions = new Map<Tensor, { readonly load?: number; readonly code?: number }>();
    const load = (view: View): number => {
      const key = viewKey(view);
      const index = loadOf.get(key) ?? loads.push(view) - 1;
      loadOf.set(key, index);
      return index;
    };
    const place = (input: Tensor): { readonly load?: number; readonly code?: number } => {
      const tensor = this.representative(input);
      const known = positions.get(tensor);
      if (known) return known;
      let position: { readonly load?: number; readonly code?: number };
      if (own.has(tensor) && tensor.op === "expand") position = place(tensor.inputs[0]!);
      else if (own.has(tensor) || (isLeaf(tensor) && !this.home.has(tensor))) {
        const args = (tensor.op === "random" ? tensor.inputs.slice(0, 1) : tensor.inputs).map(place);
        position = {
          code:
            pending.push((loadCount) =>
              instruction(
                tensor,
                args.map((arg) => arg.load ?? loadCount + arg.code!),
              ),
            ) - 1,
        };
      } else position = { load: load(this.view(tensor)) };
      positions.set(tensor, position);
      return position;
    };
    const results = stored.map((tensor) => ({ position: place(tensor), tensor }));
    const code = pending.map((make) => make(loads.length));
    const names = stored.map((tensor) => tensor.name ?? tensor.op);
    return {
      kind: "chain",
      rows,
      columns,
      loads,
      code,
      stores: results.map(({ position, tensor }) => ({
        value: position.load ?? loads.length + position.code!,
        to: this.view(tensor),
        flush: this.flushed.has(tensor) || this.isVariableHome(tensor),
      })),
      label: [stored[0]?.scope, names.join(" ")].filter(Boolean).join(": "),
    };
  }

  private isVariableHome(tensor: Tensor): boolean {
    return this.buffers[this.view(tensor).buffer]!.kind === "variable";
  }

  private copy(tensor: Tensor, to: View, label: string, flush = false): Kernel & Chain {
    if (tensor.op === "constant")
      return {
        kind: "chain",
        rows: to.rows,
        columns: to.columns,
        loads: [],
        code: [{ op: "constant", value: tensor.attributes.value! }],
        stores: [{ value: 0, to, flush }],
        label,
      };
    if (tensor.op === "random") {
      const seed = this.view(this.representative(tensor.inputs[0]!));
      return {
        kind: "chain",
        rows: to.rows,
        columns: to.columns,
        loads: [seed],
        code: [{ op: "random", key: tensor.attributes.key!, seed: 0 }],
        stores: [{ value: 1, to, flush }],
        label,
      };
    }
    return {
      kind: "chain",
      rows: to.rows,
      columns: to.columns,
      loads: [this.view(tensor)],
      code: [],
      stores: [{ value: 0, to, flush }],
      label,
    };
  }

  /** The view of an operand of a costly op; constants are written out. */
  private operand(tensor: Tensor, before: Statement[]): View {
    const value = this.representative(tensor);
    if (!isLeaf(value) || this.home.has(value)) return this.view(value);
    const view = this.fresh(value);
    before.push(this.copy(value, view, value.label));
    return view;
  }

  private single(tensor: Tensor): Statement[] {
    if (tensor.op === "loop") return this.loop(tensor, tensor.attributes.loop!);
    const before: Statement[] = [];
    const { label, attributes } = tensor;
    const out = this.view(tensor);
    const input = (i: number): View => this.operand(tensor.inputs[i]!, before);
    const kernel = (): Kernel[] => {
      switch (tensor.op) {
        case "matmul":
          return [
            {
              kind: "product",
              a: input(0),
              transposeA: attributes.transposeA!,
              b: input(1),
              transposeB: attributes.transposeB!,
              out,
              accumulate: false,
              label,
            },
          ];
        case "transpose":
          return [{ kind: "transpose", input: input(0), out, label }];
        case "sumRows":
        case "sumColumns":
        case "sumAll":
        case "maxColumns": {
          const axis = tensor.op === "sumRows" ? "rows" : tensor.op === "sumAll" ? "all" : "columns";
          const source = this.representative(tensor.inputs[0]!);
          const squared = this.squaredInSum.has(source);
          const view = squared ? this.operand(source.inputs[0]!, before) : input(0);
          return [
            {
              kind: "reduce",
              op: tensor.op === "maxColumns" ? "max" : "sum",
              axis,
              square: squared,
              input: view,
              out,
              label,
            },
          ];
        }
        case "softmax":
        case "logSoftmax":
          return [{ kind: "softmax", log: tensor.op === "logSoftmax", input: input(0), out, label }];
        case "crossEntropy":
          return [
            {
              kind: "crossEntropy",
              logits: input(0),
              target: input(1),
              ...(tensor.inputs.length > 2 ? { weights: input(2) } : {}),
              smoothing: attributes.smoothing!,
              out,
              label,
            },
          ];
        case "crossEntropyGradient":
          return [
            {
              kind: "crossEntropy",
              logits: input(0),
              target: input(1),
              scale: input(2),
              ...(tensor.inputs.length > 3 ? { weights: input(3) } : {}),
              smoothing: attributes.smoothing!,
              out,
              label,
            },
          ];
        case "gather":
          return [{ kind: "gather", table: input(0), index: input(1), out, label }];
        case "scatter":
          return [{ kind: "scatter", input: input(0), index: input(1), out, label }];
        case "padRows": {
          const from = input(0);
          const perStep = rowsOf(tensor.shape) / tensor.shape[0]!;
          const to = { ...out, offset: out.offset + attributes.start! * perStep * out.stride, rows: from.rows };
          return [
            { kind: "fill", value: 0, out, label },
            {
              kind: "chain",
              rows: to.rows,
              columns: to.columns,
              loads: [from],
              code: [],
              stores: [{ value: 0, to, flush: false }],
              label,
            },
          ];
        }
        case "concat":
          return tensor.inputs.flatMap((part, i) => {
            const value = this.representative(part);
            const to = { ...out, offset: out.offset + concatStart(tensor.inputs, i), columns: columnsOf(part.shape) };
            return !isLeaf(value) && sameView(this.view(value), to) ? [] : [this.copy(value, to, label)];
          });
        default:
          throw new Error(`${label}: no kernel for ${tensor.op}`);
      }
    };
    const kernels = kernel();
    return [...before, ...kernels];
  }

  // ── loops

  private loop(node: Tensor, loop: LoopBody): Statement[] {
    const { steps, reverse, stepInputs, states } = loop;
    const input = (i: number): Tensor => this.representative(node.inputs[i]!);
    const next = loop.next.map(this.representative);
    const before: Statement[] = [];
    stepInputs.forEach((placeholder, i) => {
      const view = this.operand(input(i), before);
      const rows = rowsOf(placeholder.shape);
      this.home.set(placeholder, { ...view, rows, step: rows * view.stride });
    });
    const used = this.usedOutputs.get(node) ?? [];
    const kept = [
      ...new Set(
        used.filter(({ kind }) => kind === "sequence").map(({ index }) => this.representative(loop.sequences[index]!)),
      ),
    ];
    const placeholders = new Set([...stepInputs, ...states]);
    const varying = new Set(varyingTensors(placeholders, [...next, ...kept]).map(this.representative));
    const own = reachable([...next, ...kept], this.representative, placeholders).filter(
      (tensor) => varying.has(tensor) && !placeholders.has(tensor),
    );
    for (const tensor of [...next, ...kept]) this.wanted.add(tensor);
    const groups = this.groups(own);

    const homes = new Map<Tensor, View>();
    const copies: { readonly from: Tensor; readonly to: View }[] = [];
    /** Lets `tensor` be computed in `to`, or be copied there at the end of the step. */
    const settle = (tensor: Tensor, to: View, safe: boolean): void => {
      if (
        safe &&
        varying.has(tensor) &&
        !placeholders.has(tensor) &&
        !isAlias(tensor) &&
        !isLeaf(tensor) &&
        !homes.has(tensor)
      )
        homes.set(tensor, to);
      else copies.push({ from: tensor, to });
    };

    // A state has one slot, or one for each step where its values over time are wanted.
    const sequences = new Map<Tensor, View>();
    const finals = states.map((state, i) => {
      const size = sizeOf(state.shape);
      const history =
        kept.includes(next[i]!) ||
        kept.some((tensor) => this.sourceOf(tensor) === state) ||
        next.some((tensor, k) => k !== i && this.sourceOf(tensor) === state);
      const buffer = this.buffer(`${loop.name}: ${state.name}`, history ? (steps + 1) * size : size);
      const slot = (number: number, step: number): View => ({
        ...matrix(buffer, state),
        offset: history ? number * size : 0,
        step: history ? step : 0,
      });
      const [previous, following] = reverse ? [slot(1, size), slot(0, size)] : [slot(0, size), slot(1, size)];
      this.home.set(state, previous);
      before.push(
        this.copy(
          input(stepInputs.length + i),
          slot(reverse ? steps : 0, 0),
          `${loop.name}: initial ${state.name}`,
          true,
        ),
      );
      settle(
        next[i]!,
        following,
        history || this.readBeforeWritten((source) => source === state, next[i]!, own, groups),
      );
      if (varying.has(next[i]!)) this.flushed.add(next[i]!);
      sequences.set(state, previous);
      if (history) sequences.set(next[i]!, following);
      return slot(reverse ? 0 : steps, 0);
    });
    for (const tensor of kept) {
      if (sequences.has(tensor)) continue;
      const size = sizeOf(tensor.shape);
      const view = {
        ...matrix(this.buffer(`${tensor.label} over time`, steps * size, tensor.type), tensor),
        step: size,
      };
      settle(tensor, view, true);
      sequences.set(tensor, view);
    }

    const body = this.level(own, groups, homes) as Kernel[];
    for (const { from, to } of copies)
      if (isLeaf(from) || !sameView(this.view(from), to)) body.push(this.copy(from, to, `${loop.name}: copy`, true));
    for (const { kind, index, tensor } of used) {
      this.home.set(
        tensor,
        kind === "final"
          ? finals[index]!
          : overTime(sequences.get(this.representative(loop.sequences[index]!))!, steps),
      );
    }
    return [...before, { kind: "loop", name: loop.name, steps, reverse, body, label: loop.name }];
  }
}

const sameMatrix = (a: Tensor, b: Tensor): boolean =>
  rowsOf(a.shape) === rowsOf(b.shape) && columnsOf(a.shape) === columnsOf(b.shape);

/** A chain's instruction for a pointwise tensor, on numbered arguments. */
function instruction(tensor: Tensor, args: readonly number[]): Instruction {
  if (tensor.op === "constant") return { op: "constant", value: tensor.attributes.value! };
  if (tensor.op === "random") return { op: "random", key: tensor.attributes.key!, seed: args[0]! };
  if (isPointwise(tensor.op)) return { op: tensor.op, args };
  throw new Error(`${tensor.label}: ${tensor.op} is not pointwise`);
}
