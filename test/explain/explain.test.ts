import { describe, expect, it } from "vitest";
import { evaluate } from "../../src/backend/evaluate.js";
import { reference } from "../../src/backend/reference/index.js";
import { type Cell, defineCell } from "../../src/cells/cell.js";
import { gru } from "../../src/cells/gru.js";
import { lstm } from "../../src/cells/lstm.js";
import { rnn } from "../../src/cells/rnn.js";
import { UserError } from "../../src/errors.js";
import { explain } from "../../src/explain/explain.js";
import {
  concat,
  elu,
  exp,
  gelu,
  layerNormalize,
  leakyRelu,
  linear,
  matmul,
  relu,
  sigmoid,
  slice,
  softmax,
  softplus,
  split,
  square,
  sumAll,
  sumRows,
  type Tensor,
  tanh,
  transpose,
  unroll,
} from "../../src/graph/language.js";
import { gradients } from "../../src/graph/sweep.js";
import { difference, feed } from "../graph/numeric.js";
import { compute, type Equation, read, type Value } from "./reader.js";

const [T, N, D, H] = [3, 2, 3, 4];

const say = (equations: readonly Equation[]): string[] =>
  equations.map(({ left, right, shape }) => `${left}${left ? " = " : ""}${right} ${shape}`);

describe("what is printed for the LSTM", () => {
  const { forward, backward } = read(explain(lstm(128)));

  it("is its equations, the input's product taken out of the loop", () => {
    expect(say(forward.before)).toEqual(["W_ih·x [T, N, 4H]"]);
    expect(say(forward.inside)).toEqual([
      "z = W_ih·x + b_ih + W_hh·h + b_hh [N, 4H]",
      "i = σ(z[0:H]) [N, H]",
      "f = σ(z[H:2H]) [N, H]",
      "g = tanh(z[2H:3H]) [N, H]",
      "o = σ(z[3H:4H]) [N, H]",
      "c′ = f∘c + i∘g [N, H]",
      "h′ = o∘tanh(c′) [N, H]",
    ]);
    expect(forward.after).toEqual([]);
  });

  it("and the backward equations derived from them, the sums over time taken out of the loop", () => {
    expect(backward.before).toEqual([]);
    expect(say(backward.inside)).toEqual([
      "dh′ = dhₜ₊₁ + dy [N, H]",
      "do = dh′∘tanh(c′) [N, H]",
      "dc′ = dcₜ₊₁ + dh′∘o∘(1 − tanh(c′)²) [N, H]",
      "dg = dc′∘i [N, H]",
      "df = dc′∘c [N, H]",
      "di = dc′∘g [N, H]",
      "dz = [di∘i∘(1 − i), df∘f∘(1 − f), dg∘(1 − g²), do∘o∘(1 − o)] [N, 4H]",
      "dh = W_hhᵀ·dz [N, H]",
      "dc = dc′∘f [N, H]",
    ]);
    expect(say(backward.after)).toEqual([
      "dx = W_ihᵀ·dz [T, N, D]",
      "dW_ih = Σₜ dz·xᵀ [4H, D]",
      "dW_hh = Σₜ dz·hᵀ [4H, H]",
      "db_ih = Σₜ dz [4H]",
      "db_hh = Σₜ dz [4H]",
    ]);
  });

  it("counts products and what is kept", () => {
    const text = explain(lstm(128), { input: 64 });
    expect(text).toContain("T steps, N sequences in the batch, D = 64 input features, H = 128");
    expect(text.match(/inside, at each step, 1 matrix product$/gm)).toHaveLength(2);
    expect(text).toContain("after the loop, once over all T·N rows, 3 matrix products");
    expect(text).toContain("kept for the way back: 7H numbers a step and sequence\n    i, f, g, c′, o, tanh(c′), h′");
    expect(text).toMatch(/W_hh +\[4H, H\] +weight_hh \[512, 128\]/);
  });
});

// ── every printed formula is carried out

