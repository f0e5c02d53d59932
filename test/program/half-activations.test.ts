/** Activations in 16 bits: which buffers they are, what that does to the results, how much memory it saves. */
import { describe, expect, it } from "vitest";
import { cellNames } from "../../src/models/text-model.js";
import { lower } from "../../src/program/lower.js";
import { halfActivations } from "../../src/program/passes/half-activations.js";
import { kernelsOf, type Program } from "../../src/program/program.js";
import { throughput } from "../../src/program/throughput.js";
import { arena, checkForm } from "./arena.js";
import { errorOf, type HalfCase, halfCase, type Numbers } from "./half-case.js";

const inHalves = ({ options }: HalfCase): Program => lower(options, { ...throughput, inHalves: halfActivations });
const bytesOf = ({ plan }: Program): number => 4 * plan.size + 2 * (plan.halves ?? 0);

function run(program: Program, { options, feeds }: HalfCase): Numbers {
  const memory = arena(program, feeds);
  memory.run();
  return new Map(options.results.map(({ variable }) => [variable.name, memory.variables.get(variable)!]));
}

describe.each(cellNames)("activations of %s in 16 bits", (cell) => {
  it("change losses and gradients by little, and only them: a gradient far below what 16 bits hold is as good", () => {
    for (const scale of [1, 1e-9]) {
      const made = halfCase(cell, { scale });
      const program = inHalves(made);
      checkForm(program);
      const [found, expected] = [run(program, made), run(lower(made.options, throughput), made)];
      expect(errorOf(found, expected, "loss")).toBeLessThan(2e-5);
      const error = errorOf(found, expected, "d");
      expect(error).toBeLessThan(2e-3);
      expect(error).toBeGreaterThan(1e-6);
    }
  });

  it("take less memory", () => {
    for (const layers of [2, 3]) {
      const made = halfCase(cell, { layers });
      const [before, after] = [bytesOf(lower(made.options, throughput)), bytesOf(inHalves(made))];
      expect(after / before).toBeLessThan({ rnn: 0.92, gru: 0.85, lstm: 0.75 }[cell]);
    }
  });

  it("are not what is handed on: the last states are copied from 32 bits", () => {
    const program = inHalves(halfCase(cell));
    const copies = kernelsOf(program).flatMap((kernel) => {
      if (kernel.kind !== "chain") return [];
      const stores = kernel.stores.filter(({ to }) => program.buffers[to.buffer]!.variable?.name.startsWith("final"));
      return stores.map(({ value }) => kernel.loads[value]!);
    });
    expect(copies.length).toBeGreaterThanOrEqual(2);
    for (const { buffer } of copies) expect(program.buffers[buffer]!.half ?? false).toBe(false);
  });
});

describe("without a loss", () => {
  it("or where all is to be looked at, there are none", () => {
    const { options } = halfCase("lstm");
    const { loss: _, ...rest } = options;
    for (const other of [rest, { ...options, keep: true }])
      expect(lower(other, { ...throughput, inHalves: halfActivations })).toEqual(lower(other, throughput));
  });
});
