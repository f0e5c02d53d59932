/**
 * The vanilla recurrent network (Elman 1990), as PyTorch's RNN.
 *
 *   h' = φ(W_ih·x + b_ih + W_hh·h + b_hh),   φ = tanh or relu
 */
import { checkName, checkOptions } from "../errors.js";
import { linear, relu, tanh } from "../graph/language.js";
import type { Initializer } from "../parameters/parameter.js";
import { type Cell, defineCell } from "./cell.js";

/** Options of `rnn`; all have defaults. */
export interface RnnOptions {
  /** φ; default "tanh". */
  readonly nonlinearity?: "tanh" | "relu";
  /** Default true. */
  readonly bias?: boolean;
  /** How parameters start, by name: { bias_ih: initializers.zeroInit }. Those not named: U(±1/√H), as PyTorch. */
  readonly initial?: Readonly<Record<string, Initializer>>;
}

/** A vanilla RNN of `hidden` units. */
export function rnn(hidden: number, options: RnnOptions = {}): Cell {
  const { nonlinearity = "tanh", bias = true, initial = {} } = options;
  checkOptions("rnn", options, "nonlinearity bias initial");
  checkName("rnn", "nonlinearity", nonlinearity, "tanh relu");
  const φ = nonlinearity === "relu" ? relu : tanh;
  return defineCell<"h", string>({
    name: "rnn",
    state: { h: hidden },
    initial,
    parameters: (input) => ({
      weight_ih: [hidden, input],
      weight_hh: [hidden, hidden],
      ...(bias ? { bias_ih: [hidden], bias_hh: [hidden] } : {}),
    }),
    step(x, { h }, w) {
      const z = linear(x, w.weight_ih!, w.bias_ih)
        .add(linear(h, w.weight_hh!, w.bias_hh))
        .named("z");
      return { h: φ(z) };
    },
  });
}
