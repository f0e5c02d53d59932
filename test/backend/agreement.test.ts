/** One suite for all backends: every op of the table, forward and backward, outside and inside a loop, with odd shapes, against the reference. */
import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/backend/contract.js";
import { evaluate } from "../../src/backend/evaluate.js";
import { reference } from "../../src/backend/reference/index.js";
import { wasm } from "../../src/backend/wasm/index.js";
import { webgpu } from "../../src/backend/webgpu/index.js";
import * as language from "../../src/graph/language.js";
import { opTable } from "../../src/graph/ops/table.js";
import { pointwiseNames } from "../../src/graph/pointwise.js";
import { gradients } from "../../src/graph/sweep.js";
import { pointwise, type Tensor } from "../../src/graph/tensor.js";
import { type Variable, variable } from "../../src/graph/variable.js";
import { createRng, type Rng } from "../../src/parameters/rng.js";
import { inOneSession } from "./one-session.js";
import { nullDevice, testBackend } from "./webgpu/driver.js";

const graphics = await testBackend();
/** Without a driver kernels are checked all the same, and not run. */
const checked = graphics ? undefined : await webgpu({ device: await nullDevice() }).createSession();
const backends: Backend[] = [
  wasm({ threads: 1 }),
  wasm({ threads: 1, relaxedSimd: "off" }),
  ...(graphics ? [graphics] : []),
].map(inOneSession);
/** Of the largest value of each result. */
const tolerance = 2e-5;
const sizes = [1, 3, 7, 65];
/** Rows that threads share: whatever has as many is taken for a batch, weights too. The results must be the same all the same. */
const batch = 7;
const threads = inOneSession(wasm({ threads: 3, shareFrom: 0 }));

/** Fresh variables with numbers: what one case computes with. */
interface Numbers {
  float(name: string, shape: readonly number[], make?: (rng: Rng) => number): Tensor;
  index(name: string, shape: readonly number[], below: number): Tensor;
  readonly feeds: [Variable, ArrayLike<number>][];
  readonly floats: Tensor[];
}

const marked = (made: Variable): Variable => (made.shape.at(-2) === batch ? { ...made, batch: true } : made);

function numbers(seed: number): Numbers {
  const rng = createRng(seed);
  const feeds: [Variable, ArrayLike<number>][] = [];
  const floats: Tensor[] = [];
  const fill = (shape: readonly number[], make: () => number): Float64Array =>
    Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, make);
  return {
    feeds,
    floats,
    float(name, shape, make = (from) => from.normal()) {
      const made = marked(variable(name, shape));
      // What float32 can hold, so that backends start from the same numbers.
      feeds.push([made, fill(shape, () => Math.fround(make(rng)))]);
      const tensor = language.current(made);
      floats.push(tensor);
      return tensor;
    },
    index(name, shape, below) {
      const made = marked(variable(name, shape, "index"));
      feeds.push([made, fill(shape, () => Math.floor(rng.uniform() * below))]);
      return language.current(made);
    },
  };
}

async function agree(seed: number, build: (numbers: Numbers) => Tensor): Promise<void> {
  const given = numbers(seed);
  const y = build(given);
  const weights = given.float("dy", y.shape);
  const loss = language.sumAll(y.mul(weights));
  const wrt = given.floats.filter((tensor) => tensor !== weights);
  const outputs = Object.fromEntries([
    ["y", y],
    ...gradients(loss, wrt).map((dx, i) => [`d${wrt[i]!.name}`, dx] as const),
  ]) as Record<string, Tensor>;
  if (checked) {
    const results = Object.entries(outputs).map(([name, tensor]) => ({
      variable: variable(name, tensor.shape),
      tensor,
    }));
    await checked.compile({ name: "checked", results });
  }
  const expected = await evaluate(reference(), outputs, given.feeds);
  const shared = given.feeds.some(([made]) => made.batch);
  for (const backend of shared ? [...backends, threads] : backends) {
    const found = await evaluate(backend, outputs, given.feeds);
    for (const [name, values] of Object.entries(expected)) {
      const largest = Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const error = Array.from(values).reduce(
        (most, value, i) => Math.max(most, Math.abs(value - found[name]![i]!)),
        0,
      );
      expect(error, `${name} on ${backend.name}`).toBeLessThanOrEqual(tolerance * largest);
    }
  }
}

/** x [N, D] outside a loop and, where asked, inside one over T steps, on the way of the state. */
const inLoop = (x: Tensor, step: (x: Tensor) => Tensor): Tensor =>
  language.unroll({
    inputs: { x },
    state: { s: language.zeros([x.shape[1]!, x.shape[2]!]) },
    step: (at, { s }) => ({ state: { s: language.tanh(at.x!.add(s.mul(0.5))) }, outputs: { y: step(at.x!.add(s)) } }),
  }).outputs.y!;

