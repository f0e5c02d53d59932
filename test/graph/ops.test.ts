/** Every op of the table: its derivative against finite differences, each input by itself, at odd sizes. */
import { describe, expect, it } from "vitest";
import { evaluate } from "../../src/backend/evaluate.js";
import { reference } from "../../src/backend/reference/index.js";
import { UserError } from "../../src/errors.js";
import {
  abs,
  activations,
  concat,
  constant,
  crossEntropyRows,
  erf,
  exp,
  expand,
  expm1,
  gather,
  layerNormalize,
  linear,
  log,
  log1p,
  logSoftmax,
  matmul,
  maximum,
  meanColumns,
  minimum,
  oneHot,
  reshape,
  select,
  slice,
  sliceRows,
  softmax,
  split,
  sqrt,
  stopGradient,
  sumAll,
  sumColumns,
  sumRows,
  transpose,
} from "../../src/graph/language.js";
import { scatter } from "../../src/graph/ops/rows.js";
import { opTable } from "../../src/graph/ops/table.js";
import { isPointwise, type PointwiseName, pointwiseNames } from "../../src/graph/pointwise.js";
import { pointwise, type Tensor } from "../../src/graph/tensor.js";
import { gradientErrors, type InputSpec, worstGradientError } from "./numeric.js";

const tolerance = 1e-7;
const sizes = [1, 3, 7, 65];
type Tensors = Readonly<Record<string, Tensor>>;

describe("pointwise", () => {
  /** Where each function is smooth and well conditioned; away from kinks and poles. */
  const ranges: Partial<Record<PointwiseName, readonly [number, number][]>> = {
    log: [[0.3, 3]],
    sqrt: [[0.3, 3]],
    log1p: [[-0.5, 2]],
    abs: [
      [0.1, 2],
      [-2, -0.1],
    ],
    div: [[0.5, 2]],
    max: [[-2, 2]],
    min: [[-2, 2]],
    sigmoid: [
      [-3, 3],
      [8, 30],
    ],
    tanh: [[-3, 3]],
    erf: [
      [-2, 2],
      [2, 4],
    ],
    softplus: [
      [-5, 5],
      [20, 30],
    ],
  };
  const withoutSlope: readonly PointwiseName[] = ["sign", "floor", "less", "lessEqual", "equal"];

  for (const name of pointwiseNames.filter((each) => !withoutSlope.includes(each) && each !== "select")) {
    it(name, async () => {
      for (const range of ranges[name] ?? [[-1.5, 1.5] as const]) {
        const binary = opTable[name].derivative!.length === 2;
        const x: InputSpec = { shape: [5, 7], range };
        const inputs: Record<string, InputSpec> = binary ? { x, y: { shape: [5, 7], range } } : { x };
        expect(await worstGradientError(inputs, (t) => pointwise(name, ...Object.values(t)))).toBeLessThan(tolerance);
      }
    });
  }

  it("select, on either side", async () => {
    const inputs = {
      c: { shape: [4, 3], values: [1, 0, 0, 1, 1, 0, 0.5, 0, 1, 1, 0, 0] },
      a: { shape: [4, 3] },
      b: { shape: [4, 3] },
    };
    const errors = await gradientErrors({ a: inputs.a, b: inputs.b }, (t) => {
      const c = constant(1, [4, 3]);
      return select(c.sub(t.a!.mul(0)), t.a!, t.b!).add(select(c.mul(0), t.a!, t.b!).mul(2));
    });
    expect(Math.max(...errors.map(({ error }) => error))).toBeLessThan(tolerance);
  });

  it("gives no slope to steps", async () => {
    for (const name of withoutSlope) {
      const errors = await gradientErrors({ x: { shape: [3, 5] }, y: { shape: [3, 5] } }, ({ x, y }) =>
        (name === "sign" || name === "floor" ? pointwise(name, x!) : pointwise(name, x!, y!)).add(x!.mul(0)),
      );
      expect(errors.map(({ error, analytic }) => [error, analytic])).toEqual([
        [0, 0],
        [0, 0],
      ]);
    }
  });

  it("never lets the branch not taken leak its NaN", async () => {
    const errors = await gradientErrors({ x: { shape: [2, 3], range: [0.5, 1] } }, ({ x }) =>
      select(pointwise("less", x!, 0), log(x!.neg()), x!.mul(x!)),
    );
    expect(errors[0]!.error).toBeLessThan(tolerance);
  });
});

