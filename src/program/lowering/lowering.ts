/**
 * The statements that compute a graph's tensors.
 *
 * Every computed tensor has a home, the view it is written to. Where a tensor is wanted in a particular place (a part of a
 * concatenation, the t-th part of a kept sequence, the next state's slot, a variable), that place is its home, so that
 * nothing is copied.
 */
import { kept, listed } from "../../graph/maps.js";
import { concatStart } from "../../graph/ops/matrix.js";
import { varyingTensors } from "../../graph/partition.js";
import { columnsOf, rowsOf, sizeOf } from "../../graph/shape.js";
import type { LoopBody, LoopOutput, Tensor } from "../../graph/tensor.js";
import type { Variable } from "../../graph/variable.js";
import type { Kernel, Statement, View } from "../program.js";
import { needed } from "../rewriting/simplify.js";
import { matrix, overTime, reshaped, sameView } from "../views.js";
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

export interface Lowering {
  /**
   * Statements for a section of the program, ending with its assignments. Tensors `apart` from the others are not computed
   * together with them.
   */
  section(tensors: readonly Tensor[], assignments: readonly Assignment[], apart?: ReadonlySet<Tensor>): Statement[];
}

/** `outside`: tensors that something outside their level reads. */
export function createLowering(storage: Storage, all: readonly Tensor[], outside: readonly Tensor[]): Lowering {
  const { representative, settle, isSettled, sourceOf, partOf, fresh, view: viewOf } = storage;
  const wanted = new Set(outside.map(representative));
  /** Next states: their denormal values are flushed where they are written. */
  const flushed = new Set<Tensor>();
  /** Squares that are taken inside the sum that reads them. */
  const squaredInSum = new Set<Tensor>();
  /** The results of each loop that the program uses. */
  const usedOutputs = new Map<Tensor, (LoopOutput & { readonly tensor: Tensor })[]>();
  for (const tensor of all)
    if (tensor.op === "loopOutput") listed(usedOutputs, tensor.inputs[0]!, { ...tensor.attributes.output!, tensor });

  const isStored = (tensor: Tensor): boolean => !isAlias(tensor) && !isLeaf(tensor);

  /** A statement that copies a tensor where it is not yet. */
  const copied = (value: Tensor, to: View, label: string): Statement[] => {
    if (isLeaf(value)) return [copyChain(storage, value, to, label, true)];
    const from = viewOf(value);
    return sameView(from, to) ? [] : [moveChain(reshaped(from, to), to, label, true)];
  };

  /** Squares that only a sum over everything reads are squared there. */
  function absorbedIn(tensors: readonly Tensor[]): Set<Tensor> {
    const users = new Map<Tensor, Tensor[]>();
    for (const tensor of tensors) {
      const [a, b] = tensor.inputs;
      if (tensor.op === "mul" && representative(a!) === representative(b!) && !wanted.has(tensor))
        users.set(tensor, []);
      for (const input of new Set(tensor.inputs.map(representative))) users.get(input)?.push(tensor);
    }
    return new Set(
      [...users]
        .filter(([, [user, ...others]]) => user?.op === "sumAll" && others.length === 0)
        .map(([square]) => square),
    );
  }

  /** Homes for assigned tensors: the variable itself, where no reader of its old value comes too late. */
  function assignedHomes(
    assignments: readonly Assignment[],
    tensors: readonly Tensor[],
    groups: readonly Group[],
  ): Map<Tensor, View> {
    const homes = new Map<Tensor, View>();
    const here = new Set(tensors);
    const order = orderOf(tensors, groups, storage);
    for (const { variable, tensor } of assignments) {
      const value = representative(tensor);
      if (!here.has(value) || !isStored(value) || homes.has(value) || !readBeforeWritten(variable, value, order))
        continue;
      const home = partOf(variable, value.shape);
      // Only a copy makes whole numbers of others.
      if (home.rows === rowsOf(value.shape) && variable.type === value.type) homes.set(value, home);
    }
    return homes;
  }

  /** Statements for the tensors of one level: a section, or a loop's body. */
  function level(
    tensors: readonly Tensor[],
    absorbed: ReadonlySet<Tensor>,
    groups: readonly Group[],
    homes: ReadonlyMap<Tensor, View>,
  ): Statement[] {
    for (const [tensor, home] of homes) settle(tensor, home);
    const here = new Set(tensors);
    for (const square of absorbed) squaredInSum.add(square);
    // The parts of a concatenation live in it; outer ones first.
    for (const tensor of [...tensors].reverse()) {
      if (tensor.op !== "concat") continue;
      const whole = viewOf(tensor);
      tensor.inputs.forEach((input, i) => {
        const part = representative(input);
        if (part.op === "allReduce" || part.op === "ownRows") return; // they write contiguous memory
        if (!here.has(part) || !isStored(part) || absorbed.has(part) || isSettled(part)) return;
        const offset = whole.offset + concatStart(tensor.inputs, i);
        settle(part, { ...whole, offset, columns: columnsOf(part.shape) });
      });
    }
    return [...storedLeaves(tensors), ...emit(groups, tensors)];
  }

  /**
   * Leaves that must lie in memory: those that a slice or reshape names, and random numbers that repeat (along rows, columns or
   * time), since a chain would draw others for each element.
   */
  function storedLeaves(tensors: readonly Tensor[]): Statement[] {
    const statements: Statement[] = [];
    for (const tensor of tensors) {
      const { loop } = tensor.attributes;
      for (const input of loop?.captured ?? tensor.inputs) {
        const leaf = representative(input);
        const repeats = leaf.op === "random" && (loop || (isChained(tensor) && !sameMatrix(leaf, tensor)));
        if (!isLeaf(leaf) || isSettled(leaf) || !(repeats || (!loop && isAlias(tensor)))) continue;
        const view = fresh(leaf);
        statements.push(copyChain(storage, leaf, view, leaf.label));
        settle(leaf, view);
      }
    }
    return statements;
  }

  function emit(groups: readonly Group[], tensors: readonly Tensor[]): Statement[] {
    const groupOf = new Map<Tensor, Group>();
    for (const group of groups) for (const tensor of tensorsOf(group)) groupOf.set(tensor, group);
    // A tensor must be stored when anything but its own chain reads it, or when a place waits for it.
    const read = new Set<Tensor>();
    const readElsewhere = new Set<Tensor>();
    for (const tensor of tensors) {
      const group = groupOf.get(tensor);
      for (const input of tensor.inputs) {
        const source = representative(input);
        read.add(source);
        if (!group || groupOf.get(source) !== group) readElsewhere.add(source);
      }
    }
    return groups.flatMap((group) => {
      if (group.kind === "single") {
        const { loop } = group.tensor.attributes;
        return loop ? loopOf(group.tensor, loop) : kernelsOf(group.tensor, storage, squaredInSum);
      }
      const { rows, columns } = group;
      const stored = group.tensors.filter(
        (tensor) => wanted.has(tensor) || readElsewhere.has(tensor) || !read.has(tensor),
      );
      return stored.length > 0
        ? [fusedChain(storage, { rows, columns, own: new Set(group.tensors), stored, flushed })]
        : [];
    });
  }

  // ── loops

  function loopOf(node: Tensor, loop: LoopBody): Statement[] {
    const { name, steps, reverse, stepInputs, states } = loop;
    const input = (i: number): Tensor => representative(node.inputs[i]!);
    const sequence = (index: number): Tensor => representative(loop.sequences[index]!);
    const next = loop.next.map(representative);
    const before: Statement[] = [];
    stepInputs.forEach((placeholder, i) => {
      const view = storage.operand(input(i), before);
      const rows = rowsOf(placeholder.shape);
      settle(placeholder, { ...view, rows, step: rows * view.stride });
    });
    const used = usedOutputs.get(node) ?? [];
    const overAll = [...new Set(used.flatMap(({ kind, index }) => (kind === "sequence" ? [sequence(index)] : [])))];
    const results = [...next, ...overAll];
    const placeholders = new Set([...stepInputs, ...states]);
    const varying = new Set(varyingTensors(placeholders, results).map(representative));
    const isOwn = (tensor: Tensor): boolean => varying.has(tensor) && !placeholders.has(tensor);
    const own = needed(results, representative, placeholders).filter(isOwn);
    for (const tensor of results) wanted.add(tensor);
    const absorbed = absorbedIn(own);
    const groups = schedule(own, representative, absorbed);
    const order = orderOf(own, groups, storage);

    const homes = new Map<Tensor, View>();
    const copies: (readonly [Tensor, View])[] = [];
    /** Lets `tensor` be computed in `to`, or be copied there at the end of the step. */
    const place = (tensor: Tensor, to: View, safe: boolean): void => {
      if (safe && isOwn(tensor) && isStored(tensor) && !homes.has(tensor)) homes.set(tensor, to);
      else copies.push([tensor, to]);
    };

    // A state has one slot, or one for each step where its values over time are wanted.
    const sequences = new Map<Tensor, View>();
    const finals = states.map((state, i) => {
      const size = sizeOf(state.shape);
      const following = next[i]!;
      const history =
        overAll.includes(following) ||
        overAll.some((tensor) => sourceOf(tensor) === state) ||
        next.some((tensor, k) => k !== i && sourceOf(tensor) === state);
      const buffer = storage.buffer(`${name}: ${state.name}`, history ? (steps + 1) * size : size);
      const slot = (number: number, step: number): View => ({
        ...matrix(buffer, state),
        offset: history ? number * size : 0,
        step: history ? step : 0,
      });
      const [old, fresh] = reverse ? [slot(1, size), slot(0, size)] : [slot(0, size), slot(1, size)];
      const [first, last] = reverse ? [steps, 0] : [0, steps];
      settle(state, old);
      before.push(
        copyChain(storage, input(stepInputs.length + i), slot(first, 0), `${name}: initial ${state.name}`, true),
      );
      place(following, fresh, history || readBeforeWritten(state, following, order));
      if (varying.has(following)) flushed.add(following);
      sequences.set(state, old);
      if (history) sequences.set(following, fresh);
      return slot(last, 0);
    });
    for (const tensor of overAll)
      kept(sequences, tensor, () => {
        const step = sizeOf(tensor.shape);
        const buffer = storage.buffer(`${tensor.label} over time`, steps * step, tensor.type);
        const view = { ...matrix(buffer, tensor), step };
        place(tensor, view, true);
        return view;
      });

    const body = level(own, absorbed, groups, homes) as Kernel[];
    for (const [from, to] of copies) body.push(...(copied(from, to, `${name}: copy`) as Kernel[]));
    for (const { kind, index, tensor } of used)
      settle(tensor, kind === "final" ? finals[index]! : overTime(sequences.get(sequence(index))!, steps));
    return [...before, { kind: "loop", name, steps, reverse, body, label: name }];
  }

  return {
    section(tensors, assignments, apart) {
      const absorbed = absorbedIn(tensors);
      const groups = schedule(tensors, representative, absorbed, apart);
      const statements = level(tensors, absorbed, groups, assignedHomes(assignments, tensors, groups));
      for (const { variable, tensor } of assignments)
        statements.push(...copied(representative(tensor), partOf(variable, tensor.shape), `${variable.name}: copy`));
      return statements;
    },
  };
}

const sameMatrix = (a: Tensor, b: Tensor): boolean =>
  rowsOf(a.shape) === rowsOf(b.shape) && columnsOf(a.shape) === columnsOf(b.shape);
