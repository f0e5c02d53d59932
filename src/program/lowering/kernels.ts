/** The kernels of costly ops, one op each. */
import { concatStart } from "../../graph/ops/matrix.js";
import { columnsOf, rowsOf, sizeOf } from "../../graph/shape.js";
import type { Tensor } from "../../graph/tensor.js";
import type { Kernel, Statement, View } from "../program.js";
import { matrix, reshaped, sameView } from "../views.js";
import { copyChain, moveChain } from "./chains.js";
import { isLeaf } from "./schedule.js";
import type { Storage } from "./storage.js";

/** Statements that compute `tensor`; `squaredInSum` are squares that a sum takes itself. */
export function kernelsOf(tensor: Tensor, storage: Storage, squaredInSum: ReadonlySet<Tensor>): Statement[] {
  const before: Statement[] = [];
  const { op, inputs, label, attributes } = tensor;
  const { transposeA, transposeB, smoothing, start } = attributes;
  const out = storage.view(tensor);
  const common = { out, label };
  const operand = (value: Tensor): View => storage.operand(value, before);
  const kernel = (): Kernel[] => {
    const [first] = inputs as readonly [Tensor];
    switch (op) {
      case "sumRows":
      case "sumColumns":
      case "sumAll":
      case "maxColumns": {
        const source = storage.representative(first);
        const square = squaredInSum.has(source);
        return [
          {
            ...common,
            kind: "reduce",
            op: op === "maxColumns" ? "max" : "sum",
            axis: op === "sumRows" ? "rows" : op === "sumAll" ? "all" : "columns",
            square,
            input: operand(square ? source.inputs[0]! : source),
          },
        ];
      }
      case "concat":
        return inputs.flatMap((part, i) => {
          const value = storage.representative(part);
          const to = { ...out, offset: out.offset + concatStart(inputs, i), columns: columnsOf(part.shape) };
          return !isLeaf(value) && sameView(storage.view(value), to) ? [] : [copyChain(storage, value, to, label)];
        });
      case "ownRows": {
        const from = storage.partOf(first.attributes.variable!, tensor.shape);
        return [moveChain(from, reshaped(out, from), label)];
      }
    }
    const [a, b, ...rest] = inputs.map(operand) as [View, View, ...View[]];
    switch (op) {
      case "matmul":
        return [
          { ...common, kind: "product", a, transposeA: transposeA!, b, transposeB: transposeB!, accumulate: false },
        ];
      case "transpose":
        return [{ ...common, kind: "transpose", input: a }];
      case "softmax":
      case "logSoftmax":
        return [{ ...common, kind: "softmax", log: op === "logSoftmax", input: a }];
      case "crossEntropy":
      case "crossEntropyGradient": {
        const scale = op === "crossEntropy" ? undefined : rest.shift();
        return [
          {
            ...common,
            kind: "crossEntropy",
            logits: a,
            target: b,
            smoothing: smoothing!,
            ...(scale && { scale }),
            ...(rest[0] && { weights: rest[0] }),
          },
        ];
      }
      case "gather":
        return [{ ...common, kind: "gather", table: a, index: b }];
      case "scatter":
        return [{ ...common, kind: "scatter", input: a, index: b }];
      case "padRows": {
        const perStep = rowsOf(tensor.shape) / tensor.shape[0]!;
        const to = { ...out, offset: out.offset + start! * perStep * out.stride, rows: a.rows };
        return [{ ...common, kind: "fill", value: 0 }, moveChain(a, to, label)];
      }
      case "allReduce": {
        if (storage.isPartial(a)) return [{ ...common, kind: "allReduce", input: a }];
        const partial = matrix(storage.buffer(label, sizeOf(tensor.shape), "float", "partial"), tensor);
        return [moveChain(reshaped(a, partial), partial, label), { ...common, kind: "allReduce", input: partial }];
      }
      default:
        throw new Error(`${label}: no kernel for ${op}`);
    }
  };
  const kernels = kernel();
  return [...before, ...kernels];
}
