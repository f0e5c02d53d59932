/**
 * Any cell, unrolled over time: stacked, in both directions, with residual connections, dropout and normalisation between
 * the layers. Parameters carry PyTorch's names: weight_ih_l0, weight_hh_l0, …, weight_ih_l1_reverse.
 *
 * T time, N batch, D input features, H output features of the cell.
 */
import type { Cell } from "../cells/cell.js";
import { checkCount, checkName, checkOptions, checkRate, described, UserError } from "../errors.js";
import {
  concat,
  dropoutMask,
  dropped,
  layerNormalize,
  reshape,
  scoped,
  select,
  sliceRows,
  unroll,
  zeros,
} from "../graph/language.js";
import { columnsOf, sameShape, showShape } from "../graph/shape.js";
import type { Tensor } from "../graph/tensor.js";
import { oneInit, zeroInit } from "../parameters/initializers.js";
import type { Context, Layer } from "./layer.js";

/** Options of `recurrent`; all have defaults. */
export interface RecurrentOptions {
  /** Layers on top of one another; each has the cell's own sizes. Default 1. */
  readonly layers?: number;
  /** Each layer runs in both directions, its outputs side by side [.., 2H]. Default false. */
  readonly bidirectional?: boolean;
  /** Adds a layer's input to its output, after `layerNorm`, where they have as many features. Default false. */
  readonly residual?: boolean;
  /** Dropout on the output of each layer but the last, as PyTorch. Default 0. */
  readonly dropout?: number;
  /**
   * Variational dropout (Gal & Ghahramani 2016): one mask for all time steps, on each layer's input and on its previous
   * hidden state. Default 0.
   */
  readonly variationalDropout?: number | { readonly input?: number; readonly recurrent?: number };
  /** Layer norm on the output of each layer (Ba, Kiros & Hinton 2016), with its own gain and bias (`norm_weight_l0`, `norm_bias_l0`). Default false. */
  readonly layerNorm?: boolean;
  /** Where the state starts: at zero, or at a learned vector. A carried or given state goes before it. Default "zero". */
  readonly initialState?: "zero" | "learned";
  /** "sequence": the output at every step, [T, N, H]. "last": the final hidden state of the last layer, [N, H]. Default "sequence". */
  readonly output?: "sequence" | "last";
}

/**
 * A layer that runs `cell` over its input [T, N, D].
 * With a mask (variable lengths) it gives what PyTorch gives for packed sequences: past a sequence's end outputs are zero, and the
 * final state is the last valid one.
 */
export function recurrent(cell: Cell, options: RecurrentOptions = {}): Layer {
  const {
    layers = 1,
    bidirectional = false,
    residual = false,
    dropout = 0,
    layerNorm = false,
    initialState = "zero",
    output = "sequence",
  } = options;
  if (!cell?.step) throw new UserError(`recurrent: wants a cell, not ${described(cell)}`);
  checkOptions(
    "recurrent",
    options,
    "layers bidirectional residual dropout variationalDropout layerNorm initialState output",
  );
  checkName("recurrent", "initialState", initialState, "zero learned");
  checkName("recurrent", "output", output, "sequence last");
  checkCount("recurrent: layers", layers);
  checkRate("recurrent: the dropout", dropout);
  const variational =
    typeof options.variationalDropout === "object"
      ? options.variationalDropout
      : { input: options.variationalDropout, recurrent: options.variationalDropout };
  checkOptions("recurrent: variationalDropout", variational, "input recurrent");
  for (const rate of [variational.input, variational.recurrent])
    checkRate("recurrent: the variational dropout", rate ?? 0);
  return {
    kind: "recurrent",
    apply(input, context) {
      if (input.shape.length !== 3 || input.type !== "float")
        throw new UserError(
          `recurrent(${cell.name}): wants sequences [T, N, D], not ${input.type} ${showShape(input.shape)}`,
        );
      let x = input;
      let last: Tensor = input;
      for (let l = 0; l < layers; l++) {
        const below = x;
        const directions = (bidirectional ? [false, true] : [false]).map((reverse) =>
          scoped(`l${l}${reverse ? "_reverse" : ""}`, () =>
            runDirection(cell, below, context, {
              suffix: `_l${l}${reverse ? "_reverse" : ""}`,
              reverse,
              variational,
              learned: initialState === "learned",
            }),
          ),
        );
        x = concat(directions.map((direction) => direction.outputs));
        last = concat(directions.map((direction) => direction.final));
        if (layerNorm) {
          const features = [columnsOf(x.shape)];
          const gain = context.parameter(`norm_weight_l${l}`, features, oneInit);
          const bias = context.parameter(`norm_bias_l${l}`, features, zeroInit);
          x = masked(layerNormalize(x, gain, bias), context.mask);
          last = layerNormalize(last, gain, bias);
        }
        if (residual && sameShape(x.shape, below.shape)) {
          x = x.add(below);
          if (output === "last" && l === layers - 1)
            last = context.mask ? last.add(lastValid(below, context)) : last.add(atLastStep(below));
        }
        if (dropout > 0 && context.training && l < layers - 1) x = dropped(x, dropout, context.seed(), context.key());
      }
      return output === "last" ? last : x;
    },
  };
}