const domain = (name: string): ((rng: Rng) => number) =>
  ["log", "sqrt"].includes(name)
    ? (rng) => 0.2 + 2 * rng.uniform()
    : name === "log1p"
      ? (rng) => -0.5 + 2 * rng.uniform()
      : (rng) => 1.5 * rng.normal() + 0.05;

const pointwiseCase =
  (name: (typeof pointwiseNames)[number], rows: number, columns: number) =>
  (given: Numbers): Tensor => {
    const { derivative } = opTable[name];
    const arity = Array.isArray(derivative) ? derivative.length : 1;
    const operands = Array.from({ length: arity }, (_, i) => {
      // The second operand repeats along the rows, the third along the columns.
      const shape = i === 1 ? [columns] : i === 2 ? [rows, 1] : [rows, columns];
      const x = given.float(`x${i}`, shape, name === "div" && i === 1 ? (rng) => 0.5 + rng.uniform() : domain(name));
      return name === "select" && i === 0 ? language.less(0, x) : x;
    });
    return pointwise(name, ...operands);
  };

describe.each(pointwiseNames)("%s", (name) => {
  it("agrees at odd sizes", async () => {
    for (const rows of sizes)
      for (const columns of sizes) await agree(rows * 100 + columns, pointwiseCase(name, rows, columns));
  });
});

const seed: Variable = { name: "seed", shape: [1], type: "index", initial: [77] };

type Case = readonly [string, (given: Numbers, rows: number, columns: number) => Tensor];
const cases: Case[] = [
  ["matmul", (g, r, c) => language.matmul(g.float("a", [r, c]), g.float("b", [c, 5]))],
  [
    "matmul, B transposed",
    (g, r, c) => language.matmul(g.float("a", [r, c]), g.float("b", [9, c]), { transposeB: true }),
  ],
  [
    "matmul, A transposed",
    (g, r, c) => language.matmul(g.float("a", [r, c]), g.float("b", [r, 6]), { transposeA: true }),
  ],
  [
    "matmul of slices",
    (g, r, c) =>
      language.matmul(language.slice(g.float("a", [r, c + 3]), 2, c), language.slice(g.float("b", [c, 7]), 1, 5)),
  ],
  ["transpose", (g, r, c) => language.transpose(g.float("x", [r, c]))],
  [
    "slice and concat",
    (g, r, c) =>
      language.concat([
        language.slice(g.float("x", [r, c + 2]), 1, c),
        g.float("y", [r, 3]),
        language.slice(g.float("z", [r, c + 1]), 1, c),
      ]),
  ],
  [
    "split gates",
    (g, r, c) => {
      const [i, f, o] = language.split(g.float("x", [r, 3 * c]), 3);
      return language.sigmoid(i).mul(language.tanh(f)).add(language.sigmoid(o));
    },
  ],
  ["sliceRows", (g, r, c) => language.sliceRows(g.float("x", [r + 2, 3, c]), 1, r)],
  ["reshape", (g, r, c) => language.reshape(language.tanh(g.float("x", [r, 3, c])), [3 * r, c])],
  [
    "stopGradient",
    (g, r, c) => {
      const x = g.float("x", [r, c]);
      return x.mul(language.stopGradient(language.exp(x)));
    },
  ],
  ["expand", (g, r, c) => language.expand(g.float("x", [r, 1]), [r, c]).mul(g.float("y", [r, c]))],
  ["rows that repeat over time", (g, r, c) => g.float("x", [3, r, c]).mul(g.float("y", [r, c]))],
  ["sumColumns", (g, r, c) => language.sumColumns(g.float("x", [r, c]))],
  ["sumRows", (g, r, c) => language.sumRows(g.float("x", [r, c]))],
  ["sumRows over time", (g, r, c) => language.sumRows(g.float("x", [3, r, c]), [r, c])],
  ["sumAll", (g, r, c) => language.sumAll(g.float("x", [r, c]))],
  [
    "sumAll of squares",
    (g, r, c) => {
      const x = g.float("x", [r, c]);
      return language.sumAll(x.mul(x));
    },
  ],
  [
    "maxColumns",
    (g, r, c) => {
      const x = g.float("x", [r, c]);
      return x.sub(language.maxColumns(x));
    },
  ],
  ["softmax", (g, r, c) => language.softmax(g.float("x", [r, c]))],
  ["logSoftmax", (g, r, c) => language.logSoftmax(g.float("x", [r, c]))],
  ["crossEntropy", (g, r, c) => language.crossEntropyRows(g.float("x", [r, c]), g.index("y", [r, 1], c))],
  [
    "crossEntropy, smoothed and weighted",
    (g, r, c) => {
      const weights = language.stopGradient(g.float("w", [c + 1], (rng) => rng.uniform()));
      return language.crossEntropyRows(g.float("x", [r, c + 1]), g.index("y", [r, 1], c + 2), {
        smoothing: 0.2,
        weights,
      });
    },
  ],
  ["gather", (g, r, c) => language.gather(g.float("table", [c, 5]), g.index("i", [r, 1], c + 2))],
  ["one-hot", (g, r, c) => language.oneHot(g.index("i", [r, 1], c), c).mul(g.float("x", [r, c]))],
  [
    "linear on one-hot rows",
    (g, r, c) => language.linear(language.oneHot(g.index("i", [r, 1], c), c), g.float("w", [5, c]), g.float("b", [5])),
  ],
  [
    "layerNormalize",
    (g, r, c) => language.layerNormalize(g.float("x", [r, c + 2]), g.float("gain", [c + 2]), g.float("bias", [c + 2])),
  ],
  ["gelu", (g, r, c) => language.gelu(g.float("x", [r, c]))],
  ["elu", (g, r, c) => language.elu(g.float("x", [r, c]))],
  ["leakyRelu", (g, r, c) => language.leakyRelu(g.float("x", [r, c]))],
  ["silu", (g, r, c) => language.silu(g.float("x", [r, c]))],
];

