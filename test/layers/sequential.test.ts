import { describe, expect, test } from "vitest";
import { gru } from "../../src/cells/gru.js";
import { lstm } from "../../src/cells/lstm.js";
import { UserError } from "../../src/errors.js";
import { activation } from "../../src/layers/activation.js";
import { dense } from "../../src/layers/dense.js";
import { embedding } from "../../src/layers/embedding.js";
import { last } from "../../src/layers/last.js";
import type { Layer } from "../../src/layers/layer.js";
import { layerNorm } from "../../src/layers/normalization.js";
import { recurrent } from "../../src/layers/recurrent.js";
import { residual, sequential } from "../../src/layers/sequential.js";
import { apply, checkLayer, computed, given, near, random, refused } from "./trial.js";

describe("sequential", () => {
  const ids = given("ids", [3, 2, 1], [1, 0, 2, 2, 1, 0], "index");
  const shapesOf = (model: Layer): Record<string, readonly number[]> =>
    Object.fromEntries([...apply(model, ids.tensor).parameters].map(([name, { variable }]) => [name, variable.shape]));

  test("numbers parameters as PyTorch's Sequential does", () => {
    const layers = [embedding(3, 2), recurrent(lstm(4)), activation("relu"), dense(5)] as const;
    const shapes = {
      "0.weight": [3, 2],
      "1.weight_ih_l0": [16, 2],
      "1.weight_hh_l0": [16, 4],
      "1.bias_ih_l0": [16],
      "1.bias_hh_l0": [16],
      "3.weight": [5, 4],
      "3.bias": [5],
    };
    expect(shapesOf(sequential(...layers))).toEqual(shapes);
    expect(shapesOf(sequential(layers))).toEqual(shapes);
  });

  test("names parameters and states as a module with attributes does", () => {
    const rnn = recurrent(lstm(4, { bias: false }));
    const model = sequential({ embed: embedding(3, 2), rnn, head: sequential(dense(5), dense(1)) });
    expect(Object.keys(shapesOf(model))).toEqual([
      "embed.weight",
      "rnn.weight_ih_l0",
      "rnn.weight_hh_l0",
      "head.0.weight",
      "head.0.bias",
      "head.1.weight",
      "head.1.bias",
    ]);
    expect(apply(model, ids.tensor).carried).toEqual(["rnn.h_l0", "rnn.c_l0"]);
  });

  test("gives each layer's output to the next", async () => {
    const x = random("x", [3, 2]);
    const model = sequential([activation("tanh"), dense(1)]);
    const { output, parameters } = apply(model, x.tensor, { values: { "1.weight": [2, -1], "1.bias": [0.5] } });
    const expected = [0, 1, 2].map(
      (row) => 2 * Math.tanh(x.values[2 * row]!) - Math.tanh(x.values[2 * row + 1]!) + 0.5,
    );
    near(await computed(output, [x, ...parameters.values()]), expected);
  });

  test("takes a single layer", () => {
    expect([...apply(sequential(dense(1)), random("x", [1, 1]).tensor).parameters.keys()]).toEqual([
      "0.weight",
      "0.bias",
    ]);
  });

  test("labels what a layer computes with its place", () => {
    const { output } = apply(
      sequential({ head: sequential(dense(1), activation("tanh")) }),
      random("x", [1, 1]).tensor,
    );
    expect(output.label).toBe("layer head (sequential).layer 1 (activation): tanh");
  });

  test("says which layer refused, and why", () => {
    const model = sequential(embedding(3, 2), last(), recurrent(gru(4)), dense(1));
    refused(() => apply(model, ids.tensor), "layer 2 (recurrent(gru)): wants sequences [T, N, D], not float [2, 2]");
    refused(
      () => apply(sequential({ net: sequential(embedding(3, 2), embedding(3, 2)) }), ids.tensor),
      "layer net (sequential): layer 1 (embedding): wants indices [N, 1] or [T, N, 1], one a row, not numbers [3, 2, 2]",
    );
    const own: Layer = { kind: "own", apply: (input) => input.add(random("b", [2, 2]).tensor) };
    refused(
      () => apply(sequential(own), random("x", [2, 3]).tensor),
      "layer 0 (own): add: shapes [2, 3] and [2, 2] do not fit together",
    );
  });

  test("keeps errors of other kinds as they are", () => {
    const broken = new RangeError("broken");
    const own: Layer = {
      kind: "own",
      apply() {
        throw broken;
      },
    };
    expect(() => apply(sequential(own), random("x", [1, 1]).tensor)).toThrow(broken);
    let thrown: unknown;
    try {
      apply(sequential(dense(1)), ids.tensor);
    } catch (error) {
      thrown = error;
    }
    expect((thrown as UserError).cause).toBeInstanceOf(UserError);
  });

  test("refuses what is no layer", () => {
    refused(() => sequential(), "sequential: there are no layers");
    refused(() => sequential({}), "sequential: there are no layers");
    refused(
      () => sequential(dense(1), layerNorm as unknown as Layer),
      "sequential: layer 1 is no layer but the function layerNorm; call it to make one",
    );
    refused(
      () => sequential({ head: undefined as unknown as Layer }),
      "sequential: layer head is no layer but undefined",
    );
    refused(() => sequential({ "a.b": dense(1) }), "sequential: a layer's name must not be empty or hold a dot");
  });

  test("has the gradients that differences show", async () => {
    const mask = given("mask", [3, 2, 1], [1, 1, 1, 0, 1, 0]);
    const model = (): Layer =>
      sequential({ embed: embedding(3, 2), norm: layerNorm(), rnn: recurrent(gru(3)), last: last(), head: dense(2) });
    await checkLayer(model(), ids);
    await checkLayer(model(), ids, { mask: mask.tensor, rest: [mask] });
  });
});

