import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/backend/contract.js";
import { evaluate } from "../../src/backend/evaluate.js";
import { reference } from "../../src/backend/reference/index.js";
import { wasm } from "../../src/backend/wasm/index.js";
import { UserError } from "../../src/errors.js";
import { current } from "../../src/graph/language.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { type Variable, variable } from "../../src/graph/variable.js";
import { lower } from "../../src/program/lower.js";
import { clipByValue, clipCoefficient, globalNorm } from "../../src/train/clip.js";
import type { Optimizer } from "../../src/train/optimizer.js";
import { adagrad, adam, adamw, rmsprop, sgd } from "../../src/train/optimizers.js";

const backends: readonly [string, Backend, number][] = [
  ["reference", reference(), 1e-13],
  ["wasm", wasm(), 2e-6],
];

const filled = (name: string, shape: readonly number[], value: number): Variable => ({
  ...variable(name, shape),
  initial: new Float64Array(shape.reduce((a, b) => a * b)).fill(value),
});

function clipByNorm(gradients: readonly Tensor[], maxNorm: number): { gradients: Tensor[]; norm: Tensor } {
  const norm = globalNorm(gradients);
  const coefficient = clipCoefficient(norm, maxNorm);
  return { gradients: gradients.map((gradient) => gradient.mul(coefficient)), norm };
}

/** The parameter after one update for each gradient. `gradient`: the next one from the parameter as it stands. */
async function updated(
  backend: Backend,
  optimizer: Optimizer,
  start: readonly number[],
  updates: number,
  gradient: (t: number, w: ArrayLike<number>) => readonly number[],
): Promise<number[]> {
  const shape = [start.length];
  const [w, g] = [{ ...variable("w", shape), initial: start }, variable("g", shape)];
  const slots = Object.entries(optimizer.slots).map(([name, value]) => [name, filled(name, shape, value)] as const);
  const scalars = ["learningRate", ...Object.keys(optimizer.scalars(1))].map(
    (name) => [name, variable(name, [1])] as const,
  );
  const values = (pairs: typeof slots) => Object.fromEntries(pairs.map(([name, from]) => [name, current(from)]));
  const next = optimizer.update({
    name: "w",
    w: current(w),
    g: current(g),
    slots: values(slots),
    scalars: values(scalars),
  });
  expect(Object.keys(next.slots).sort()).toEqual(slots.map(([name]) => name).sort());
  const commit = [
    { variable: w, tensor: next.w },
    ...slots.map(([name, slot]) => ({ variable: slot, tensor: next.slots[name]! })),
  ];
  const session = await backend.createSession();
  const executable = await session.compile(lower({ name: "update", results: [], commit }));
  for (let t = 1; t <= updates; t++) {
    session.write(g, gradient(t, await session.read(w)));
    const numbers: Readonly<Record<string, number>> = {
      learningRate: optimizer.learningRate,
      ...optimizer.scalars(t),
    };
    expect(Object.keys(numbers).sort()).toEqual(scalars.map(([name]) => name).sort());
    for (const [name, scalar] of scalars) session.write(scalar, [numbers[name]!]);
    executable.run();
    expect(await executable.settled()).toBe("done");
  }
  const result = [...(await session.read(w))];
  session.dispose();
  return result;
}

const start = [0.5, -1.25, 2, 0];
const given = [
  [0.3, -0.2, 1.5, 0],
  [0.1, 0.4, -2, 0],
  [-0.6, 0.05, 0.25, 1e-3],
  [0.2, -0.3, 0.75, -2e-3],
  [0.05, 0.1, -0.5, 4],
];
const γ = { learningRate: 0.1 };