describe.each(cases)("%s", (_name, build) => {
  it("agrees at odd sizes", async () => {
    for (const rows of sizes)
      for (const columns of sizes) await agree(rows * 100 + columns, (given) => build(given, rows, columns));
  });
});

it.each([0, 0.2])(
  "crossEntropy: a class of weight 0 adds nothing, be it impossible; smoothing %d",
  async (smoothing) => {
    const [x, y, w, dy] = [
      variable("x", [4, 5]),
      variable("y", [4, 1], "index"),
      variable("w", [5]),
      variable("dy", [4, 1]),
    ];
    const impossible = Number.NEGATIVE_INFINITY;
    const feeds: [Variable, ArrayLike<number>][] = [
      // A target of weight 0, the same that is possible, another class that is not, and a target that is not though it counts.
      [x, [impossible, 1, 2, 0, 1, 0, 1, 2, 0, 1, impossible, 1, 2, 0, 1, 0, 1, impossible, 0, 1]],
      [y, [0, 0, 1, 2]],
      [w, [0, 1, 2, 1, 1]],
      [dy, [1, 0.5, 2, 1]],
    ];
    const logits = language.current(x);
    const loss = language.crossEntropyRows(logits, language.current(y), { smoothing, weights: language.current(w) });
    const [dx] = gradients(language.sumAll(loss.mul(language.current(dy))), [logits]);
    const outputs = { loss, dx: dx! };
    const expected = await evaluate(reference(), outputs, feeds);
    if (smoothing === 0) expect(Array.from(expected.loss).slice(0, 2)).toEqual([0, 0]);
    expect(Array.from(expected.loss, Number.isFinite)).toEqual([true, true, true, false]);
    expect(expected.loss[3]).toBe(Infinity);
    expect(Array.from(expected.dx)).not.toContain(Number.NaN);
    for (const backend of backends) {
      const found = await evaluate(backend, outputs, feeds);
      for (const name of ["loss", "dx"] as const)
        Array.from(expected[name]).forEach((value, i) => {
          expect(found[name][i], `${name}[${i}] on ${backend.name}`).toBeCloseTo(value, 5);
        });
    }
  },
);

const loops: readonly (readonly [string, (x: Tensor, given: Numbers) => Tensor])[] = [
  [
    "a product with weights",
    (x, g) => language.linear(language.tanh(x), g.float("w", [5, x.shape[1]!]), g.float("b", [5])),
  ],
  ["softmax", (x) => language.softmax(x)],
  ["layer norm", (x) => language.layerNormalize(x.add(0.1), undefined, undefined, 0.1)],
  ["a sum over rows", (x) => x.sub(language.sumRows(x).div(x.shape[0]!))],
  ["gates from slices", (x) => language.concat([language.slice(x, 0, 1), language.sigmoid(x)])],
  ["dropout", (x) => language.dropped(x, 0.4, language.current(seed), 3)],
];

describe.each(loops)("inside a loop: %s", (_name, step) => {
  it.each([
    [1, 1, 1],
    [4, 3, 7],
    [3, 7, 65],
  ])("agrees for T %i, N %i, D %i", async (steps, rows, columns) => {
    await agree(steps, (given) => {
      const made = new Map<string, Tensor>();
      const once: Numbers = {
        ...given,
        float: (name, shape, make) => made.get(name) ?? made.set(name, given.float(name, shape, make)).get(name)!,
      };
      return inLoop(once.float("x", [steps, rows, columns]), (x) => step(x, once));
    });
  });
});

it("covers every op of the table", () => {
  const placeholders = ["variable", "constant", "stepInput", "state", "loop", "loopOutput", "ownRows", "allReduce"];
  const derived = ["padRows", "scatter", "crossEntropyGradient", "random"]; // made by derivatives and by dropout above
  const named = cases.map(([name]) => name).join(" ");
  const missing = Object.keys(opTable).filter(
    (op) =>
      ![...placeholders, ...derived, ...(pointwiseNames as readonly string[])].includes(op) && !named.includes(op),
  );
  expect(missing).toEqual([]);
});
