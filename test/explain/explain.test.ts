import { describe, expect, it } from "vitest";
import { defineCell } from "../../src/cells/cell.js";
import { gru } from "../../src/cells/gru.js";
import { lstm } from "../../src/cells/lstm.js";
import { rnn } from "../../src/cells/rnn.js";
import { explain } from "../../src/explain/explain.js";
import { layerNormalize, linear, sigmoid, softmax, tanh } from "../../src/graph/language.js";

/** The lines of a section, without its indentation and padding. */
const section = (text: string, title: string): string[] => {
  const rows = text.split("\n");
  const start = rows.findIndex((row) => row.trim().startsWith(title));
  const end = rows.findIndex((row, i) => i > start && !row.startsWith("    "));
  return rows.slice(start + 1, end < 0 ? undefined : end).map((row) => row.trim().replace(/\s+/g, " "));
};

describe("explain", () => {
  it("writes the LSTM as it is known, and the backward equations that follow", () => {
    const text = explain(lstm(4), { input: 3 });
    expect(section(text, "before the loop, all")).toEqual(["v1 = x·W_ihᵀ"]);
    expect(section(text, "inside, N rows").sort()).toEqual(
      [
        "z = v1 + b_ih + h·W_hhᵀ + b_hh",
        "i = σ(z[0:4])",
        "f = σ(z[4:8])",
        "g = tanh(z[8:12])",
        "o = σ(z[12:16])",
        "c′ = f∘c + i∘g",
        "h′ = o∘tanh(c′)",
      ].sort(),
    );
    expect(section(text, "inside; ⁺").sort()).toEqual(
      [
        "dh′ = dh′⁺ + dy",
        "do = dh′∘tanh(c′)",
        "dc′ = dc′⁺ + dh′∘o∘(1 − tanh(c′)²)",
        "di = dc′∘g",
        "dg = dc′∘i",
        "df = dc′∘c",
        "dc = dc′∘f",
        "dz = [di∘i∘(1 − i), df∘f∘(1 − f), dg∘(1 − g²), do∘o∘(1 − o)]",
        "dh = dz·W_hh",
      ].sort(),
    );
    expect(section(text, "after the loop")).toEqual([
      "dx = dz·W_ih",
      "dW_ih = Σ_t dzᵀ·x",
      "dW_hh = Σ_t dzᵀ·h",
      "db_ih = Σ_t dz",
      "db_hh = Σ_t dz",
    ]);
  });

  it.each([
    ["rnn", rnn(3)],
    ["relu rnn", rnn(3, { nonlinearity: "relu" })],
    ["gru", gru(3)],
    ["gru, reset before", gru(3, { reset: "before" })],
    ["lstm with projection and peepholes", lstm(4, { projection: 2, peepholes: true })],
  ])("says for the %s where each product runs", (_name, cell) => {
    const text = explain(cell, { input: 2 });
    expect(section(text, "before the loop, all").join(" ")).toMatch(/x·W_ihᵀ/);
    expect(section(text, "inside, N rows").join(" ")).not.toMatch(/x·W_ihᵀ/);
    expect(section(text, "inside; ⁺").join(" ")).not.toMatch(/Σ_t/);
    const after = section(text, "after the loop").join("\n");
    for (const name of Object.keys(cell.parameters(2)))
      expect(after).toMatch(new RegExp(`^d${name.replace("weight_", "W_").replace("bias_", "b_")} = .*Σ_t`, "m"));
    expect(text).not.toMatch(/undefined|NaN/);
  });

  it("explains a cell it has never seen, naming what has no name, each name once", () => {
    const odd = defineCell({
      name: "odd",
      state: { a: 3, b: 2 },
      parameters: (input) => ({ u: [3, input], v: [3, 3], w: [2, 3] }),
      step(x, { a, b }, { u, v, w }) {
        const mixed = layerNormalize(linear(x, u).add(linear(a, v)));
        return { a: softmax(mixed).mul(a), b: sigmoid(linear(tanh(mixed), w).mul(2)).add(b) };
      },
    });
    const text = explain(odd, { input: 4 });
    for (const title of ["inside, N rows", "inside; ⁺"]) {
      const names = section(text, title).map((row) => row.split(" = ")[0]);
      expect(new Set(names).size).toBe(names.length);
      expect(names.length).toBeGreaterThan(1);
    }
    expect(text).toMatch(/softmax\(/);
    expect(text).toMatch(/^ +dw = Σ_t/m);
    expect(text).not.toMatch(/undefined|NaN/);
  });
});