describe("residual", () => {
  test("adds its input to what its layer gives, under the layer's own names", async () => {
    const x = random("x", [3, 5]);
    const layer = sequential(residual(dense(5, { activation: "tanh" })));
    const { output, parameters } = apply(layer, x.tensor);
    expect([...parameters.keys()]).toEqual(["0.weight", "0.bias"]);
    const inner = apply(sequential(dense(5, { activation: "tanh" })), x.tensor);
    const added = await computed(inner.output, [x, ...inner.parameters.values()]);
    near(
      await computed(output, [x, ...parameters.values()]),
      x.values.map((value, i) => value + added[i]!),
    );
    await checkLayer(layer, x);
    await checkLayer(residual(recurrent(gru(3))), random("x", [2, 1, 3]));
  });

  test("refuses a layer that changes the shape", () => {
    refused(
      () => apply(sequential(residual(dense(4))), random("x", [3, 5]).tensor),
      "layer 0 (residual): its dense must keep the shape [3, 5] to be added to it, but gives [3, 4]",
    );
    refused(() => residual(dense as unknown as Layer), "residual: wants a layer, not the function dense");
  });
});

describe("last", () => {
  const [T, N, D] = [4, 3, 2];
  const x = random("x", [T, N, D]);
  const at = (t: number, n: number): number[] => x.values.slice((t * N + n) * D, (t * N + n + 1) * D);

  test("is the last time step", async () => {
    const { output } = apply(last(), x.tensor);
    expect(output.shape).toEqual([N, D]);
    near(
      await computed(output, [x]),
      [0, 1, 2].flatMap((n) => at(T - 1, n)),
      0,
    );
    await checkLayer(last(), x);
  });

  test("is each sequence's own last step where they have lengths", async () => {
    const lengths = [2, 4, 1];
    const mask = given(
      "mask",
      [T, N, 1],
      Array.from({ length: T * N }, (_, i) => (Math.floor(i / N) < lengths[i % N]! ? 1 : 0)),
    );
    const { output } = apply(last(), x.tensor, { mask: mask.tensor });
    near(
      await computed(output, [x, mask]),
      lengths.flatMap((length, n) => at(length - 1, n)),
      0,
    );
    await checkLayer(last(), x, { mask: mask.tensor, rest: [mask] });
  });

  test("refuses what has no time", () => {
    refused(() => apply(last(), random("x", [3, 2]).tensor), "last: wants sequences [T, N, D], not numbers [3, 2]");
  });
});