const atLastStep = (x: Tensor): Tensor => reshape(sliceRows(x, x.shape[0]! - 1, 1), x.shape.slice(1));

/** The input at each row's last valid step: the state of a loop that copies its input while the mask is on. */
function lastValid(x: Tensor, { mask }: Context): Tensor {
  const { state } = unroll({
    name: "last",
    inputs: { x, mask: mask! },
    state: { y: zeros(x.shape.slice(1)) },
    step: (input, { y }) => ({ state: { y: select(input.mask, input.x, y) } }),
  });
  return state.y;
}

const masked = (x: Tensor, mask: Tensor | undefined): Tensor => (mask ? x.mul(mask) : x);

interface Direction {
  readonly suffix: string;
  readonly reverse: boolean;
  readonly variational: { readonly input?: number | undefined; readonly recurrent?: number | undefined };
  readonly learned: boolean;
}

function runDirection(
  cell: Cell,
  input: Tensor,
  context: Context,
  { suffix, reverse, variational, learned }: Direction,
): { readonly outputs: Tensor; readonly final: Tensor } {
  const { mask, training } = context;
  const [steps, rows, features] = input.shape as [number, number, number];
  const shapes = cell.parameters(features);
  const parameters = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [
      name,
      context.parameter(name + suffix, shape, cell.initializer(name)).named(name),
    ]),
  );
  const keys = Object.keys(cell.state);
  const initial = Object.fromEntries(
    keys.map((key) => {
      const shape = [rows, cell.state[key]!];
      const start = learned ? context.parameter(`${key}0${suffix}`, [cell.state[key]!], zeroInit) : undefined;
      return [key, context.state(`${key}${suffix}`, shape, start)];
    }),
  );
  const maskFor = (rate: number | undefined, width: number): Tensor | undefined =>
    training && rate ? dropoutMask(zeros([rows, width]), rate, context.seed("sequence"), context.key()) : undefined;
  const inputMask = maskFor(variational.input, features);
  const stateMask = maskFor(variational.recurrent, cell.hidden);
  const x = inputMask ? input.mul(inputMask) : input;
  const probe = context.probe?.(`${cell.output}${suffix}`, [steps, rows, cell.hidden]);
  const { outputs, state } = unroll({
    name: `${cell.name}${suffix}`,
    reverse,
    inputs: { x, ...(mask ? { mask } : {}), ...(probe ? { probe } : {}) },
    state: initial,
    step(at, previous) {
      const seen = stateMask ? { ...previous, [cell.output]: previous[cell.output]!.mul(stateMask) } : previous;
      let next = cell.step(at.x!, seen, parameters) ?? {};
      if (at.probe) next = { ...next, [cell.output]: next[cell.output]!.add(at.probe) };
      if (at.mask) {
        // Past a sequence's end the state stays as it was, and the output is zero.
        const held = at.mask;
        next = Object.fromEntries(keys.map((key) => [key, select(held, next[key]!, previous[key]!)]));
        return { state: next, outputs: { y: next[cell.output]!.mul(held) } };
      }
      return { state: next, outputs: { y: next[cell.output]! } };
    },
  });
  for (const key of keys) context.carry(`${key}${suffix}`, state[key]!);
  return { outputs: outputs.y!, final: state[cell.output]! };
}
