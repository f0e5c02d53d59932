/** A second trainer of the same shapes: nothing is lowered or emitted again, and neither knows of the other. */
import { beforeEach, describe, expect, it, vi } from "vitest";
import { wasm } from "../../../src/backend/wasm/index.js";
import { emitProgram } from "../../../src/backend/wasm/module.js";
import { lstm } from "../../../src/cells/lstm.js";
import { current, type Tensor } from "../../../src/graph/language.js";
import { variable } from "../../../src/graph/variable.js";
import { dense, dropout, type Layer, oneHotEncoding, recurrent, sequential } from "../../../src/layers/index.js";
import { assembled, type ProgramOptions } from "../../../src/program/lower.js";
import { structureOf } from "../../../src/program/structure.js";
import type { TrainingData } from "../../../src/train/data.js";
import { crossEntropy } from "../../../src/train/losses.js";
import { adam } from "../../../src/train/optimizers.js";
import { createTrainer, type Trainer } from "../../../src/train/trainer.js";
import { sourceOf } from "../../train/source.js";

// What they do is as it was; the calls are counted. `lower` and `lowerShard` both end in planning.
const planned = vi.hoisted(() => vi.fn());
vi.mock(import("../../../src/program/passes/plan.js"), async (original) => {
  const module = await original();
  planned.mockImplementation(module.planMemory);
  return { ...module, planMemory: planned as typeof module.planMemory };
});
vi.mock(import("../../../src/backend/wasm/module.js"), async (original) => {
  const module = await original();
  return { ...module, emitProgram: vi.fn(module.emitProgram) };
});
const compile = vi.fn((bytes: Uint8Array<ArrayBuffer>) => WebAssembly.compile(bytes));

beforeEach(() => {
  planned.mockClear();
  vi.mocked(emitProgram).mockClear();
  compile.mockClear();
});
const made = () => ({
  lowered: planned.mock.calls.length,
  emitted: vi.mocked(emitProgram).mock.calls.length,
  compiled: compile.mock.calls.length,
});

const CLASSES = 5;
const [time, rows] = [4, 6];
const data: TrainingData = {
  train: () =>
    sourceOf([time, rows, 1], {
      inputType: "index",
      targetType: "index",
      length: 100,
      fill(index, inputs, targets) {
        for (let i = 0; i < inputs.length; i++)
          [inputs[i], targets[i]] = [(i * 7 + index) % CLASSES, (i * 3) % CLASSES];
        return index === 0;
      },
    }),
};
const model = (hidden: number): Layer =>
  sequential({
    input: oneHotEncoding(CLASSES),
    rnn: recurrent(lstm(hidden)),
    drop: dropout(0.2),
    head: dense(CLASSES),
  });

const trainerOf = (threads: number, seed = 1, hidden = 7): Promise<Trainer> =>
  createTrainer(model(hidden), {
    loss: crossEntropy(),
    optimizer: adam({ learningRate: 0.01 }),
    clip: { norm: 1 },
    bptt: { window: time },
    batch: rows,
    seed,
    backend: wasm({ threads, shareFrom: 0, compile }),
  });

async function step(trainer: Trainer, steps: number): Promise<number[]> {
  const losses: number[] = [];
  for await (const { loss } of trainer.fit(data, { steps })) losses.push(loss);
  return losses;
}

async function alone(threads: number, seed: number, hidden: number): Promise<unknown> {
  const trainer = await trainerOf(threads, seed, hidden);
  const losses = await step(trainer, 4);
  const parameters = await trainer.parameters();
  trainer.dispose();
  return { losses, parameters };
}