/** The parameter after the five gradients above, computed by PyTorch 1.13 in float64 at lr 0.1 and the options named. */
const pytorch: readonly [string, Optimizer, readonly number[]][] = [
  ["sgd", sgd(γ), [0.495, -1.255, 2.0000000000000004, -0.39990000000000003]],
  [
    "sgd momentum=0.9",
    sgd({ ...γ, momentum: 0.9 }),
    [0.46235699999999996, -1.272208, 1.9132850000000001, -0.39989100000000005],
  ],
  [
    "sgd momentum=0.9 nesterov",
    sgd({ ...γ, momentum: 0.9, nesterov: true }),
    [0.46112129999999996, -1.2749872, 1.9219565, -0.7598019],
  ],
  [
    "sgd momentum=0.8 dampening=0.3 weight_decay=0.1",
    sgd({ ...γ, momentum: 0.8, dampening: 0.3, weightDecay: 0.1 }),
    [0.41010565455346504, -1.1320296736812174, 1.63638640910583, -0.27991801943],
  ],
  [
    "sgd dampening=0.5, which without momentum does nothing",
    sgd({ ...γ, dampening: 0.5 }),
    [0.495, -1.255, 2.0000000000000004, -0.39990000000000003],
  ],
  ["adagrad", adagrad(γ), [0.42150466972049155, -1.2132656288048793, 1.960177466656418, -0.1105572592725129]],
  [
    "adagrad lr_decay=0.2 weight_decay=0.1 initial_accumulator_value=0.5 eps=1e-3",
    adagrad({ ...γ, learningRateDecay: 0.2, weightDecay: 0.1, initialAccumulator: 0.5, epsilon: 1e-3 }),
    [0.46055445864900185, -1.2005174256828888, 1.9388022664092832, -0.05461731547685866],
  ],
  ["rmsprop", rmsprop(γ), [-0.28722473659420333, -0.8822262586018416, 1.6023171876832534, -1.104616946915395]],
  [
    "rmsprop alpha=0.9 eps=1e-3 weight_decay=0.1",
    rmsprop({ ...γ, alpha: 0.9, epsilon: 1e-3, weightDecay: 0.1 }),
    [0.21132751919030177, -0.889054496373138, 1.7844968787408908, -0.15496525688601537],
  ],
  [
    "rmsprop momentum=0.9",
    rmsprop({ ...γ, momentum: 0.9 }),
    [-2.8974462075017264, 0.341071190666364, 0.030400405412973883, -2.008691368678714],
  ],
  [
    "rmsprop centered",
    rmsprop({ ...γ, centered: true }),
    [-0.29440592345522765, -0.8782603674156471, 1.5973924929951, -1.113772554823976],
  ],
  [
    "rmsprop centered momentum=0.5",
    rmsprop({ ...γ, centered: true, momentum: 0.5 }),
    [-0.9939962858521689, -0.5247373565661331, 1.1368442784021615, -1.4193754881175984],
  ],
  ["adam", adam(γ), [0.34030339150633077, -1.2166449016286074, 1.919895411756056, -0.0898253302550791]],
  [
    "adam betas=(0.8, 0.95) eps=1e-3 weight_decay=0.1",
    adam({ ...γ, betas: [0.8, 0.95], epsilon: 1e-3, weightDecay: 0.1 }),
    [0.32053228036057196, -1.055947075699286, 1.8737790323117511, -0.05164112266958565],
  ],
  [
    "adam betas=(0.8, 0.6) amsgrad",
    adam({ ...γ, betas: [0.8, 0.6], amsgrad: true }),
    [0.3551080648675596, -1.2108599204197292, 1.9274385883739733, -0.07457656233045334],
  ],
  ["adamw", adamw(γ), [0.3384152490855592, -1.2106349087304393, 1.910249709867705, -0.08972622396634619]],
  [
    "adamw weight_decay=0.3 betas=(0.5, 0.6) amsgrad",
    adamw({ ...γ, weightDecay: 0.3, betas: [0.5, 0.6], amsgrad: true }),
    [0.33400119038409853, -1.0382292891313394, 1.671588209033217, -0.10025483903446811],
  ],
];

describe.each(backends)("optimisers on %s", (_name, backend, tolerance) => {
  it.each(pytorch)("%s goes where PyTorch goes", async (_, optimizer, expected) => {
    const actual = await updated(backend, optimizer, start, given.length, (t) => given[t - 1]!);
    expect(actual).toHaveLength(expected.length);
    for (const [i, value] of actual.entries()) expect(Math.abs(value - expected[i]!)).toBeLessThanOrEqual(tolerance);
  });

  it.each([
    ["sgd", sgd({ learningRate: 0.1 })],
    ["momentum", sgd({ learningRate: 0.02, momentum: 0.9 })],
    ["nesterov", sgd({ learningRate: 0.02, momentum: 0.9, nesterov: true })],
    ["adagrad", adagrad({ learningRate: 1 })],
    ["rmsprop", rmsprop({ learningRate: 0.01 })],
    ["adam", adam({ learningRate: 0.1 })],
    ["adamw", adamw({ learningRate: 0.1, weightDecay: 0 })],
  ])("%s finds the bottom of a bowl", async (_, optimizer) => {
    const [bottom, steepness] = [
      [3, -1],
      [1, 10],
    ];
    const gradient = (_t: number, w: ArrayLike<number>) => bottom!.map((b, i) => steepness![i]! * (w[i]! - b));
    const w = await updated(backend, optimizer, [0, 0], 500, gradient);
    for (const [i, value] of w.entries()) expect(value).toBeCloseTo(bottom![i]!, 1);
  });
});

