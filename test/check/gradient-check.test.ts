import { describe, expect, it } from "vitest";
import { defineCell } from "../../src/cells/cell.js";
import { gru } from "../../src/cells/gru.js";
import { lstm } from "../../src/cells/lstm.js";
import { rnn } from "../../src/cells/rnn.js";
import { gradientCheck } from "../../src/check/gradient-check.js";
import { gradientFlow } from "../../src/check/gradient-flow.js";
import { linear, sigmoid, stopGradient, tanh } from "../../src/graph/language.js";
import {
  batchNorm,
  dense,
  dropout,
  embedding,
  layerNorm,
  oneHotEncoding,
  recurrent,
  residual,
  sequential,
} from "../../src/layers/index.js";
import { constantOf, gateBias, orthogonal, pytorchUniform } from "../../src/parameters/initializers.js";
import { crossEntropy, mse } from "../../src/train/losses.js";

const cells = {
  rnn: rnn(3),
  "rnn, relu": rnn(3, { nonlinearity: "relu" }),
  "rnn without bias": rnn(2, { bias: false }),
  lstm: lstm(3),
  "lstm with projection": lstm(4, { projection: 2 }),
  "lstm with peepholes": lstm(3, { peepholes: true }),
  "lstm with projection and peepholes, without bias": lstm(4, { projection: 3, peepholes: true, bias: false }),
  gru: gru(3),
  "gru, reset before": gru(3, { reset: "before" }),
  "gru, reset before, without bias": gru(3, { reset: "before", bias: false }),
};

describe.each(Object.entries(cells))("%s", (_name, cell) => {
  it("has the gradient that finite differences give", async () => {
    const check = await gradientCheck(cell);
    expect(check.rows.map((row) => row.name)).toEqual(
      expect.arrayContaining([
        "input",
        "weight_ih_l0",
        "weight_hh_l0",
        ...Object.keys(cell.state).map((key) => `state ${key}_l0`),
      ]),
    );
    expect(check.worst.relativeError, check.worst.name).toBeLessThanOrEqual(1e-6);
    expect(check.rows.every((row) => row.kinks === 0)).toBe(true);
    expect(check.passed).toBe(true);
  });
});

const options = {
  stacked: { layers: 2 },
  bidirectional: { layers: 2, bidirectional: true },
  residual: { layers: 2, residual: true },
  "dropout between layers": { layers: 2, dropout: 0.4 },
  "variational dropout": { layers: 2, variationalDropout: { input: 0.3, recurrent: 0.3 } },
  "layer norm": { layers: 2, layerNorm: true },
  "learned initial state": { initialState: "learned" },
  "last output": { output: "last", bidirectional: true },
  "everything at once": {
    layers: 3,
    bidirectional: true,
    residual: true,
    dropout: 0.2,
    variationalDropout: 0.2,
    layerNorm: true,
    initialState: "learned",
    output: "last",
  },
} as const;

describe.each(Object.entries(options))("recurrent, %s", (_name, settings) => {
  it.each([
    ["full", undefined],
    ["of different lengths", [3, 1, 4]],
  ] as const)("has the right gradient for sequences %s", async (_lengths, lengths) => {
    const check = await gradientCheck(recurrent(gru(2), settings), {
      inputShape: [4, 3, 2],
      ...(lengths ? { lengths } : {}),
    });
    expect(check.worst.relativeError, check.worst.name).toBeLessThanOrEqual(1e-6);
    expect(check.passed).toBe(true);
  });
});

describe("models", () => {
  it.each([
    [
      "an embedding into an LSTM into classes",
      sequential(embedding(5, 3), recurrent(lstm(3)), dense(4)),
      { inputShape: [3, 2, 1], classes: 5, loss: crossEntropy({ labelSmoothing: 0.1 }) },
    ],
    [
      "one-hot characters",
      sequential(oneHotEncoding(5), recurrent(gru(3)), dense(5)),
      { inputShape: [3, 2, 1], classes: 5, loss: crossEntropy() },
    ],
    [
      "normalised dense layers",
      sequential(
        dense(4, { activation: "gelu" }),
        batchNorm(),
        residual(dense(4, { activation: "silu" })),
        layerNorm(),
        dropout(0.3),
        dense(2),
      ),
      { inputShape: [7, 3], loss: mse() },
    ],
  ] as const)("%s", async (_name, model, settings) => {
    const check = await gradientCheck(model, settings);
    expect(check.worst.relativeError, check.worst.name).toBeLessThanOrEqual(1e-6);
    expect(check.passed).toBe(true);
  });
});

describe("the check itself", () => {
  it("finds a wrong derivative, and says where", async () => {
    const wrong = defineCell({
      name: "wrong",
      state: { h: 2 },
      parameters: (input) => ({ w: [2, input], u: [2, 2] }),
      step: (x, { h }, { w, u }) => ({ h: tanh(linear(x, w).add(stopGradient(sigmoid(linear(h, u))))) }),
    });
    const check = await gradientCheck(wrong);
    expect(check.passed).toBe(false);
    expect(check.worst.relativeError).toBeGreaterThan(0.1);
    expect(check.rows.find((row) => row.name === "u_l0")!.relativeError).toBe(1);
  });

  it("asks a layer for its input shape", async () => {
    await expect(gradientCheck(dense(2))).rejects.toThrow("gradientCheck(dense): give the `inputShape`");
  });
});

describe("gradient flow", () => {
  const flow = async (cell: Parameters<typeof gradientFlow>[0]): Promise<Float64Array> =>
    (await gradientFlow(cell, { inputShape: [100, 8, 4] }))[0]!.norms;

  it("vanishes in a vanilla RNN, and not in an LSTM with forget bias 1", async () => {
    const vanilla = await flow(rnn(16));
    expect(vanilla[99]! / vanilla[0]!).toBeGreaterThan(1e8);
    const kept = lstm(16, { initial: { bias_ih: gateBias(pytorchUniform(16), 1, 4, 1), bias_hh: constantOf(0) } });
    const carried = await flow(kept);
    expect(carried[99]! / carried[0]!).toBeLessThan(1e16);
    expect(Math.log(carried[99]! / carried[0]!)).toBeLessThan(Math.log(vanilla[99]! / vanilla[0]!) / 2);
  });

  it("explodes where the recurrent weights are large", async () => {
    const norms = await flow(rnn(16, { nonlinearity: "relu", initial: { weight_hh: orthogonal({ gain: 2 }) } }));
    expect(norms[0]! / norms[99]!).toBeGreaterThan(1e3);
  });

  it("is the gradient at h_t: at the last step that of the loss itself", async () => {
    const norms = await flow(gru(4));
    expect(norms).toHaveLength(100);
    expect(norms[99]).toBeCloseTo(Math.sqrt(8 * 4 * (1 / 8) ** 2), 6);
  });

  it("is given for each layer and direction", async () => {
    const flows = await gradientFlow(
      sequential({ rnn: recurrent(gru(3), { layers: 2, bidirectional: true }), head: dense(1) }),
      { inputShape: [5, 2, 3] },
    );
    expect(flows.map(({ name }) => name)).toEqual(["rnn.h_l0", "rnn.h_l0_reverse", "rnn.h_l1", "rnn.h_l1_reverse"]);
    for (const { norms } of flows) expect(norms.every((norm) => norm > 0 || norm === 0)).toBe(true);
  });
});
