/**
 * Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000), as PyTorch's LSTM.
 *
 *   i, f, o = σ(W_ih·x + b_ih + W_hh·h + b_hh)   (gates)     g = tanh(…)   (candidate)
 *   c' = f∘c + i∘g
 *   h' = o∘tanh c',   with a projection h' = W_hr·(o∘tanh c')   (Sak, Senior & Beaufays 2014)
 *
 * Peepholes (Gers & Schmidhuber 2000) add p_i∘c, p_f∘c to the gates i, f and p_o∘c' to o.
 */
import { checkOptions } from "../errors.js";
import { linear, sigmoid, split, tanh } from "../graph/language.js";
import type { Tensor } from "../graph/tensor.js";
import type { Initializer } from "../parameters/parameter.js";
import { type Cell, defineCell } from "./cell.js";

/** Options of `lstm`; all have defaults. */
export interface LstmOptions {
  /** Features of h where they are fewer than those of c: PyTorch's proj_size. Default: none. */
  readonly projection?: number;
  /** Default false. */
  readonly peepholes?: boolean;
  /** Default true. */
  readonly bias?: boolean;
  /** How parameters start, by name: { bias_ih: initializers.chrono(100) }. Those not named: U(±1/√H), as PyTorch. */
  readonly initial?: Readonly<Record<string, Initializer>>;
}

/** An LSTM of `hidden` units; gates in PyTorch's order i, f, g, o. */
export function lstm(hidden: number, options: LstmOptions = {}): Cell {
  const { projection, peepholes = false, bias = true, initial = {} } = options;
  checkOptions("lstm", options, "projection peepholes bias initial");
  const output = projection ?? hidden;
  return defineCell<"h" | "c", string>({
    name: "lstm",
    state: { h: output, c: hidden },
    initial,
    parameters: (input) => ({
      weight_ih: [4 * hidden, input],
      weight_hh: [4 * hidden, output],
      ...(bias ? { bias_ih: [4 * hidden], bias_hh: [4 * hidden] } : {}),
      ...(projection ? { weight_hr: [projection, hidden] } : {}),
      ...(peepholes ? { weight_ci: [hidden], weight_cf: [hidden], weight_co: [hidden] } : {}),
    }),
    step(x, { h, c }, w) {
      const gates = linear(x, w.weight_ih!, w.bias_ih)
        .add(linear(h, w.weight_hh!, w.bias_hh))
        .named("z");
      const [zi, zf, zg, zo] = split(gates, 4);
      const peep = (z: Tensor, cell: Tensor, weight: Tensor | undefined): Tensor =>
        weight ? z.add(cell.mul(weight)) : z;
      const i = sigmoid(peep(zi, c, w.weight_ci)).named("i");
      const f = sigmoid(peep(zf, c, w.weight_cf)).named("f");
      const g = tanh(zg).named("g");
      const next = f.mul(c).add(i.mul(g)).named("c'");
      const o = sigmoid(peep(zo, next, w.weight_co)).named("o");
      const out = o.mul(tanh(next));
      return { h: w.weight_hr ? linear(out, w.weight_hr) : out, c: next };
    },
  });
}