/** Cells of all kinds; the last few do what no sensible cell does. */
const cells: Readonly<Record<string, Cell>> = {
  rnn: rnn(H),
  "rnn without bias": rnn(H, { bias: false }),
  "relu rnn": rnn(H, { nonlinearity: "relu" }),
  lstm: lstm(H),
  "lstm with projection and peepholes": lstm(H, { projection: 2, peepholes: true }),
  gru: gru(H),
  "gru, reset before": gru(H, { reset: "before" }),
  "minimal gated unit": defineCell({
    name: "mgu",
    state: { h: H },
    parameters: (input) => ({ w: [2 * H, input], u: [2 * H, H], b: [2 * H] }),
    step(x, { h }, { w, u, b }) {
      const [fx, gx] = split(linear(x, w, b), 2);
      const [fh, gh] = split(linear(h, u), 2);
      const f = sigmoid(fx.add(fh)).named("f");
      return { h: h.add(f.mul(tanh(gx.add(f.mul(gh))).sub(h))) };
    },
  }),
  "layer-normalised, with softmax": defineCell({
    name: "normal",
    state: { h: H },
    parameters: (input) => ({ w: [H, input], u: [H, H], gain: [H], bias: [H] }),
    step(x, { h }, { w, u, gain, bias }) {
      const a = layerNormalize(linear(x, w).add(linear(h, u)), gain, bias);
      return { h: tanh(a).add(softmax(a).mul(h)) };
    },
  }),
  "states that change places": defineCell({
    name: "swap",
    state: { a: H, b: H },
    parameters: (input) => ({ w: [H, input] }),
    step: (x, { a, b }, { w }) => ({ a: b, b: tanh(a.add(linear(x, w))) }),
  }),
  "no use of the state": defineCell({
    name: "memoryless",
    state: { h: H },
    parameters: (input) => ({ w: [H, input] }),
    step: (x, _, { w }) => ({ h: tanh(linear(x, w)) }),
  }),
  "the input's features are the state's": defineCell({
    name: "leaky",
    state: { h: D },
    parameters: () => ({ rate: [D] }),
    step: (x, { h }, { rate }) => ({ h: h.add(sigmoid(rate).mul(x.sub(h))) }),
  }),
  "activations of many kinds": defineCell({
    name: "zoo",
    state: { h: H, c: 2 },
    parameters: (input) => ({ w: [H, input], u: [H, H], v: [2, H] }),
    step(x, { h, c }, { w, u, v }) {
      const p = linear(x, w).add(linear(h, u)).named("p");
      const q = relu(p)
        .add(leakyRelu(p.sub(0.3)))
        .mul(0.25)
        .sub(exp(square(p).neg()));
      return { h: tanh(q).div(h.mul(h).add(2)), c: tanh(linear(q.neg(), v)).add(c.mul(-1)) };
    },
  }),
  "weights made of weights, sliced and turned": defineCell({
    name: "weights",
    state: { h: H },
    parameters: (input) => ({ w: [H, input], u: [H, 2 * H] }),
    step(x, { h }, { w, u }) {
      const left = slice(u, 0, H);
      const skew = left.sub(transpose(left));
      return {
        h: tanh(
          linear(x, w.mul(w))
            .add(matmul(h, skew))
            .add(linear(concat([h, h]), u)),
        ),
      };
    },
  }),
  "a name twice": defineCell({
    name: "twins",
    state: { h: H },
    parameters: (input) => ({ w: [H, input], u: [H, H] }),
    step(x, { h }, { w, u }) {
      const first = sigmoid(linear(x, w)).named("g");
      const second = tanh(linear(h, u)).named("g");
      return { h: first.mul(second).add(first.mul(h)).named("h") };
    },
  }),
};

const rowsOf = (data: ArrayLike<number>, columns: number): number[][] =>
  Array.from({ length: data.length / columns }, (_, r) =>
    Array.from({ length: columns }, (_, c) => data[r * columns + c]!),
  );
const stepsOf = (data: ArrayLike<number>, columns: number): number[][][] => {
  const rows = rowsOf(data, columns);
  return Array.from({ length: T }, (_, t) => rows.slice(t * N, (t + 1) * N));
};
const symbolOf = (name: string, shape: readonly number[]): string =>
  name.replace(/^weight/, shape.length > 1 ? "W" : "w").replace(/^bias(?=_|$)/, "b");

