/**
 * The statements that compute a graph's tensors.
 *
 * Every computed tensor has a home, the view it is written to. Where a tensor is wanted in a particular place (a part of a
 * concatenation, the t-th part of a kept sequence, the next state's slot, a variable), that place is its home, so that
 * nothing is copied.
 */
import { concatStart } from "../../graph/ops/matrix.js";
import { varyingTensors } from "../../graph/partition.js";
import { columnsOf, rowsOf, sizeOf } from "../../graph/shape.js";
import type { LoopBody, Tensor } from "../../graph/tensor.js";
import type { Variable } from "../../graph/variable.js";
import type { Kernel, Statement, View } from "../program.js";
import { reachable } from "../rewriting/simplify.js";
import { asRowsOf, matrix, overTime, sameView } from "../views.js";
import { copyChain, fusedChain, moveChain } from "./chains.js";
import { kernelsOf } from "./kernels.js";
import { orderOf, readBeforeWritten } from "./order.js";
import { type Group, isAlias, isChained, isLeaf, schedule, tensorsOf } from "./schedule.js";
import type { Storage } from "./storage.js";

/** A variable that takes on a tensor's value. */
export interface Assignment {
  readonly variable: Variable;
  readonly tensor: Tensor;
}

interface UsedOutput {
  readonly kind: "sequence" | "final";
  readonly index: number;
  readonly tensor: Tensor;
}

export class Lowering {
  /** Tensors that something outside their level reads. */
  private readonly wanted: Set<Tensor>;
  /** Next states: their denormal values are flushed where they are written. */
  private readonly flushed = new Set<Tensor>();
  /** Squares that are taken inside the sum that reads them. */
  private readonly squaredInSum = new Set<Tensor>();
  /** The results of each loop that the program uses. */
  private readonly usedOutputs = new Map<Tensor, UsedOutput[]>();

  constructor(
    readonly storage: Storage,
    tensors: readonly Tensor[],
    wanted: readonly Tensor[],
  ) {
    this.wanted = new Set(wanted.map(storage.representative));
    for (const tensor of tensors) {
      if (tensor.op !== "loopOutput") continue;
      const loop = tensor.inputs[0]!;
      this.usedOutputs.set(loop, [...(this.usedOutputs.get(loop) ?? []), { ...tensor.attributes.output!, tensor }]);
    }
  }

  /** Statements for a section of the program, ending with its assignments. Tensors `apart` from the others are not computed together with them. */
  section(
    tensors: readonly Tensor[],
    assignments: readonly Assignment[],
    apart: ReadonlySet<Tensor> = new Set(),
  ): Statement[] {
    const groups = this.groups(tensors, apart);
    const statements = this.level(tensors, groups, this.assignedHomes(assignments, tensors, groups));
    for (const { variable, tensor } of assignments) {
      const to = this.storage.partOf(variable, tensor.shape);
      const value = this.storage.representative(tensor);
      const label = `${variable.name}: copy`;
      if (isLeaf(value)) statements.push(copyChain(this.storage, value, to, label, true));
      else {
        const from = this.storage.view(value);
        if (!sameView(from, to)) statements.push(moveChain(asRowsOf(from, to), to, label, true));
      }
    }
    return statements;
  }

  private groups(tensors: readonly Tensor[], apart?: ReadonlySet<Tensor>): Group[] {
    return schedule(tensors, this.storage.representative, this.absorbed(tensors), apart);
  }

  /** Squares that only a sum over everything reads are squared there. */
  private absorbed(tensors: readonly Tensor[]): Set<Tensor> {
    const squares = tensors.filter((tensor) => this.isSquare(tensor) && !this.wanted.has(tensor));
    const users = new Map<Tensor, Tensor[]>(squares.map((square) => [square, []]));
    for (const tensor of tensors)
      for (const input of new Set(tensor.inputs.map(this.storage.representative))) users.get(input)?.push(tensor);
    return new Set(
      squares.filter((square) => {
        const [user, ...others] = users.get(square)!;
        return user?.op === "sumAll" && others.length === 0;
      }),
    );
  }

  private isSquare(tensor: Tensor): boolean {
    return (
      tensor.op === "mul" &&
      this.storage.representative(tensor.inputs[0]!) === this.storage.representative(tensor.inputs[1]!)
    );
  }

  /** Homes for assigned tensors: the variable itself, where no reader of its old value comes too late. */
  private assignedHomes(
    assignments: readonly Assignment[],
    tensors: readonly Tensor[],
    groups: readonly Group[],
  ): Map<Tensor, View> {
    const homes = new Map<Tensor, View>();
    const here = new Set(tensors);
    const order = orderOf(tensors, groups, this.storage);
    for (const { variable, tensor } of assignments) {
      const value = this.storage.representative(tensor);
      if (!here.has(value) || isAlias(value) || isLeaf(value) || homes.has(value)) continue;
      if (readBeforeWritten(variable, value, order)) {
        const home = this.storage.partOf(variable, value.shape);
        if (home.rows === rowsOf(value.shape)) homes.set(value, home);
      }
    }
    return homes;
  }

