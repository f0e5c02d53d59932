/**
 * Where values lie. Every computed tensor has a home, the view it is written to; a slice or a reshape is a view of its source's.
 */
import { kept } from "../../graph/maps.js";
import { columnsOf, rowsOf, type Shape, sizeOf } from "../../graph/shape.js";
import type { Tensor } from "../../graph/tensor.js";
import type { ElementType, Variable } from "../../graph/variable.js";
import type { Buffer, Statement, View } from "../program.js";
import { isDense, matrix, reshaped, sizesOf } from "../views.js";
import { copyChain } from "./chains.js";
import { isLeaf, isPartOfInput, type Representative } from "./schedule.js";

export interface Storage {
  readonly representative: Representative;
  readonly buffers: Buffer[];
  /** What kind of memory a computed tensor gets. */
  kindOf: (tensor: Tensor) => "temporary" | "partial" | "common";
  /** A new buffer; gives its number. */
  buffer(name: string, size: number, type?: ElementType, kind?: Buffer["kind"], variable?: Variable): number;
  /** A new buffer for a tensor. */
  fresh(tensor: Tensor): View;
  /**
   * A variable, or the part of it that has a worker's rows: `shape` is as the worker has it. The rows of [N, D] lie
   * together; those of [T, N, D] become a row for each t.
   */
  partOf(variable: Variable, shape: Shape): View;
  /** Where a tensor's value lies. */
  view(tensor: Tensor): View;
  /** Gives a tensor its home. */
  settle(tensor: Tensor, home: View): void;
  isSettled(tensor: Tensor): boolean;
  isVariable(view: View): boolean;
  /** Whether an all-reduce can read it as it lies. */
  isPartial(view: View): boolean;
  /** The tensor that a chain of slices and reshapes is a part of. */
  sourceOf(tensor: Tensor): Tensor;
  /** The view of an operand of a costly op; constants are written out, ahead of it. */
  operand(tensor: Tensor, before: Statement[]): View;
}

export function createStorage(representative: Representative): Storage {
  const variables = new Map<Variable, View>();
  const homes = new Map<Tensor, View>();
  const buffers: Buffer[] = [];
  const kindOf = ({ buffer }: View): Buffer["kind"] => buffers[buffer]!.kind;

  const storage: Storage = {
    representative,
    buffers,
    kindOf: () => "temporary",
    buffer(name, size, type = "float", kind = "temporary", variable) {
      const id = buffers.length;
      buffers.push({ id, size, type, name, kind, ...(variable ? { variable } : {}) });
      return id;
    },
    fresh: (tensor) =>
      matrix(storage.buffer(tensor.label, sizeOf(tensor.shape), tensor.type, storage.kindOf(tensor)), tensor),
    partOf(variable, shape) {
      const { name, type } = variable;
      const whole = kept(variables, variable, () =>
        matrix(storage.buffer(name, sizeOf(variable.shape), type, "variable", variable), variable),
      );
      if (sizeOf(shape) === sizeOf(variable.shape)) return reshaped(whole, sizesOf({ shape }));
      const steps = variable.shape.length === 3 ? variable.shape[0]! : 1;
      const columns = columnsOf(shape);
      const batch = whole.rows / steps;
      const rows = rowsOf(shape) / steps;
      if (steps === 1) return { ...whole, rows, perRow: columns };
      return { ...whole, rows: steps, columns: rows * columns, stride: batch * columns, perRow: columns };
    },
    view(tensor) {
      const known = homes.get(tensor);
      if (known) return known;
      const { start = 0, size = 0, variable } = tensor.attributes;
      if (variable) return storage.partOf(variable, tensor.shape);
      if (!isPartOfInput(tensor)) return kept(homes, tensor, () => storage.fresh(tensor));
      const source = storage.view(representative(tensor.inputs[0]!));
      switch (tensor.op) {
        case "slice":
          return { ...source, offset: source.offset + start, columns: size };
        case "sliceRows": {
          const perStep = rowsOf(tensor.shape) / tensor.shape[0]!;
          return { ...source, offset: source.offset + start * perStep * source.stride, rows: size * perStep };
        }
        case "reshape":
          return reshaped(source, sizesOf(tensor));
        default:
          return source;
      }
    },
    settle: (tensor, home) => void homes.set(tensor, home),
    isSettled: (tensor) => homes.has(tensor),
    isVariable: (view) => kindOf(view) === "variable",
    isPartial: (view) => kindOf(view) === "partial" && isDense(view),
    sourceOf(tensor) {
      const source = representative(tensor);
      return isPartOfInput(source) ? storage.sourceOf(source.inputs[0]!) : source;
    },
    operand(tensor, before) {
      const value = representative(tensor);
      if (!isLeaf(value) || homes.has(value)) return storage.view(value);
      const view = storage.fresh(value);
      before.push(copyChain(storage, value, view, value.label));
      return view;
    },
  };
  return storage;
}