describe("the printed equations, carried out by hand, give the network's outputs and gradients", () => {
  for (const [title, cell] of Object.entries(cells))
    it(title, async () => {
      const shapes = cell.parameters(D);
      const { tensors, feeds } = feed({
        x: { shape: [T, N, D] },
        dy: { shape: [T, N, cell.hidden] },
        ...Object.fromEntries(
          Object.entries(cell.state).map(([key, size]) => [`initial ${key}`, { shape: [N, size] }]),
        ),
        ...Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [`parameter ${name}`, { shape }])),
      });
      const parameters = Object.keys(shapes);
      const { outputs } = unroll<{ x: Tensor }, Record<string, Tensor>, { y: Tensor }>({
        inputs: { x: tensors.x! },
        state: Object.fromEntries(Object.keys(cell.state).map((key) => [key, tensors[`initial ${key}`]!])),
        step(at, state) {
          const weights = Object.fromEntries(parameters.map((name) => [name, tensors[`parameter ${name}`]!]));
          const next = cell.step(at.x, state, weights);
          return { state: { ...next }, outputs: { y: next[cell.output]! } };
        },
      });
      const wrt = [tensors.x!, ...parameters.map((name) => tensors[`parameter ${name}`]!)];
      const slopes = gradients(sumAll(outputs.y.mul(tensors.dy!)), wrt);
      const wanted: Record<string, Tensor> = { y: outputs.y };
      slopes.forEach((slope, i) => {
        wanted[i] = slope;
      });
      const expected = await evaluate(reference(), wanted, feeds);

      const text = explain(cell, { input: D, width: 400 });
      const data = new Map(feeds.map(([{ name }, values]) => [name, values]));
      const weightOf = (name: string): Value => {
        const values = data.get(`parameter ${name}`)!;
        return shapes[name]!.length === 1 ? [...Array.from(values)] : rowsOf(values, shapes[name]!.at(-1)!);
      };
      const { output, gradients: found } = compute(read(text), {
        x: stepsOf(data.get("x")!, D),
        dy: stepsOf(data.get("dy")!, cell.hidden),
        initial: Object.fromEntries(
          Object.entries(cell.state).map(([key, size]) => [key, rowsOf(data.get(`initial ${key}`)!, size)]),
        ),
        parameters: Object.fromEntries(parameters.map((name) => [symbolOf(name, shapes[name]!), weightOf(name)])),
        output: cell.output,
      });
      expect(difference(output.flat(2), expected.y!), text).toBeLessThan(1e-4);
      ["x", ...parameters.map((name) => symbolOf(name, shapes[name]!))].forEach((symbol, i) => {
        const value = found.get(`d${symbol}`);
        expect(value, `d${symbol} in\n${text}`).toBeDefined();
        const numbers = [value].flat(3) as number[];
        // constants are printed with four digits
        expect(difference(numbers, expected[i]!), `d${symbol} of\n${text}`).toBeLessThan(1e-4);
      });
      for (const { left } of [read(text).forward, read(text).backward].flatMap(({ before, inside, after }) => [
        ...before,
        ...inside,
        ...after,
      ]))
        expect(left).not.toMatch(/undefined|ₜ₊₁/);
    });
});

describe("any cell can be explained", () => {
  it("one that mixes the sequences of the batch, one with functions of its own, one that stands still", () => {
    const mixing = defineCell({
      name: "mixing",
      state: { h: H },
      parameters: (input) => ({ w: [H, input] }),
      step: (x, { h }, { w }) => ({ h: tanh(h.sub(sumRows(h).div(N)).add(linear(x, w))).mul(sumAll(h)) }),
    });
    expect(explain(mixing)).toContain("Σₙ h");
    const smooth = defineCell({
      name: "smooth",
      state: { h: H },
      parameters: (input) => ({ w: [H, input] }),
      step: (x, { h }, { w }) => ({ h: gelu(softplus(linear(x, w)).add(elu(h))) }),
    });
    expect(explain(smooth)).toMatch(/softplus\(.*erf\(/s);
    const still = defineCell({ name: "still", state: { h: H }, parameters: () => ({}), step: (_, { h }) => ({ h }) });
    expect(explain(still)).toContain("h′ = h");
    for (const text of [explain(mixing), explain(smooth), explain(still)]) expect(text).not.toMatch(/undefined|NaN/);
  });

  it("in letters, whatever the numbers; in numbers where they are asked for", () => {
    expect(explain(rnn(7))).toMatch(/dW_ih = Σₜ dz·xᵀ +\[H, D\]/);
    expect(explain(rnn(7))).toContain("weight_ih [7, D]");
    expect(explain(rnn(7), { input: 7 })).toContain("weight_ih [7, 7]");
    expect(explain(rnn(1), { input: 1 })).not.toMatch(/undefined|NaN/);
    expect(explain(lstm(6, { projection: 2 }))).toMatch(/W_hr +\[H, C\]/);
  });

  it("within the terminal's width", () => {
    for (const cell of Object.values(cells))
      for (const width of [72, 100]) {
        const lines = explain(cell, { width }).split("\n");
        expect(Math.max(...lines.map((line) => [...line].length)), cell.name).toBeLessThanOrEqual(width);
      }
  });

  it("leaving no trace: the cell computes as before, and two explanations are the same", () => {
    const cell = lstm(H);
    expect(explain(cell)).toBe(explain(cell));
  });

  it("and what it cannot be asked is refused in words", () => {
    expect(() => explain(rnn(3), { input: 0 })).toThrow(
      new UserError("explain: input must be a whole number of features of at least 1, not 0"),
    );
    expect(() => explain(cells["the input's features are the state's"]!, { input: D + 2 })).toThrow(UserError);
  });
});