  /** Statements for the tensors of one level: a section, or a loop's body. */
  private level(tensors: readonly Tensor[], groups: readonly Group[], homes: ReadonlyMap<Tensor, View>): Statement[] {
    for (const [tensor, view] of homes) this.storage.settle(tensor, view);
    const here = new Set(tensors);
    const absorbed = this.absorbed(tensors);
    for (const square of absorbed) this.squaredInSum.add(square);
    // The parts of a concatenation live in it; outer ones first.
    for (const tensor of [...tensors].reverse()) {
      if (tensor.op !== "concat") continue;
      const whole = this.storage.view(tensor);
      tensor.inputs.forEach((input, i) => {
        const part = this.storage.representative(input);
        if (part.op === "allReduce") return; // writes contiguous memory
        if (!here.has(part) || isAlias(part) || isLeaf(part) || absorbed.has(part) || this.storage.isSettled(part))
          return;
        this.storage.settle(part, {
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
      const leaf = this.storage.representative(input);
      if (!isLeaf(leaf) || this.storage.isSettled(leaf) || !needed(leaf)) return;
      const view = this.storage.fresh(leaf);
      statements.push(copyChain(this.storage, leaf, view, leaf.label));
      this.storage.settle(leaf, view);
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
    const groupOf = new Map<Tensor, Group>();
    for (const group of groups) for (const tensor of tensorsOf(group)) groupOf.set(tensor, group);
    // A tensor must be stored when anything but its own chain reads it, or when a place waits for it.
    const read = new Set<Tensor>();
    const readElsewhere = new Set<Tensor>();
    for (const tensor of tensors) {
      const group = groupOf.get(tensor);
      for (const input of tensor.inputs) {
        const source = this.storage.representative(input);
        read.add(source);
        if (!group || groupOf.get(source) !== group) readElsewhere.add(source);
      }
    }
    return groups.flatMap((group) => {
      if (group.kind === "single")
        return group.tensor.op === "loop"
          ? this.loop(group.tensor, group.tensor.attributes.loop!)
          : kernelsOf(group.tensor, this.storage, this.squaredInSum);
      const mustStore = (tensor: Tensor): boolean =>
        this.wanted.has(tensor) || readElsewhere.has(tensor) || !read.has(tensor);
      const chain = fusedChain(this.storage, {
        rows: group.rows,
        columns: group.columns,
        own: new Set(group.tensors),
        stored: group.tensors.filter(mustStore),
        flushed: this.flushed,
      });
      return chain.stores.length > 0 ? [chain] : [];
    });
  }

  // ── loops

  private loop(node: Tensor, loop: LoopBody): Statement[] {
    const { steps, reverse, stepInputs, states } = loop;
    const input = (i: number): Tensor => this.storage.representative(node.inputs[i]!);
    const next = loop.next.map(this.storage.representative);
    const before: Statement[] = [];
    stepInputs.forEach((placeholder, i) => {
      const view = this.storage.operand(input(i), before);
      const rows = rowsOf(placeholder.shape);
      this.storage.settle(placeholder, { ...view, rows, step: rows * view.stride });
    });
    const used = this.usedOutputs.get(node) ?? [];
    const kept = [
      ...new Set(
        used
          .filter(({ kind }) => kind === "sequence")
          .map(({ index }) => this.storage.representative(loop.sequences[index]!)),
      ),
    ];
    const placeholders = new Set([...stepInputs, ...states]);
    const varying = new Set(varyingTensors(placeholders, [...next, ...kept]).map(this.storage.representative));
    const own = reachable([...next, ...kept], this.storage.representative, placeholders).filter(
      (tensor) => varying.has(tensor) && !placeholders.has(tensor),
    );
    for (const tensor of [...next, ...kept]) this.wanted.add(tensor);
    const groups = this.groups(own);
    const order = orderOf(own, groups, this.storage);

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
        kept.some((tensor) => this.storage.sourceOf(tensor) === state) ||
        next.some((tensor, k) => k !== i && this.storage.sourceOf(tensor) === state);
      const buffer = this.storage.buffer(`${loop.name}: ${state.name}`, history ? (steps + 1) * size : size);
      const slot = (number: number, step: number): View => ({
        ...matrix(buffer, state),
        offset: history ? number * size : 0,
        step: history ? step : 0,
      });
      const [previous, following] = reverse ? [slot(1, size), slot(0, size)] : [slot(0, size), slot(1, size)];
      this.storage.settle(state, previous);
      before.push(
        copyChain(
          this.storage,
          input(stepInputs.length + i),
          slot(reverse ? steps : 0, 0),
          `${loop.name}: initial ${state.name}`,
          true,
        ),
      );
      settle(next[i]!, following, history || readBeforeWritten(state, next[i]!, order));
      if (varying.has(next[i]!)) this.flushed.add(next[i]!);
      sequences.set(state, previous);
      if (history) sequences.set(next[i]!, following);
      return slot(reverse ? 0 : steps, 0);
    });
    for (const tensor of kept) {
      if (sequences.has(tensor)) continue;
      const size = sizeOf(tensor.shape);
      const view = {
        ...matrix(this.storage.buffer(`${tensor.label} over time`, steps * size, tensor.type), tensor),
        step: size,
      };
      settle(tensor, view, true);
      sequences.set(tensor, view);
    }

    const body = this.level(own, groups, homes) as Kernel[];
    for (const { from, to } of copies)
      if (isLeaf(from) || !sameView(this.storage.view(from), to))
        body.push(copyChain(this.storage, from, to, `${loop.name}: copy`, true));
    for (const { kind, index, tensor } of used) {
      this.storage.settle(
        tensor,
        kind === "final"
          ? finals[index]!
          : overTime(sequences.get(this.storage.representative(loop.sequences[index]!))!, steps),
      );
    }
    return [...before, { kind: "loop", name: loop.name, steps, reverse, body, label: loop.name }];
  }
}

const sameMatrix = (a: Tensor, b: Tensor): boolean =>
  rowsOf(a.shape) === rowsOf(b.shape) && columnsOf(a.shape) === columnsOf(b.shape);
