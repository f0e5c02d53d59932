/** Activations of 16 bits on the device: text that WebGPU takes, less memory, results off by as much as is said. */
import { afterAll, describe, expect, it } from "vitest";
import type { Backend, Memory } from "../../../src/backend/contract.js";
import { reference } from "../../../src/backend/reference/index.js";
import { webgpu } from "../../../src/backend/webgpu/index.js";
import { variable } from "../../../src/graph/variable.js";
import { cellNames } from "../../../src/models/text-model.js";
import { moveChain } from "../../../src/program/lowering/chains.js";
import type { View } from "../../../src/program/program.js";
import { errorOf, type HalfCase, halfCase, type Numbers } from "../../program/half-case.js";
import { nullDevice, testDevice } from "./driver.js";
import { stepwiseLoops, wholeLoops } from "./loop-cases.js";

const onNothing = await nullDevice();
const device = await testDevice();
const hasHalves = device?.features.has("shader-f16") ?? false;
if (device && !hasHalves)
  console.warn(
    "This driver of WebGPU has no shader-f16: activations in float16 are checked as text, not computed with.",
  );
afterAll(() => onNothing.destroy());

async function run(backend: Backend, { options, feeds }: HalfCase): Promise<Numbers> {
  const session = await backend.createSession();
  try {
    const executable = await session.compile(options);
    for (const [variable, data] of feeds) session.write(variable, data);
    executable.run();
    await executable.settled();
    const values = new Map<string, ArrayLike<number>>();
    for (const { variable } of options.results) values.set(variable.name, await session.read(variable));
    return values;
  } finally {
    session.dispose();
  }
}

describe("activations in float16", () => {
  it.each([...cellNames])("are what the kernels of %s read and write, in text that WebGPU takes", async (cell) => {
    for (const weights of ["float32", "float16"] as const)
      for (const stepwise of [false, true]) {
        const session = await webgpu({ device: onNothing, activations: "float16", weights, stepwise }).createSession();
        const { plan } = await session.compile(halfCase(cell).options);
        const loops = stepwise ? stepwiseLoops(plan).flatMap(({ body }) => body) : wholeLoops(plan);
        expect(wholeLoops(plan)).toHaveLength(stepwise ? 0 : 4);
        expect(loops.filter(({ code }) => code.includes("= toHalf(")).length).toBeGreaterThanOrEqual(2);
        expect(loops.filter(({ code }) => code.includes("f32(halves[")).length).toBeGreaterThanOrEqual(4);
        session.dispose();
      }
  });

  it("take less memory, which a session tells", async () => {
    const memoryOf = async (activations: "float32" | "float16"): Promise<Memory> => {
      const session = await webgpu({ device: onNothing, activations }).createSession();
      await session.compile(halfCase("lstm").options);
      const memory = session.memory();
      session.dispose();
      return memory;
    };
    const [before, after] = [await memoryOf("float32"), await memoryOf("float16")];
    expect(after.variables).toBe(before.variables);
    expect(after.temporaries / before.temporaries).toBeLessThan(0.75);
    expect(after.total).toBeLessThan(before.total);
  });

  it("are refused by name where there are none", async () => {
    expect(() => webgpu({ activations: "half" as "float16" })).toThrow(
      'webgpu: there is no activations "half"; there are float32, float16',
    );
    const without = { features: new Set<string>() } as unknown as GPUDevice;
    await expect(webgpu({ device: without, activations: "float16" }).createSession()).rejects.toThrow(
      "weights or activations in float16 want a graphics device with the feature shader-f16",
    );
  });

  it.skipIf(!hasHalves)("are bounded, and what is not finite stays so", async () => {
    const given = [Number.NaN, Infinity, -Infinity, 1e6, -1e6, 65504, 1 / 3, 2 ** -24, 1e-9, -0.1];
    const shape = [given.length];
    const [from, to] = [variable("from", shape), variable("to", shape)];
    const size = given.length;
    const buffer = { size, type: "float" } as const;
    const view = (id: number): View => ({ buffer: id, offset: 0, rows: 1, columns: size, stride: size, step: 0 });
    const session = await webgpu({ device: device!, activations: "float16" }).createSession();
    const executable = await session.compile({
      name: "there and back",
      buffers: [
        { ...buffer, id: 0, name: "from", kind: "variable", variable: from },
        { ...buffer, id: 1, name: "kept", kind: "temporary", half: true },
        { ...buffer, id: 2, name: "to", kind: "variable", variable: to },
      ],
      compute: [moveChain(view(0), view(1), "there"), moveChain(view(1), view(2), "back")],
      guards: [],
      commit: [],
      plan: { offsets: new Map([[1, 0]]), size: 0, halves: 16 },
    });
    session.write(from, given);
    executable.run();
    const [nan, ...rest] = await session.read(to);
    session.dispose();
    expect(nan).toBeNaN();
    const bounded = given.slice(1).map((x) => (Number.isFinite(x) ? Math.max(-65504, Math.min(65504, x)) : x));
    rest.forEach((x, i) => {
      const exact = bounded[i]!;
      if (!Number.isFinite(exact)) expect(x).toBe(exact);
      else expect(Math.abs(x - exact)).toBeLessThanOrEqual(Math.max(Math.abs(exact) * 2 ** -11, 2 ** -24));
    });
  });

  // SwiftShader has no shader-f16; Mesa's software driver and most graphics cards do.
  it.skipIf(!hasHalves).each(cellNames.flatMap((cell) => [[cell, "whole"] as const, [cell, "step by step"] as const]))(
    "leave %s near the reference, loops done %s",
    async (cell, how) => {
      for (const scale of [1, 1e-9]) {
        const made = halfCase(cell, { scale });
        const expected = await run(reference(), made);
        const stepwise = how !== "whole";
        const found = await run(webgpu({ device: device!, activations: "float16", stepwise }), made);
        const exact = await run(webgpu({ device: device!, stepwise }), made);
        expect(errorOf(found, expected, "loss")).toBeLessThan(2e-5);
        expect(errorOf(found, expected, "d")).toBeLessThan(2e-3);
        expect(errorOf(found, expected, "d")).toBeGreaterThan(errorOf(exact, expected, "d"));
      }
    },
    90_000,
  );
});
