/** Makes a tensor of any op by the table's shape rule. */
import type { Attributes, OpName } from "../tensor.js";
import { Tensor } from "../tensor.js";
import { opTable } from "./table.js";

export function make(op: OpName, inputs: readonly Tensor[], attributes: Attributes = {}): Tensor {
  const rule = opTable[op];
  return new Tensor(op, inputs, rule.shape(inputs, attributes), attributes, rule.keepsType ? inputs[0]!.type : "float");
}
