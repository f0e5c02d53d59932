/** One training step in plain words: forward from the carried state, loss, gradients, value clipping, norm clipping, update. */
import type { Session } from "../../src/backend/contract.js";
import { constant, current } from "../../src/graph/language.js";
import { type Shape, sizeOf } from "../../src/graph/shape.js";
import { gradients } from "../../src/graph/sweep.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { batchVariable, type Variable, variable } from "../../src/graph/variable.js";
import type { Context } from "../../src/layers/layer.js";
import type { Assignment } from "../../src/program/lower.js";
import { clipByValue, clipCoefficient, globalNorm } from "../../src/train/clip.js";
import type { Loss } from "../../src/train/loss.js";
import type { Optimizer } from "../../src/train/optimizer.js";
import { contextOf } from "./context.js";

export interface StepOptions {
  readonly model: (input: Tensor, context: Context) => Tensor;
  readonly loss: Loss;
  /** Of the input and the target, indices. */
  readonly shape: Shape;
  readonly optimizer: Optimizer;
  readonly clip: { readonly value?: number | undefined; readonly norm?: number | undefined };
  /** The parameters before the first step. */
  readonly initial: (name: string, shape: Shape) => ArrayLike<number>;
}

export interface Step {
  readonly parameters: ReadonlyMap<string, Variable>;
  /** Takes the step. `norm`: of all gradients, after value clipping and before norm clipping. */
  run(input: Int32Array, target: Int32Array): Promise<{ readonly loss: number; readonly norm: number }>;
}

export async function createStep(session: Session, options: StepOptions): Promise<Step> {
  const { model, loss, shape, optimizer, clip, initial } = options;
  const parameters = new Map<string, Variable>();
  const weights: Tensor[] = [];
  const states = new Map<string, Variable>();
  const commit: Assignment[] = [];
  const context = contextOf({
    parameter(name, shape) {
      const made = { ...variable(name, shape), initial: initial(name, shape) };
      parameters.set(name, made);
      weights.push(current(made));
      return weights.at(-1)!;
    },
    state(name, shape) {
      const made = batchVariable(name, shape);
      states.set(name, made);
      return current(made);
    },
    carry: (name, tensor) => void commit.push({ variable: states.get(name)!, tensor }),
  });

  const [input, target] = [batchVariable("input", shape, "index"), batchVariable("target", shape, "index")];
  const mean = loss.apply(model(current(input), context), current(target));
  const raw = gradients(mean, weights);
  const bounded = clip.value === undefined ? raw : clipByValue(raw, clip.value);
  const norm = globalNorm(bounded);
  const coefficient = clip.norm === undefined ? constant(1) : clipCoefficient(norm, clip.norm);
  const g = bounded.map((gradient) => gradient.mul(coefficient));

  const scalarNames = ["learningRate", ...Object.keys(optimizer.scalars(1))];
  const scalars = new Map(scalarNames.map((name) => [name, variable(name, [1])]));
  const scalarTensors = Object.fromEntries([...scalars].map(([name, scalar]) => [name, current(scalar)]));
  for (const [i, parameter] of [...parameters.values()].entries()) {
    const slots = Object.entries(optimizer.slots).map(([slot, start]): [string, Variable] => {
      const filled = new Float64Array(sizeOf(parameter.shape)).fill(start);
      return [slot, { ...variable(`${parameter.name}.${slot}`, parameter.shape), initial: filled }];
    });
    const next = optimizer.update({
      name: parameter.name,
      w: weights[i]!,
      g: g[i]!,
      slots: Object.fromEntries(slots.map(([slot, value]) => [slot, current(value)])),
      scalars: scalarTensors,
    });
    commit.push({ variable: parameter, tensor: next.w });
    for (const [slot, value] of slots) commit.push({ variable: value, tensor: next.slots[slot]! });
  }

  const [lossResult, normResult] = [variable("loss", [1]), variable("norm", [1])];
  const results = [
    { variable: lossResult, tensor: mean },
    { variable: normResult, tensor: norm },
  ];
  const executable = await session.compile({ name: "step", results, commit, guards: [mean, norm] });
  let update = 0;
  return {
    parameters,
    async run(inputs, targets) {
      update++;
      session.write(input, inputs);
      session.write(target, targets);
      const values = { learningRate: optimizer.learningRate, ...optimizer.scalars(update) };
      for (const [name, value] of Object.entries(values)) session.write(scalars.get(name)!, [value]);
      executable.run();
      const result = await executable.settled();
      if (result !== "done") throw new Error(`update ${update} was ${result}: its loss or norm is not finite`);
      return { loss: (await session.read(lossResult))[0]!, norm: (await session.read(normResult))[0]! };
    },
  };
}