describe("activations", () => {
  for (const [name, activation] of Object.entries(activations))
    it(name, async () => {
      for (const range of [
        [0.1, 3],
        [-3, -0.1],
      ] as const)
        expect(await worstGradientError({ x: { shape: [3, 7], range } }, ({ x }) => activation(x!))).toBeLessThan(
          tolerance,
        );
    });
});

describe("broadcasting", () => {
  const cases: readonly [InputSpec["shape"], InputSpec["shape"]][] = [
    [[3, 7], [7]],
    [
      [3, 7],
      [1, 7],
    ],
    [
      [3, 7],
      [3, 1],
    ],
    [
      [3, 7],
      [1, 1],
    ],
    [[3, 7], [1]],
    [[5, 3, 7], [7]],
    [
      [5, 3, 7],
      [3, 7],
    ],
    [
      [5, 3, 7],
      [3, 1],
    ],
    [
      [5, 3, 7],
      [1, 3, 7],
    ],
    [
      [5, 3, 7],
      [1, 3, 1],
    ],
    [
      [5, 3, 7],
      [5, 3, 1],
    ],
    [
      [5, 3, 7],
      [1, 1, 7],
    ],
    [[5, 3, 7], [1]],
    [
      [5, 3, 1],
      [3, 7],
    ],
    [[3, 1], [7]],
    [[5, 3, 1], [7]],
    [
      [5, 1, 7],
      [1, 7],
    ],
    [[1, 1], [7]],
    [[1], [1, 1, 1]],
    [
      [65, 3, 1],
      [3, 1],
    ],
    [
      [3, 1],
      [1, 65],
    ],
  ];
  for (const [a, b] of cases)
    it(`[${a}] with [${b}]`, async () => {
      const make = ({ a: x, b: y }: Tensors): Tensor => x!.mul(y!).add(y!.div(x!)).sub(y!);
      const range = [0.5, 1.5] as const;
      expect(await worstGradientError({ a: { shape: a, range }, b: { shape: b, range } }, make)).toBeLessThan(
        tolerance,
      );
      const swapped = ({ a: x, b: y }: Tensors): Tensor => make({ a: y!, b: x! });
      expect(await worstGradientError({ a: { shape: a, range }, b: { shape: b, range } }, swapped)).toBeLessThan(
        tolerance,
      );
    });

  const refused: readonly [InputSpec["shape"], InputSpec["shape"], string][] = [
    [[3, 7], [3], "add: shapes [3, 7] and [3] do not fit together"],
    [[3, 7], [2, 7], "add: shapes [3, 7] and [2, 7] do not fit together"],
    [[5, 3, 7], [5, 1, 7], "add: shapes [5, 3, 7] and [5, 1, 7] do not fit together"],
    [[5, 3, 7], [5, 1, 1], "add: shapes [5, 3, 7] and [5, 1, 1] do not fit together"],
    [[5, 3, 7], [5, 7], "add: shapes [5, 3, 7] and [5, 7] do not fit together"],
    [[5, 1, 7], [3, 7], "add: shapes [5, 1, 7] and [3, 7] do not fit together"],
    [[3, 7], [3, 2], "add: shapes [3, 7] and [3, 2] do not fit together"],
  ];
  for (const [a, b, message] of refused)
    it(`refuses [${a}] with [${b}]`, () => {
      expect(() => constant(1, a).add(constant(2, b))).toThrow(new UserError(message));
      expect(() => constant(1, b).add(constant(2, a))).toThrow(UserError);
    });

  it("expands", async () => {
    for (const [from, to] of [
      [[7], [3, 7]],
      [
        [3, 1],
        [5, 3, 7],
      ],
      [[1], [5, 3, 7]],
      [
        [3, 7],
        [5, 3, 7],
      ],
      [
        [5, 3, 1],
        [5, 3, 7],
      ],
    ])
      expect(
        await worstGradientError({ x: { shape: from! } }, ({ x }) => expand(x!, to!).mul(expand(x!, to!))),
      ).toBeLessThan(tolerance);
  });

  it("refuses to expand to what is no repetition, and to sum down from it", () => {
    for (const [from, to] of [
      [
        [3, 1, 1],
        [3, 2, 1],
      ],
      [
        [2, 3],
        [2, 4],
      ],
      [[6], [5, 3]],
      [[2, 3], [3]],
    ] as const)
      expect(() => expand(constant(1, from), to)).toThrow(UserError);
    expect(() => expand(constant(1, [3, 1, 1]), [3, 2, 1])).toThrow(
      new UserError("expand: shapes [3, 1, 1] and [3, 2, 1] do not fit together"),
    );
    for (const [from, to] of [
      [
        [2, 2, 1],
        [2, 1, 1],
      ],
      [
        [2, 3],
        [2, 1],
      ],
      [
        [6, 4, 3],
        [5, 3],
      ],
      [[4, 3], [1]],
    ] as const)
      expect(() => sumRows(constant(1, from), to)).toThrow(UserError);
    expect(() => sumRows(constant(1, [4, 3]), [1])).toThrow(
      new UserError("sumRows: [4, 3] has not the features of [1]"),
    );
  });
});