it("starts from PyTorch's learning rates", () => {
  expect([sgd(), adagrad(), rmsprop(), adam(), adamw()].map(({ learningRate }) => learningRate)).toEqual([
    1e-3, 1e-2, 1e-2, 1e-3, 1e-3,
  ]);
});

it.each([
  [() => adam({ learningRate: -1 }), "adam: learningRate must be at least 0, not -1"],
  [() => adam({ learningRate: Number.NaN }), "adam: learningRate must be a finite number, not NaN"],
  [() => adamw({ betas: [0.9, 1] }), "adamw: betas must be two numbers of at least 0 and below 1, not [0.9,1]"],
  [() => adam({ betas: [0.9] as unknown as [number, number] }), "adam: betas must be two numbers"],
  [() => adam({ epsilon: -1e-8 }), "adam: epsilon must be at least 0, not -1e-8"],
  [() => sgd({ momentum: -0.9 }), "sgd: momentum must be at least 0, not -0.9"],
  [() => sgd({ nesterov: true }), "sgd: nesterov needs a momentum above 0 and no dampening, not momentum 0"],
  [() => sgd({ nesterov: true, momentum: 0.9, dampening: 0.1 }), "dampening 0.1"],
  [() => rmsprop({ weightDecay: -0.1 }), "rmsprop: weightDecay must be at least 0, not -0.1"],
  [() => adagrad({ learningRateDecay: -1 }), "adagrad: learningRateDecay must be at least 0, not -1"],
  [() => adam({ lr: 0.1 } as object), 'adam: there is no option "lr"; there are learningRate, betas'],
])("refuses bad options: %s", (make, message) => {
  expect(make).toThrow(UserError);
  expect(make).toThrow(message);
});

describe.each(backends)("clipping on %s", (_name, backend, tolerance) => {
  const [a, b] = [variable("a", [2]), variable("b", [2, 1])];
  const feeds = [
    [a, [3, -4]],
    [b, [12, 0]],
  ] as const;

  it.each([
    [5, [1.1538460650887643, -1.5384614201183524], [4.615384260355057, 0]],
    [13, [2.9999997692307874, -3.9999996923077163], [11.99999907692315, 0]],
    [20, [3, -4], [12, 0]],
    [1e-3, [0.00023076921301775288, -0.0003076922840236705], [0.0009230768520710115, 0]],
  ])("by a global norm of %s as PyTorch", async (maxNorm, da, db) => {
    const { gradients, norm } = clipByNorm([current(a), current(b)], maxNorm);
    const results = await evaluate(backend, { da: gradients[0]!, db: gradients[1]!, norm }, feeds);
    expect([...results.norm]).toEqual([13]);
    [...da, ...db].forEach((value, i) => {
      const actual = [...results.da, ...results.db][i]!;
      expect(Math.abs(actual - value)).toBeLessThanOrEqual(tolerance * Math.abs(value));
    });
  });

  it("leaves zero gradients alone", async () => {
    const { gradients, norm } = clipByNorm([current(a), current(b)], 1);
    const results = await evaluate(backend, { da: gradients[0]!, db: gradients[1]!, norm });
    expect([...results.da, ...results.db, ...results.norm]).toEqual([0, 0, 0, 0, 0]);
  });

  it("by value, each element by itself", async () => {
    const [da, db] = clipByValue([current(a), current(b)], 3.5);
    const results = await evaluate(backend, { da: da!, db: db! }, feeds);
    expect([...results.da, ...results.db]).toEqual([3, -3.5, 3.5, 0]);
  });

  it("does not hide a gradient that is not a number", async () => {
    const { gradients, norm } = clipByNorm([current(a)], 1);
    const results = await evaluate(backend, { da: gradients[0]!, norm, v: clipByValue([current(a)], 1)[0]! }, [
      [a, [Number.NaN, 1]],
    ]);
    expect(results.norm[0]).toBeNaN();
    expect(results.da[0]).toBeNaN();
    expect(results.v[0]).toBeNaN();
  });
});

it("the norm of no gradients is 0", async () => {
  expect([...(await evaluate(reference(), { norm: globalNorm([]) })).norm]).toEqual([0]);
});

it("refuses limits that are no limits", () => {
  expect(() => clipByNorm([], 0)).toThrow("clipping: the largest norm must be above 0, not 0");
  expect(() => clipByValue([], Number.NaN)).toThrow("clipping: the largest value must be above 0, not NaN");
});
