/** Weights of 16 bits in time loops: off by as much as is said, and no more. */
import { afterAll, describe, expect, it } from "vitest";
import { evaluate } from "../../../src/backend/evaluate.js";
import { reference } from "../../../src/backend/reference/index.js";
import { webgpu } from "../../../src/backend/webgpu/index.js";
import { UserError } from "../../../src/errors.js";
import { current, sumAll, type Tensor } from "../../../src/graph/language.js";
import { gradients } from "../../../src/graph/sweep.js";
import { batchVariable, variable } from "../../../src/graph/variable.js";
import { recurrent } from "../../../src/layers/recurrent.js";
import { cellNamed, cellNames } from "../../../src/models/text-model.js";
import { createRng } from "../../../src/parameters/rng.js";
import { createNetwork } from "../../../src/train/network.js";
import { nullDevice, testDevice } from "./driver.js";
import { wholeLoops } from "./loop-cases.js";

const [T, N, D, H] = [12, 5, 6, 33];

/** Outputs of a layer, and the gradients of their squares' sum. */
function layerOf(cell: (typeof cellNames)[number]) {
  const rng = createRng(cell);
  const input = batchVariable("input", [T, N, D]);
  const network = createNetwork(recurrent(cellNamed(cell, H)), 1);
  const { output } = network.trace(current(input), { training: false, seed: current(variable("seed", [1], "index")) });
  const names = [...network.tensors.keys()];
  const derived = gradients(sumAll(output.mul(output)), [...network.tensors.values()]);
  const outputs: Record<string, Tensor> = Object.fromEntries([
    ["y", output],
    ...names.map((name, i) => [`d${name}`, derived[i]!] as const),
  ]);
  const data = Float64Array.from({ length: T * N * D }, () => Math.fround(rng.normal()));
  return { outputs, feeds: [[input, data]] as [typeof input, Float64Array][], names };
}

const onNothing = await nullDevice();
const device = await testDevice();
const hasHalves = device?.features.has("shader-f16") ?? false;
if (device && !hasHalves)
  console.warn("This driver of WebGPU has no shader-f16: weights in float16 are checked as text, not computed with.");
afterAll(() => onNothing.destroy());

describe("weights in float16", () => {
  it("are what the kernels of a loop read, in text that WebGPU takes", async () => {
    const session = await webgpu({ device: onNothing, weights: "float16" }).createSession();
    for (const cell of cellNames) {
      const { outputs } = layerOf(cell);
      const results = Object.entries(outputs).map(([name, tensor]) => ({
        variable: variable(name, tensor.shape),
        tensor,
      }));
      const { plan } = await session.compile({ name: cell, results });
      const loops = wholeLoops(plan);
      expect(loops).toHaveLength(2);
      for (const loop of loops) expect(loop.code).toContain("f32(halves[");
      const gates = { rnn: 1, gru: 3, lstm: 4 }[cell];
      expect(plan.halves).toBe(2 * gates * H * H);
    }
    session.dispose();
  });

  it("are refused by name where there are none", async () => {
    expect(() => webgpu({ weights: "float8" as "float16" })).toThrow(
      'webgpu: there is no weights "float8"; there are float32, float16',
    );
    const without = { features: new Set<string>() } as unknown as GPUDevice;
    const refused = webgpu({ device: without, weights: "float16" }).createSession();
    await expect(refused).rejects.toThrow(UserError);
    await expect(refused).rejects.toThrow(
      "weights or activations in float16 want a graphics device with the feature shader-f16",
    );
  });

  // SwiftShader has no shader-f16; Mesa's software driver and most graphics cards do.
  it.skipIf(!hasHalves).each([...cellNames])(
    "leave %s near the reference",
    async (cell) => {
      const { outputs, feeds } = layerOf(cell);
      const expected = await evaluate(reference(), outputs, feeds);
      const exact = await evaluate(webgpu({ device: device! }), outputs, feeds);
      const found = await evaluate(webgpu({ device: device!, weights: "float16" }), outputs, feeds);
      let [most, less] = [0, 0];
      for (const [name, values] of Object.entries(expected)) {
        const largest = Math.max(...Array.from(values, Math.abs));
        const errorOf = (other: ArrayLike<number>): number =>
          Array.from(values).reduce((worst, value, i) => Math.max(worst, Math.abs(value - other[i]!)), 0) / largest;
        most = Math.max(most, errorOf(found[name]!));
        less = Math.max(less, errorOf(exact[name]!));
      }
      expect(most).toBeLessThan(1e-3);
      expect(most).toBeGreaterThan(less);
    },
    90_000,
  );
});