describe("matrix products", () => {
  for (const n of sizes)
    it(`size ${n}: all four transpositions`, async () => {
      const [rows, depth, columns] = [n, 3, n === 65 ? 2 : n + 1];
      for (const transposeA of [false, true])
        for (const transposeB of [false, true]) {
          const a = { shape: transposeA ? [depth, rows] : [rows, depth] };
          const b = { shape: transposeB ? [columns, depth] : [depth, columns] };
          const error = await worstGradientError({ a, b }, (t) => matmul(t.a!, t.b!, { transposeA, transposeB }));
          expect(error, `transposeA ${transposeA} transposeB ${transposeB}`).toBeLessThan(tolerance);
        }
    });

  it("of sequences and vectors with matrices", async () => {
    expect(
      await worstGradientError({ a: { shape: [2, 3, 5] }, b: { shape: [5, 4] } }, ({ a, b }) => matmul(a!, b!)),
    ).toBeLessThan(tolerance);
    expect(
      await worstGradientError({ a: { shape: [5] }, b: { shape: [5, 4] } }, ({ a, b }) => [matmul(a!, b!), a!.mul(a!)]),
    ).toBeLessThan(tolerance);
    expect(
      await worstGradientError({ a: { shape: [2, 3, 5] }, b: { shape: [2, 3, 4] } }, ({ a, b }) => [
        matmul(a!, b!, { transposeA: true }),
        a!.mul(a!),
        b!.mul(b!),
      ]),
    ).toBeLessThan(tolerance);
    expect(
      await worstGradientError({ a: { shape: [2, 3, 5] }, b: { shape: [6, 4] } }, ({ a, b }) => [
        matmul(a!, b!, { transposeA: true }),
        a!.mul(a!),
        b!.mul(b!),
      ]),
    ).toBeLessThan(tolerance);
    expect(
      await worstGradientError({ a: { shape: [3, 5] }, b: { shape: [2, 2, 5] } }, ({ a, b }) => [
        matmul(a!, b!, { transposeB: true }),
        b!.mul(b!),
      ]),
    ).toBeLessThan(tolerance);
  });

  it("of a value with itself", async () => {
    expect(
      await worstGradientError({ a: { shape: [3, 3] } }, ({ a }) => matmul(matmul(a!, a!), a!, { transposeB: true })),
    ).toBeLessThan(tolerance);
  });

  it("linear, with and without bias, and as a lookup of one-hot rows", async () => {
    const inputs = { x: { shape: [2, 3, 5] }, w: { shape: [4, 5] }, b: { shape: [4] } };
    expect(await worstGradientError(inputs, ({ x, w, b }) => linear(x!, w!, b!).add(linear(x!, w!)))).toBeLessThan(
      tolerance,
    );
    const looked = { ids: { shape: [2, 3, 1], classes: 5 }, w: { shape: [4, 5] }, b: { shape: [4] } };
    expect(await worstGradientError(looked, ({ ids, w, b }) => linear(oneHot(ids!, 5), w!, b!))).toBeLessThan(
      tolerance,
    );
  });

  it("refuses what does not fit, in words", () => {
    expect(() => matmul(constant(1, [2, 3]), constant(1, [4, 5]))).toThrow(
      new UserError("matmul: [2, 3] · [4, 5]: the inner sizes 3 and 4 differ"),
    );
    expect(() => matmul(constant(1, [2, 3]), constant(1, [4, 5]), { transposeB: true })).toThrow(
      new UserError("matmul: [2, 3] · [4, 5]ᵀ: the inner sizes 3 and 5 differ"),
    );
    expect(() => linear(constant(1, [2, 3]).named("x"), constant(1, [4, 5]).named("weight_ih"))).toThrow(
      new UserError("linear: x of shape [2, 3] has 3 features, but weight_ih of shape [4, 5] takes 5"),
    );
  });
});

