/** Programs of tensors, checked for their form. */
import type { Cell } from "../../src/cells/cell.js";
import { current, sumAll, unroll, zeros } from "../../src/graph/language.js";
import { gradients } from "../../src/graph/sweep.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { variable } from "../../src/graph/variable.js";
import { lower } from "../../src/program/lower.js";
import type { Program } from "../../src/program/program.js";
import { checkForm } from "./arena.js";

export function programOf(...tensors: Tensor[]): Program {
  const results = tensors.map((tensor, i) => ({ variable: variable(`r${i}`, tensor.shape), tensor }));
  const program = lower({ name: "test", results });
  checkForm(program);
  return program;
}

/** A loss of all outputs h of one cell, and its weights' gradients. T time, N batch, D input. */
export function trainingOf(cell: Cell, [T, N, D]: readonly [number, number, number]): Program {
  const weights = Object.fromEntries(
    Object.entries(cell.parameters(D)).map(([name, shape]) => [name, current(variable(name, shape))]),
  );
  const { outputs } = unroll({
    inputs: { x: current(variable("x", [T, N, D])) },
    state: Object.fromEntries(Object.entries(cell.state).map(([name, size]) => [name, zeros([N, size])])),
    step: ({ x }, state) => {
      const next = cell.step(x, state, weights);
      return { state: next, outputs: { h: next.h! } };
    },
  });
  const loss = sumAll(outputs.h!.mul(outputs.h!));
  return programOf(loss, ...gradients(loss, Object.values(weights)));
}
