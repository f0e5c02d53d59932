/** The one table of ops. Adding an op is adding its line here, and what each backend does for it. */
import { pointwiseNames } from "../pointwise.js";
import { broadcast } from "../shape.js";
import { matrixTable } from "./matrix.js";
import { pointwiseTable } from "./pointwise.js";
import { rowTable } from "./rows.js";
import type { OpRule, OpTable } from "./rule.js";

const pointwiseRules = Object.fromEntries(
  pointwiseNames.map((name): [string, OpRule] => [
    name,
    {
      shape: (inputs) =>
        broadcast(
          inputs.map((input) => input.shape),
          name,
        ),
      derivative: pointwiseTable[name],
      rowwise: true,
      cheap: true,
    },
  ]),
) as { [Name in (typeof pointwiseNames)[number]]: OpRule };

const leaf: OpRule = { shape: (_, { shape }) => shape ?? [1], derivative: undefined, rowwise: false, cheap: true };

export const opTable: OpTable = {
  ...pointwiseRules,
  ...matrixTable,
  ...rowTable,
  variable: leaf,
  constant: leaf,
  stepInput: leaf,
  state: leaf,
  loop: leaf,
  loopOutput: leaf,
  ownRows: leaf,
  allReduce: leaf,
};