describe("rearrangements", () => {
  it("transpose", async () => {
    for (const n of sizes)
      expect(await worstGradientError({ x: { shape: [n, 3] } }, ({ x }) => [transpose(x!), x!.mul(x!)])).toBeLessThan(
        tolerance,
      );
    expect(await worstGradientError({ x: { shape: [2, 3, 5] } }, ({ x }) => [transpose(x!), x!.mul(x!)])).toBeLessThan(
      tolerance,
    );
  });

  it("slices: apart, side by side with gaps, overlapping, of slices", async () => {
    const x = { shape: [3, 7] };
    expect(await worstGradientError({ x }, ({ x }) => slice(x!, 2, 3))).toBeLessThan(tolerance);
    expect(await worstGradientError({ x }, ({ x }) => [slice(x!, 0, 2).mul(3), slice(x!, 5, 1)])).toBeLessThan(
      tolerance,
    );
    expect(
      await worstGradientError({ x }, ({ x }) => [
        slice(x!, 0, 4),
        slice(x!, 2, 4).mul(2),
        slice(x!, 3, 1),
        x!.mul(x!),
      ]),
    ).toBeLessThan(tolerance);
    expect(await worstGradientError({ x }, ({ x }) => slice(slice(x!, 1, 5), 2, 2))).toBeLessThan(tolerance);
    expect(
      await worstGradientError({ x: { shape: [2, 3, 6] } }, ({ x }) => split(x!, 3).reduce((a, b) => a.mul(b))),
    ).toBeLessThan(tolerance);
  });

  it("concat: of different widths, of the same tensor twice, of slices back in another order", async () => {
    const inputs = { a: { shape: [3, 2] }, b: { shape: [3, 5] } };
    expect(await worstGradientError(inputs, ({ a, b }) => concat([a!, b!, a!.mul(a!)]))).toBeLessThan(tolerance);
    expect(await worstGradientError(inputs, ({ a }) => concat([a!, a!]))).toBeLessThan(tolerance);
    expect(
      await worstGradientError(inputs, ({ b }) => concat([slice(b!, 3, 2), slice(b!, 0, 3)]).mul(b!)),
    ).toBeLessThan(tolerance);
    expect(
      await worstGradientError({ a: { shape: [2, 3, 2] }, b: { shape: [2, 3, 1] } }, ({ a, b }) => concat([b!, a!])),
    ).toBeLessThan(tolerance);
  });

  it("sliceRows, and padRows as its derivative", async () => {
    for (const shape of [
      [7, 3],
      [5, 2, 3],
    ])
      expect(
        await worstGradientError({ x: { shape } }, ({ x }) => [
          sliceRows(x!, 1, 3),
          sliceRows(x!, 2, 2).mul(sliceRows(x!, 0, 2)),
        ]),
      ).toBeLessThan(tolerance);
  });

  it("reshape", async () => {
    expect(await worstGradientError({ x: { shape: [2, 3, 5] } }, ({ x }) => reshape(x!.mul(x!), [6, 5]))).toBeLessThan(
      tolerance,
    );
  });

  it("of constants", async () => {
    const two = constant(2, [2, 6]);
    expect(
      await worstGradientError({ x: { shape: [2, 3] } }, ({ x }) => [
        slice(two, 1, 3).mul(x!),
        sliceRows(constant(3, [5, 3]), 1, 2).mul(x!),
        reshape(constant(4, [1, 2, 3]), [2, 3]).mul(x!),
        transpose(constant(5, [3, 2])).mul(x!),
        concat([constant(6, [2, 1]), slice(x!, 0, 2)]).mul(x!),
      ]),
    ).toBeLessThan(tolerance);
  });

  it("refuses what lies outside, in words", () => {
    const x = constant(1, [3, 7]);
    expect(() => slice(x, 5, 3)).toThrow(new UserError("slice: columns 5 to 7 are not all within [3, 7]"));
    expect(() => sliceRows(x, 3, 1)).toThrow(new UserError("sliceRows: rows 3 to 3 are not all within [3, 7]"));
    expect(() => concat([x, constant(1, [2, 7])])).toThrow(
      new UserError("concat: shapes [3, 7] and [2, 7] have different rows"),
    );
    expect(() => concat([])).toThrow(UserError);
    expect(() => split(x, 2)).toThrow(new UserError("split: 7 features of [3, 7] do not divide into 2 equal parts"));
    expect(() => reshape(x, [7, 3])).toThrow(UserError);
  });
});

