/** The kernels of costly ops, one op each. */
import { concatStart } from "../../graph/ops/matrix.js";
import { columnsOf, rowsOf, sizeOf } from "../../graph/shape.js";
import type { Tensor } from "../../graph/tensor.js";
import type { Kernel, Statement, View } from "../program.js";
import { asRowsOf, matrix, sameView } from "../views.js";
import { copyChain, moveChain } from "./chains.js";
import { isLeaf } from "./schedule.js";
import type { Storage } from "./storage.js";

/** Statements that compute `tensor`; `squaredInSum` are squares that a sum takes itself. */
export function kernelsOf(tensor: Tensor, storage: Storage, squaredInSum: ReadonlySet<Tensor>): Statement[] {
  const before: Statement[] = [];
  const { label, attributes } = tensor;
  const out = storage.view(tensor);
  const input = (i: number): View => storage.operand(tensor.inputs[i]!, before);
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
        const source = storage.representative(tensor.inputs[0]!);
        const squared = squaredInSum.has(source);
        const view = squared ? storage.operand(source.inputs[0]!, before) : input(0);
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
        return [{ kind: "fill", value: 0, out, label }, moveChain(from, to, label)];
      }
      case "concat":
        return tensor.inputs.flatMap((part, i) => {
          const value = storage.representative(part);
          const to = { ...out, offset: out.offset + concatStart(tensor.inputs, i), columns: columnsOf(part.shape) };
          return !isLeaf(value) && sameView(storage.view(value), to) ? [] : [copyChain(storage, value, to, label)];
        });
      case "allReduce": {
        const from = input(0);
        if (storage.isPartial(from)) return [{ kind: "allReduce", input: from, out, label }];
        const partial = matrix(storage.buffer(label, sizeOf(tensor.shape), "float", "partial"), tensor);
        return [moveChain(asRowsOf(from, partial), partial, label), { kind: "allReduce", input: partial, out, label }];
      }
      case "ownRows": {
        const from = storage.partOf(tensor.inputs[0]!.attributes.variable!, tensor.shape);
        return [moveChain(from, asRowsOf(out, from), label)];
      }
      default:
        throw new Error(`${label}: no kernel for ${tensor.op}`);
    }
  };
  const kernels = kernel();
  return [...before, ...kernels];
}
