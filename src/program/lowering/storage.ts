/**
 * Where values lie. Every computed tensor has a home, the view it is written to; a slice or a reshape is a view of its source's.
 */
import { columnsOf, rowsOf, type Shape, sizeOf } from "../../graph/shape.js";
import type { Tensor } from "../../graph/tensor.js";
import type { ElementType, Variable } from "../../graph/variable.js";
import type { Buffer, Statement, View } from "../program.js";
import { matrix, reshaped } from "../views.js";
import { copyChain } from "./chains.js";
import { isLeaf, isPartOfInput, type Representative } from "./schedule.js";

export class Storage {
  readonly buffers: Buffer[] = [];
  /** What kind of memory a computed tensor gets. */
  kindOf: (tensor: Tensor) => "temporary" | "partial" | "common" = () => "temporary";
  private readonly variables = new Map<Variable, View>();
  private readonly homes = new Map<Tensor, View>();

  constructor(readonly representative: Representative) {}

  buffer(name: string, size: number, type: ElementType = "float", kind: Buffer["kind"] = "temporary"): number {
    const id = this.buffers.length;
    this.buffers.push({ id, size, type, name, kind });
    return id;
  }

  fresh(tensor: Tensor): View {
    return matrix(this.buffer(tensor.label, sizeOf(tensor.shape), tensor.type, this.kindOf(tensor)), tensor);
  }

  variableView(variable: Variable): View {
    const known = this.variables.get(variable);
    if (known) return known;
    const [id, size] = [this.buffers.length, sizeOf(variable.shape)];
    this.buffers.push({ id, size, type: variable.type, name: variable.name, kind: "variable", variable });
    const view = matrix(id, variable);
    this.variables.set(variable, view);
    return view;
  }

  /**
   * A variable, or the part of it that has a worker's rows: `shape` is as the worker has it. The rows of [N, D] lie
   * together; those of [T, N, D] become a row for each t.
   */
  partOf(variable: Variable, shape: Shape): View {
    const whole = this.variableView(variable);
    if (sizeOf(shape) === sizeOf(variable.shape)) return reshaped(whole, { shape });
    const steps = variable.shape.length === 3 ? variable.shape[0]! : 1;
    const columns = columnsOf(shape);
    const batch = whole.rows / steps;
    const rows = rowsOf(shape) / steps;
    if (steps === 1) return { ...whole, rows, perRow: columns };
    return { ...whole, rows: steps, columns: rows * columns, stride: batch * columns, perRow: columns };
  }

  /** Where a tensor's value lies. */
  view(tensor: Tensor): View {
    const known = this.homes.get(tensor);
    if (known) return known;
    const source = (): View => this.view(this.representative(tensor.inputs[0]!));
    const { start = 0, size = 0, variable } = tensor.attributes;
    switch (tensor.op) {
      case "variable":
        return this.partOf(variable!, tensor.shape);
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
        this.homes.set(tensor, view);
        return view;
      }
    }
  }

  /** Gives a tensor its home. */
  settle(tensor: Tensor, home: View): void {
    this.homes.set(tensor, home);
  }

  isSettled(tensor: Tensor): boolean {
    return this.homes.has(tensor);
  }

  isVariable(view: View): boolean {
    return this.buffers[view.buffer]!.kind === "variable";
  }

  /** Whether an all-reduce can read it as it lies. */
  isPartial(view: View): boolean {
    const contiguous = view.rows === 1 || view.stride === view.columns;
    return this.buffers[view.buffer]!.kind === "partial" && contiguous;
  }

  /** The tensor that a chain of slices and reshapes is a part of. */
  sourceOf(tensor: Tensor): Tensor {
    const source = this.representative(tensor);
    return isPartOfInput(source) ? this.sourceOf(source.inputs[0]!) : source;
  }

  /** The view of an operand of a costly op; constants are written out, ahead of it. */
  operand(tensor: Tensor, before: Statement[]): View {
    const value = this.representative(tensor);
    if (!isLeaf(value) || this.homes.has(value)) return this.view(value);
    const view = this.fresh(value);
    before.push(copyChain(this, value, view, value.label));
    return view;
  }
}