describe("sums", () => {
  for (const n of sizes)
    it(`over features, rows and everything of [3, ${n}]`, async () => {
      const inputs = { x: { shape: [3, n] } };
      expect(await worstGradientError(inputs, ({ x }) => sumColumns(x!.mul(x!)))).toBeLessThan(tolerance);
      expect(await worstGradientError(inputs, ({ x }) => sumRows(x!.mul(x!)))).toBeLessThan(tolerance);
      expect(await worstGradientError(inputs, ({ x }) => sumRows(x!.mul(x!), [1, n]))).toBeLessThan(tolerance);
      expect(await worstGradientError(inputs, ({ x }) => sumAll(x!.mul(x!)))).toBeLessThan(tolerance);
      expect(await worstGradientError(inputs, ({ x }) => meanColumns(exp(x!)).mul(x!))).toBeLessThan(tolerance);
    });

  it("over time", async () => {
    expect(
      await worstGradientError({ x: { shape: [5, 3, 2] } }, ({ x }) => [sumRows(x!.mul(x!), [3, 2]), sumRows(x!)]),
    ).toBeLessThan(tolerance);
  });

  it("of squares that something else uses as well", async () => {
    expect(
      await worstGradientError({ x: { shape: [3, 2] } }, ({ x }) => {
        const square = x!.mul(x!);
        return sumAll(square)
          .mul(square)
          .add(sumAll(x!.mul(x!)));
      }),
    ).toBeLessThan(tolerance);
  });
});

describe("rows", () => {
  for (const n of sizes)
    it(`softmax, log-softmax and cross-entropy of ${n} classes`, async () => {
      const x = { shape: [5, n], range: [-2, 2] as const };
      expect(await worstGradientError({ x }, ({ x }) => softmax(x!))).toBeLessThan(tolerance);
      expect(await worstGradientError({ x }, ({ x }) => logSoftmax(x!))).toBeLessThan(tolerance);
      const target = { shape: [5, 1], classes: n };
      const weights = { shape: [n], range: [0.5, 2] as const };
      expect(await worstGradientError({ x, target }, ({ x, target }) => crossEntropyRows(x!, target!))).toBeLessThan(
        tolerance,
      );
      expect(
        (
          await gradientErrors({ x, target, weights }, ({ x, target, weights }) =>
            crossEntropyRows(x!, target!, { weights: weights!, smoothing: 0.1 }),
          )
        )[0]!.error,
      ).toBeLessThan(tolerance);
    });

  it("cross-entropy gives nothing for a target outside the classes", async () => {
    const errors = await gradientErrors(
      { x: { shape: [3, 4] }, target: { shape: [3, 1], classes: 4, values: [-1, 2, 4] } },
      ({ x, target }) => crossEntropyRows(x!, target!),
    );
    expect(errors[0]!.error).toBeLessThan(tolerance);
  });

  it("gather and scatter", async () => {
    const table = { shape: [5, 3] };
    const index = { shape: [7, 1], classes: 5 };
    expect(
      await worstGradientError({ table, index }, ({ table, index }) =>
        gather(table!, index!).mul(gather(table!, index!)),
      ),
    ).toBeLessThan(tolerance);
    expect(
      await worstGradientError({ x: { shape: [7, 3] }, index }, ({ x, index }) => scatter(x!.mul(x!), index!, [5, 3])),
    ).toBeLessThan(tolerance);
    expect(
      await worstGradientError(
        { table, index: { shape: [4, 1], classes: 5, values: [-1, 4, 5, 0] } },
        ({ table, index }) => gather(table!, index!),
      ),
    ).toBeLessThan(tolerance);
  });

  it("layer norm, with and without gain and bias", async () => {
    const inputs = { x: { shape: [3, 7] }, gain: { shape: [7] }, bias: { shape: [7] } };
    expect(
      await worstGradientError(inputs, ({ x, gain, bias }) => [layerNormalize(x!, gain!, bias!), layerNormalize(x!)]),
    ).toBeLessThan(1e-6);
  });
});