// Each number of threads with a size of its own: what one test has made, another would find.
describe.each([
  { threads: 1, hidden: 7 },
  { threads: 2, hidden: 8 },
])("on $threads threads", ({ threads, hidden }) => {
  it("lowers, emits and compiles once for all trainers of the same shapes", async () => {
    const first = await alone(threads, 1, hidden);
    expect(made()).toEqual({ lowered: 1, emitted: 1, compiled: 1 });
    expect(await alone(threads, 1, hidden)).toEqual(first);
    expect(await alone(threads, 2, hidden)).not.toEqual(first);
    expect(made()).toEqual({ lowered: 1, emitted: 1, compiled: 1 });
  });

  it("makes another program for another size", async () => {
    await alone(threads, 1, hidden + 10);
    expect(made()).toEqual({ lowered: 1, emitted: 1, compiled: 1 });
  });

  it("lets two trainers of one program train side by side, each as if it were alone", async () => {
    const expected = [await alone(threads, 3, hidden), await alone(threads, 4, hidden)];
    const trainers = [await trainerOf(threads, 3, hidden), await trainerOf(threads, 4, hidden)] as const;
    const losses: number[][] = [[], []];
    for (let steps = 1; steps <= 4; steps++)
      for (const [i, trainer] of trainers.entries()) losses[i]!.push(...(await step(trainer, steps)));
    const found = [];
    for (const [i, trainer] of trainers.entries())
      found.push({ losses: losses[i], parameters: await trainer.parameters() });
    expect(found).toEqual(expected);
    // One goes; the other goes on.
    trainers[0].dispose();
    expect(await step(trainers[1], 5)).toHaveLength(1);
    trainers[1].dispose();
  });
});

describe("the structure of a computation", () => {
  const computed = (of: (x: Tensor) => Tensor, name = "x", result = "y"): ProgramOptions => {
    const tensor = of(current(variable(name, [2, 3])));
    return { name: "test", results: [{ variable: variable(result, tensor.shape), tensor }] };
  };
  const key = (options: ProgramOptions): string => structureOf(options, {}).key;
  const plain = computed((x) => x.add(1).mul(x));

  it("is the same for the same ops on other variables of the same names and shapes", () => {
    const { variables } = structureOf(plain, {});
    expect(key(computed((x) => x.add(1).mul(x)))).toBe(key(plain));
    expect(variables.map(({ name }) => name)).toEqual(["x", "y"]);
  });

  it.each<[string, ProgramOptions]>([
    ["numbers", computed((x) => x.add(2).mul(x))],
    ["signs of zero", computed((x) => x.div(-0).mul(x))],
    ["wiring", computed((x) => x.add(1).mul(x.add(1)))],
    ["names of variables", computed((x) => x.add(1).mul(x), "z")],
    ["names of results", computed((x) => x.add(1).mul(x), "x", "z")],
    ["names of tensors", computed((x) => x.add(1).named("sum").mul(x))],
    ["guards", { ...plain, guards: [plain.results[0]!.tensor] }],
    ["being kept", { ...plain, keep: true }],
    ["the program's name", { ...plain, name: "other" }],
  ])("is another for other %s", (_, other) => {
    expect(key(other)).not.toBe(key(plain));
    expect(key(computed((x) => x.div(0).mul(x)))).not.toBe(key(computed((x) => x.div(-0).mul(x))));
  });

  it("tells one variable read twice from two that are alike", () => {
    const [a, b] = [variable("a", [3]), variable("a", [3])];
    const sum = (left: typeof a, right: typeof a): ProgramOptions => ({
      name: "sum",
      results: [{ variable: variable("y", [3]), tensor: current(left).add(current(right)) }],
    });
    expect(key(sum(a, b))).not.toBe(key(sum(a, a)));
    expect(key(sum(a, b))).toBe(key(sum(b, a)));
  });

  it("is the only thing that lowering sees: equal keys, equal programs", () => {
    const program = assembled({ ...computed((x) => x.add(1).mul(x)), commit: [], guards: [] });
    const again = assembled({ ...computed((x) => x.add(1).mul(x)), commit: [], guards: [] });
    expect(again).toEqual(program);
  });
});
