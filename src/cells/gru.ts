/**
 * Gated recurrent unit (Cho et al. 2014).
 *
 *   r, z = σ(W_ih·x + b_ih + W_hh·h + b_hh)
 *   n = tanh(W_in·x + b_in + r∘(W_hn·h + b_hn))   reset after the product: PyTorch, cuDNN
 *   n = tanh(W_in·x + b_in + W_hn·(r∘h) + b_hn)   reset before it: Cho's original
 *   h' = (1−z)∘n + z∘h
 */
import { checkName, checkOptions } from "../errors.js";
import { linear, sigmoid, slice, sliceRows, split, tanh } from "../graph/language.js";
import { constant } from "../graph/tensor.js";
import type { Initializer } from "../parameters/parameter.js";
import { type Cell, defineCell } from "./cell.js";

/** Options of `gru`; all have defaults. */
export interface GruOptions {
  /** Whether the reset gate acts after the recurrent product (default, as PyTorch) or before it. */
  readonly reset?: "after" | "before";
  /** Default true. */
  readonly bias?: boolean;
  /** How parameters start, by name: { bias_ih: initializers.zeroInit }. Those not named: U(±1/√H), as PyTorch. */
  readonly initial?: Readonly<Record<string, Initializer>>;
}

/** A GRU of `hidden` units; gates in PyTorch's order r, z, n. */
export function gru(hidden: number, options: GruOptions = {}): Cell {
  const { reset = "after", bias = true, initial = {} } = options;
  checkOptions("gru", options, "reset bias initial");
  checkName("gru", "reset", reset, "after before");
  return defineCell<"h", string>({
    name: "gru",
    state: { h: hidden },
    initial,
    parameters: (input) => ({
      weight_ih: [3 * hidden, input],
      weight_hh: [3 * hidden, hidden],
      ...(bias ? { bias_ih: [3 * hidden], bias_hh: [3 * hidden] } : {}),
    }),
    step(x, { h }, w) {
      const [xr, xz, xn] = split(linear(x, w.weight_ih!, w.bias_ih).named("a"), 3);
      const one = constant(1);
      if (reset === "after") {
        const [hr, hz, hn] = split(linear(h, w.weight_hh!, w.bias_hh).named("u"), 3);
        const r = sigmoid(xr.add(hr)).named("r");
        const z = sigmoid(xz.add(hz)).named("z");
        const n = tanh(xn.add(r.mul(hn))).named("n");
        return { h: one.sub(z).mul(n).add(z.mul(h)) };
      }
      const gateWeights = sliceRows(w.weight_hh!, 0, 2 * hidden);
      const candidateWeights = sliceRows(w.weight_hh!, 2 * hidden, hidden);
      const hg = linear(h, gateWeights, w.bias_hh && slice(w.bias_hh, 0, 2 * hidden)).named("u");
      const [hr, hz] = split(hg, 2);
      const r = sigmoid(xr.add(hr)).named("r");
      const z = sigmoid(xz.add(hz)).named("z");
      const n = tanh(
        xn.add(linear(r.mul(h), candidateWeights, w.bias_hh && slice(w.bias_hh, 2 * hidden, hidden))),
      ).named("n");
      return { h: one.sub(z).mul(n).add(z.mul(h)) };
    },
  });
}
