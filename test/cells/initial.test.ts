import { describe, expect, it } from "vitest";
import { gru } from "../../src/cells/gru.js";
import { lstm } from "../../src/cells/lstm.js";
import { rnn } from "../../src/cells/rnn.js";
import { UserError } from "../../src/errors.js";
import { constantOf } from "../../src/parameters/initializers.js";
import { createRng } from "../../src/parameters/rng.js";

const initial = { bias_ih: constantOf(3) };

describe("a cell's parameters", () => {
  it.each([rnn(4, { initial }), lstm(4, { initial }), gru(4, { initial })])("start as $name is told", (cell) => {
    const started = (name: string): number[] => [...cell.initializer(name)([8], createRng(1))];
    expect(started("bias_ih")).toEqual(Array(8).fill(3));
    expect(started("bias_hh").every((value) => Math.abs(value) <= 0.5)).toBe(true);
  });

  it("must be the cell's own", () => {
    expect(() => lstm(4, { initial: { bias: constantOf(1) } })).toThrow(UserError);
    expect(() => lstm(4, { bias: false, initial })).toThrow(
      'cell "lstm": there is no parameter "bias_ih" to start; there are weight_ih, weight_hh',
    );
  });
});