describe("the sweep", () => {
  it("adds the gradients of a value used in several ways", async () => {
    expect(
      await worstGradientError({ x: { shape: [3, 5] }, w: { shape: [5, 5] } }, ({ x, w }) => {
        const y = matmul(x!, w!);
        const z = pointwise("tanh", y)
          .add(slice(concat([y, x!]), 2, 5))
          .mul(y);
        return [z, sumColumns(z).mul(y), sumRows(y)];
      }),
    ).toBeLessThan(tolerance);
  });

  it("gives zeros for a tensor without influence, and through a choice of the larger", async () => {
    const errors = await gradientErrors({ x: { shape: [2, 3] }, unused: { shape: [4] } }, ({ x }) =>
      maximum(x!, 0.1).add(minimum(x!.mul(2), x!.neg())),
    );
    expect(errors.find(({ name }) => name === "unused")).toMatchObject({ error: 0, analytic: 0, numeric: 0 });
    expect(errors[0]!.error).toBeLessThan(tolerance);
  });

  it("stops where it is told to", async () => {
    const { gradients } = await import("../../src/graph/sweep.js");
    const x = constant(3, [2, 2])
      .mul(1)
      .add(constant(0, [2, 2]).add(1));
    const [dx] = gradients(sumAll(stopGradient(x).mul(x)), [x]);
    const { d } = await evaluate(reference(), { d: dx! });
    expect([...d]).toEqual([4, 4, 4, 4]); // not 8: one of the two factors counts as a constant
  });

  it("differentiates derivatives: the gradient of a gradient's norm", async () => {
    const { gradients } = await import("../../src/graph/sweep.js");
    expect(
      await worstGradientError({ x: { shape: [2, 3] }, w: { shape: [4, 3] } }, ({ x, w }) => {
        const y = sumAll(pointwise("sigmoid", linear(x!, w!)).mul(pointwise("tanh", linear(x!, w!))));
        const [dx] = gradients(y, [x!]);
        return sumAll(dx!.mul(dx!));
      }),
    ).toBeLessThan(1e-6);
  });
});

it("every op of the table with a derivative is named in this file's checks", () => {
  const elsewhere = [
    "loop",
    "loopOutput",
    "state",
    "stepInput",
    "variable",
    "constant",
    "random",
    "crossEntropyGradient",
    "ownRows",
    "allReduce",
  ];
  const checked = [
    "matmul",
    "transpose",
    "slice",
    "concat",
    "sliceRows",
    "padRows",
    "reshape",
    "stopGradient",
    "expand",
    "sumColumns",
    "maxColumns",
    "sumRows",
    "sumAll",
    "softmax",
    "logSoftmax",
    "crossEntropy",
    "gather",
    "scatter",
  ];
  expect(
    Object.keys(opTable)
      .filter((name) => !isPointwise(name))
      .sort(),
  ).toEqual([...checked, ...elsewhere].sort());
  void [abs, erf, expm1, log1p, sqrt];
});
