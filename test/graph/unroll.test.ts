/** The time loop and BPTT: every kind of step against finite differences and against the same network without `unroll`. */
import { describe, expect, it } from "vitest";
import { evaluate } from "../../src/backend/evaluate.js";
import { reference } from "../../src/backend/reference/index.js";
import { wasm } from "../../src/backend/wasm/index.js";
import { UserError } from "../../src/errors.js";
import {
  concat,
  constant,
  crossEntropyRows,
  current,
  dropped,
  expand,
  gather,
  layerNormalize,
  less,
  linear,
  matmul,
  random,
  relu,
  reshape,
  select,
  sigmoid,
  slice,
  sliceRows,
  softmax,
  split,
  sumAll,
  sumColumns,
  sumRows,
  tanh,
  transpose,
  unroll,
  zeros,
} from "../../src/graph/language.js";
import { randomKey, randomUniform } from "../../src/graph/random.js";
import { gradients } from "../../src/graph/sweep.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { variable } from "../../src/graph/variable.js";
import { difference, feed, worstGradientError } from "./numeric.js";
import { compare, type Network, partOf } from "./twin.js";

async function agrees(network: Network, numericTolerance = 1e-7): Promise<void> {
  const { twin, numeric, worst } = await compare(network);
  expect(twin, worst).toBeLessThan(1e-12);
  expect(numeric, worst).toBeLessThan(numericTolerance);
}

const [T, N, D, H] = [4, 3, 2, 5];
const x = { shape: [T, N, D] };
const h = { shape: [N, H] };
const c = { shape: [N, H] };
const w = { shape: [H, D] };
const u = { shape: [H, H] };
const b = { shape: [H] };
const mixed = (at: Tensor, state: Tensor, weights: Readonly<Record<string, Tensor>>): Tensor =>
  linear(at, weights.w!, weights.b).add(linear(state, weights.u!));

describe("a recurrent step", () => {
  for (const reverse of [false, true])
    it(reverse ? "backward in time" : "forward in time", () =>
      agrees({
        inputs: { x },
        states: { h },
        shared: { w, u, b },
        reverse,
        step: (at, state, shared) => {
          const next = tanh(mixed(at.x!, state.h!, shared));
          return { state: { h: next }, outputs: { y: next } };
        },
      }),
    );

  for (const [steps, rows, features, hidden] of [
    [1, 1, 1, 1],
    [3, 1, 7, 3],
    [1, 7, 3, 1],
    [7, 3, 1, 7],
    [2, 7, 1, 1],
  ] as const)
    it(`of sizes T ${steps}, N ${rows}, D ${features}, H ${hidden}`, () =>
      agrees({
        inputs: { x: { shape: [steps, rows, features] } },
        states: { h: { shape: [rows, hidden] }, c: { shape: [rows, hidden] } },
        shared: { w: { shape: [hidden, features] }, u: { shape: [hidden, hidden] }, b: { shape: [hidden] } },
        step: (at, state, shared) => {
          const a = mixed(at.x!, state.h!, shared);
          const next = sigmoid(a).mul(state.c!).add(tanh(a));
          return { state: { h: tanh(next), c: next }, outputs: { y: next } };
        },
      }));

  it("at 65 features and rows", async () => {
    const { twin, worst } = await compare(
      {
        inputs: { x: { shape: [2, 65, 3] } },
        states: { h: { shape: [65, 65] } },
        shared: { w: { shape: [65, 3] }, u: { shape: [65, 65] }, b: { shape: [65] } },
        step: (at, state, shared) => ({ state: { h: tanh(mixed(at.x!, state.h!, shared)) } }),
      },
      { numeric: false },
    );
    expect(twin, worst).toBeLessThan(1e-12);
  });

  it("with several states of different widths, as an LSTM", () =>
    agrees({
      inputs: { x },
      states: { h: { shape: [N, 2] }, c },
      shared: { w: { shape: [4 * H, D] }, u: { shape: [4 * H, 2] }, b: { shape: [4 * H] }, p: { shape: [2, H] } },
      step: (at, state, shared) => {
        const [i, f, g, o] = split(mixed(at.x!, state.h!, shared), 4);
        const next = sigmoid(f)
          .mul(state.c!)
          .add(sigmoid(i).mul(tanh(g)));
        const out = linear(sigmoid(o).mul(tanh(next)), shared.p!);
        return { state: { h: out, c: next }, outputs: { y: out } };
      },
    }));

  it("with peepholes: parameters that multiply a state", () =>
    agrees({
      inputs: { x: { shape: [T, N, H] } },
      states: { h },
      shared: { p: { shape: [H] }, q: { shape: [1, H] } },
      step: (at, state, shared) => {
        const next = tanh(at.x!.add(state.h!.mul(shared.p!)).sub(shared.q!.mul(at.x!)));
        return { state: { h: next }, outputs: { y: next.mul(shared.p!) } };
      },
    }));
});

describe("states", () => {
  it("that change places", () =>
    agrees({
      inputs: { x },
      states: { a: { shape: [N, D] }, b: { shape: [N, D] } },
      step: (at, state) => ({ state: { a: state.b!, b: state.a! }, outputs: { y: state.a!.mul(at.x!) } }),
    }));

  it("that move along a chain: a shift register", () =>
    agrees({
      inputs: { x },
      states: { a: { shape: [N, D] }, b: { shape: [N, D] }, c: { shape: [N, D] } },
      step: (at, state) => ({ state: { a: at.x!, b: state.a!, c: state.b! }, outputs: { y: state.c!.mul(at.x!) } }),
    }));

  it("that go round while they change", () =>
    agrees({
      inputs: { x },
      states: { a: { shape: [N, D] }, b: { shape: [N, D] }, c: { shape: [N, D] } },
      step: (at, state) => ({
        state: { a: tanh(state.c!.add(at.x!)), b: state.a!.mul(state.b!), c: state.b! },
      }),
    }));

  it("that stay, and that share their next value", () =>
    agrees({
      inputs: { x },
      states: { a: { shape: [N, D] }, b: { shape: [N, D] }, c: { shape: [N, D] } },
      step: (at, state) => {
        const next = tanh(state.a!.mul(at.x!).add(state.c!));
        return { state: { a: next, b: next, c: state.c! }, outputs: { y: state.b!.add(next) } };
      },
    }));

  it("that are not read: the step uses its input alone", () =>
    agrees({
      inputs: { x },
      states: { h, a: { shape: [N, D] } },
      shared: { w },
      step: (at, _state, shared) => ({
        state: { h: linear(at.x!, shared.w!), a: at.x! },
        outputs: { y: tanh(linear(at.x!, shared.w!)), z: at.x! },
      }),
    }));

  it("that become a shared value, or a constant", () =>
    agrees({
      inputs: { x },
      states: { h, a: { shape: [N, D] } },
      shared: { s: { shape: [N, H] } },
      step: (at, state, shared) => ({
        state: { h: shared.s!, a: constant(0.5, [N, D]) },
        outputs: { y: sumColumns(state.h!).mul(at.x!).add(state.a!) },
      }),
    }));

  it("put together from parts of others", () =>
    agrees({
      inputs: { x },
      states: { a: { shape: [N, 4] }, b: { shape: [N, 4] } },
      step: (at, state) => {
        const [left, right] = [slice(state.a!, 0, 2), slice(state.b!, 1, 2)];
        return {
          state: { a: concat([right, at.x!]), b: concat([at.x!.mul(left), slice(state.a!, 2, 2)]) },
          outputs: { y: left, z: concat([right, left]) },
        };
      },
    }));

  it("of which an output is a part", () =>
    agrees({
      inputs: { x: { shape: [T, N, H] } },
      states: { h },
      step: (at, state) => {
        const next = tanh(state.h!.add(at.x!));
        return {
          state: { h: next },
          outputs: { before: slice(state.h!, 1, 2), after: slice(next, 2, 3), h: state.h! },
        };
      },
    }));
});

describe("what a step shares over time", () => {
  it("weights made of weights, outside and inside the step", () =>
    agrees({
      inputs: { x },
      states: { h },
      shared: { w, u },
      step: (at, state, { w, u }) => {
        const next = tanh(linear(at.x!, w!.mul(w!)).add(linear(state.h!, u!.sub(transpose(u!)).mul(0.5))));
        return { state: { h: next }, outputs: { y: next } };
      },
    }));

  it("one weight used in several ways", () =>
    agrees({
      inputs: { x: { shape: [T, N, H] } },
      states: { h },
      shared: { u },
      step: (at, state, { u }) => {
        const next = tanh(linear(at.x!, u!).add(matmul(state.h!, u!)));
        return { state: { h: next }, outputs: { y: linear(next, u!).add(sumRows(u!)) } };
      },
    }));

  it("rows of a weight", () =>
    agrees({
      inputs: { x: { shape: [T, N, H] } },
      states: { h },
      shared: { u: { shape: [2 * H, H] }, b: { shape: [2 * H] } },
      step: (at, state, { u, b }) => {
        const r = sigmoid(linear(state.h!, sliceRows(u!, 0, H), slice(b!, 0, H)));
        const next = tanh(at.x!.add(linear(r.mul(state.h!), sliceRows(u!, H, H), slice(b!, H, H))));
        return { state: { h: next } };
      },
    }));

  it("products with transposed operands on either side", () =>
    agrees({
      inputs: { x: { shape: [T, N, N] } },
      states: { h: { shape: [N, N] } },
      shared: { v: { shape: [N, N] } },
      step: (at, state, { v }) => {
        const both = matmul(v!, at.x!, { transposeA: true, transposeB: true });
        const turned = matmul(state.h!, v!, { transposeA: true, transposeB: true });
        const next = tanh(both.add(turned).add(matmul(v!, state.h!)));
        return { state: { h: next }, outputs: { y: transpose(next) } };
      },
    }));

  it("values of each row that do not change with time", () =>
    agrees({
      inputs: { x },
      states: { h },
      shared: { w, m: { shape: [N, D] }, column: { shape: [N, 1] }, one: { shape: [1] } },
      step: (at, state, { w, m, column, one }) => {
        const next = tanh(linear(at.x!.mul(m!), w!).add(state.h!.mul(column!)).mul(one!));
        return {
          state: { h: next },
          outputs: { y: concat([at.x!, m!, linear(concat([at.x!, m!]), concat([w!, w!]))]) },
        };
      },
    }));
});

describe("inside the step", () => {
  it("softmax, layer norm and sums over features: attention over the state", () =>
    agrees(
      {
        inputs: { x },
        states: { h },
        shared: { w, u, gain: { shape: [H] }, bias: { shape: [H] } },
        step: (at, state, { w, u, gain, bias }) => {
          const a = layerNormalize(linear(at.x!, w!).add(linear(state.h!, u!)), gain!, bias!);
          const share = softmax(a);
          const next = tanh(a).add(share.mul(sumColumns(share.mul(state.h!))));
          return { state: { h: next }, outputs: { y: softmax(next), s: sumColumns(at.x!) } };
        },
      },
      1e-6,
    ));

  it("sums over the batch and over everything", () =>
    agrees({
      inputs: { x: { shape: [T, N, H] } },
      states: { h },
      step: (at, state) => {
        const centred = state.h!.sub(sumRows(state.h!).div(N));
        const next = tanh(
          centred
            .add(at.x!)
            .mul(sumAll(at.x!))
            .add(sumAll(state.h!.mul(state.h!)).mul(0.1)),
        );
        return { state: { h: next }, outputs: { y: sumRows(next, [1, H]).mul(next) } };
      },
    }));

  it("a lookup of the step's index", () =>
    agrees({
      inputs: { id: { shape: [T, N, 1], classes: 6 }, x },
      states: { h },
      shared: { table: { shape: [6, H] }, w },
      step: (at, state, { table, w }) => {
        const next = tanh(gather(table!, at.id!).mul(state.h!).add(linear(at.x!, w!)));
        return { state: { h: next }, outputs: { y: next } };
      },
    }));

  it("cross-entropy, with targets of each step and with targets that stay", () =>
    agrees({
      inputs: { id: { shape: [T, N, 1], classes: H }, x: { shape: [T, N, H] } },
      states: { h },
      shared: { always: { shape: [N, 1], classes: H } },
      step: (at, state, { always }) => {
        const next = tanh(at.x!.add(state.h!));
        return {
          state: { h: next },
          outputs: {
            now: crossEntropyRows(next, at.id!, { smoothing: 0.1 }),
            always: crossEntropyRows(next, always!),
            input: crossEntropyRows(at.x!, always!),
          },
        };
      },
    }));

  it("choices", () =>
    agrees({
      inputs: { x: { shape: [T, N, H] }, mask: { shape: [T, N, 1], values: [1, 1, 1, 1, 1, 0, 1, 0, 0, 1, 0, 0] } },
      states: { h },
      step: (at, state) => {
        const next = tanh(at.x!.add(state.h!));
        const held = select(less(0.5, at.mask!), next, state.h!);
        return {
          state: { h: held },
          outputs: {
            y: relu(held.add(2))
              .mul(at.mask!)
              .add(relu(held.sub(2))),
          },
        };
      },
    }));

  it("outer products: fast weights that are a state of as many rows as the batch", () =>
    agrees({
      inputs: { x: { shape: [T, N, N] } },
      states: { m: { shape: [N, N] } },
      step: (at, state) => {
        const next = state.m!.mul(0.9).add(matmul(at.x!, at.x!, { transposeA: true }).mul(0.1));
        return { state: { m: next }, outputs: { y: matmul(at.x!, next) } };
      },
    }));

  it("values without rows", () =>
    agrees({
      inputs: { x },
      states: { h: { shape: [N, D] } },
      shared: { v: { shape: [D] } },
      step: (at, state, { v }) => {
        const total = sumRows(at.x!.mul(state.h!)); // [D]
        const next = tanh(state.h!.add(total.mul(v!)));
        return { state: { h: next }, outputs: { total, product: matmul(total, transpose(next)) } };
      },
    }));

  it("attention over a whole other sequence", () =>
    agrees({
      inputs: { x },
      states: { h: { shape: [N, D] } },
      shared: { memory: { shape: [5, N, D] } },
      step: (at, state, { memory }) => {
        const score = sigmoid(sumColumns(memory!.mul(state.h!)));
        const read = sumRows(memory!.mul(score), [N, D]);
        return { state: { h: tanh(read.add(at.x!)) }, outputs: { score, read } };
      },
    }));

  it("shared values of which one is made of another", () =>
    agrees({
      inputs: { x: { shape: [T, N, H] } },
      states: { h },
      shared: { u, b },
      step: (at, state, { u, b }) => {
        const next = tanh(
          linear(at.x!, u!)
            .add(linear(state.h!, u!.mul(u!), b!))
            .add(expand(b!, [N, H]).mul(state.h!)),
        );
        return { state: { h: next } };
      },
    }));

  it("no state at all", () =>
    agrees({
      inputs: { x },
      states: {},
      shared: { w },
      step: (at, _, { w }) => ({ state: {}, outputs: { y: tanh(linear(at.x!, w!)) } }),
    }));

  it("an output that does not change with time", () =>
    agrees({
      inputs: { x },
      states: { h: { shape: [N, D] } },
      shared: { s: { shape: [N, 2] } },
      step: (at, state, { s }) => ({ state: { h: state.h!.add(at.x!) }, outputs: { s: s!.mul(s!), y: at.x! } }),
    }));
});

describe("dropout", () => {
  const seed = { shape: [1], classes: 1000, values: [77] };
  const keep = (u: number, rate: number): number => (u >= rate ? 1 / (1 - rate) : 0);
  /** The mask that key draws for step t, as constants. */
  const maskAt = (key: number, t: number, rows: number, columns: number, rate: number): Tensor =>
    current({
      ...variable(`mask ${t}`, [rows, columns]),
      initial: Float64Array.from({ length: rows * columns }, (_, i) =>
        keep(randomUniform(randomKey(77, key), t * rows * columns + i), rate),
      ),
    });

  for (const reverse of [false, true])
    it(`inside the step draws anew at each t, ${reverse ? "backward" : "forward"}`, () => {
      const network =
        (drop: (value: Tensor, key: number, t: number, seed: Tensor) => Tensor): Network["step"] =>
        (at, state, { w, u, seed }, t) => {
          const next = tanh(linear(drop(at.x!, 1, t!, seed!), w!).add(linear(drop(state.h!, 2, t!, seed!), u!)));
          return { state: { h: next }, outputs: { y: drop(next, 3, t!, seed!) } };
        };
      return agrees({
        inputs: { x },
        states: { h },
        shared: { w, u, seed },
        reverse,
        step: network((value, key, _, seed) => dropped(value, 0.4, seed, key)),
        explicitStep: network((value, key, t) => value.mul(maskAt(key, t, value.shape[0]!, value.shape[1]!, 0.4))),
      });
    });

  it("outside the step is the same at every t", () =>
    agrees({
      inputs: { x },
      states: { h },
      shared: { w, u, seed },
      step: (at, state, { w, u, seed }) => {
        const outside = (value: Tensor, key: number): Tensor => dropped(value, 0.4, seed!, key);
        const mask = outside(constant(1, [N, H]), 5);
        const noise = random(seed!, 6, zeros([N, H]));
        const next = tanh(
          linear(at.x!, w!)
            .add(linear(state.h!.mul(mask), u!))
            .mul(noise),
        );
        return { state: { h: next }, outputs: { y: next } };
      },
    }));

  it("in a step without state", () =>
    agrees({
      inputs: { x },
      states: {},
      shared: { w, seed },
      step: (at, _, { w, seed }) => ({ state: {}, outputs: { y: linear(dropped(tanh(at.x!), 0.4, seed!, 1), w!) } }),
      explicitStep: (at, _, { w }, t) => ({
        state: {},
        outputs: { y: linear(tanh(at.x!).mul(maskAt(1, t!, N, D, 0.4)), w!) },
      }),
    }));
});

describe("loops on loops", () => {
  const specs = { x, h, k: h, w, u, v: u };

  it("one feeds another, in either direction, with the final state as a start", async () => {
    const build = ({ x, h, k, w, u, v }: Readonly<Record<string, Tensor>>, loops: boolean): Tensor[] => {
      const first = (at: Tensor, state: Tensor): Tensor => tanh(linear(at, w!).add(linear(state, u!)));
      const second = (at: Tensor, state: Tensor): Tensor => tanh(at.mul(linear(state, v!)).add(at));
      if (loops) {
        const below = unroll({
          inputs: { x: x! },
          state: { h: h! },
          step: (at, state) => {
            const next = first(at.x, state.h);
            return { state: { h: next }, outputs: { y: next } };
          },
        });
        const above = unroll({
          inputs: { y: below.outputs.y },
          state: { k: k!.add(below.state.h) },
          reverse: true,
          step: (at, state) => {
            const next = second(at.y, state.k);
            return { state: { k: next }, outputs: { z: next.mul(at.y) } };
          },
        });
        return [sumRows(above.outputs.z, [N, H]), above.state.k, below.state.h];
      }
      const ys: Tensor[] = [];
      let state = h!;
      for (let t = 0; t < T; t++) {
        state = first(partOf(x!, t), state);
        ys[t] = state;
      }
      let top = k!.add(state);
      let sum = zeros([N, H]);
      for (let t = T - 1; t >= 0; t--) {
        top = second(ys[t]!, top);
        sum = sum.add(top.mul(ys[t]!));
      }
      return [sum, top, state];
    };
    const { tensors, feeds } = feed(specs);
    const wrt = Object.values(tensors);
    const results = Object.fromEntries(
      [true, false].flatMap((loops) => {
        const outputs = build(tensors, loops);
        const loss = outputs.map((output) => sumAll(output.mul(output).mul(output))).reduce((a, b) => a.add(b));
        return [...outputs, ...gradients(loss, wrt)].map((tensor, i) => [`${loops} ${i}`, tensor] as const);
      }),
    );
    const values = await evaluate(reference(), results, feeds);
    for (let i = 0; i < 3 + wrt.length; i++) {
      expect(difference(values[`true ${i}`]!, values[`false ${i}`]!), String(i)).toBeLessThan(1e-12);
    }
    expect(await worstGradientError(specs, (t) => build(t, true))).toBeLessThan(1e-7);
  });

  it("the loop of a loop run backward: an encoder's reverse read again", async () => {
    expect(
      await worstGradientError(specs, ({ x, h, k, w, u, v }) => {
        const pass = (
          sequence: Tensor,
          start: Tensor,
          weight: Tensor | undefined,
          recurrent: Tensor,
          reverse: boolean,
        ): Tensor =>
          unroll({
            inputs: { s: sequence },
            state: { h: start },
            reverse,
            step: (at, state) => {
              const next = tanh((weight ? linear(at.s, weight) : at.s).add(linear(state.h, recurrent)));
              return { state: { h: next }, outputs: { y: next } };
            },
          }).outputs.y;
        return pass(pass(pass(x!, h!, w!, u!, true), k!, undefined, v!, false), h!, undefined, u!, true);
      }),
    ).toBeLessThan(1e-7);
  });

  it("a loop whose input is used by another loop as well, and twice by itself", async () => {
    expect(
      await worstGradientError(specs, ({ x, h, k, w, u, v }) => {
        const pass = (start: Tensor, weight: Tensor): Tensor =>
          unroll({
            inputs: { a: x!, b: x! },
            state: { h: start },
            step: (at, state) => {
              const next = tanh(linear(at.a.mul(at.b), w!).add(linear(state.h, weight)));
              return { state: { h: next }, outputs: { y: next } };
            },
          }).outputs.y;
        return [pass(h!, u!).mul(pass(k!, v!)), x!.mul(x!)];
      }),
    ).toBeLessThan(1e-7);
  });

  it("a loop whose weights come out of a loop", async () => {
    expect(
      await worstGradientError({ x: { shape: [T, N, N] }, h: { shape: [N, N] } }, ({ x, h }) => {
        const inner = unroll({
          inputs: { x: x! },
          state: { h: h! },
          step: (at, state) => ({ state: { h: tanh(at.x.add(state.h)) } }),
        });
        return unroll({
          inputs: { x: x! },
          state: { h: h! },
          step: (at, state) => ({ state: { h: tanh(linear(at.x.add(state.h), inner.state.h)) } }),
        }).state.h;
      }),
    ).toBeLessThan(1e-7);
  });

  it("derivatives of derivatives through a loop", async () => {
    expect(
      await worstGradientError(
        { x: { shape: [3, 2, 2] }, h: { shape: [2, 3] }, w: { shape: [3, 2] }, u: { shape: [3, 3] } },
        ({ x, h, w, u }) => {
          const { outputs } = unroll({
            inputs: { x: x! },
            state: { h: h! },
            step: (at, state) => {
              const next = tanh(linear(at.x, w!).add(linear(state.h, u!)));
              return { state: { h: next }, outputs: { y: next } };
            },
          });
          const [dx, dh] = gradients(sumAll(outputs.y.mul(outputs.y)), [x!, h!]);
          return [sumAll(dx!.mul(dx!)), dh!];
        },
      ),
    ).toBeLessThan(1e-6);
  });
});

describe("refusals", () => {
  const sequence = zeros([T, N, D]);
  it.each([reference, wasm])("a tensor of one step outside of its loop, on %o", async (backend) => {
    let leaked = sequence;
    const x = variable("x", [T, N, D]);
    unroll({
      inputs: { x: current(x) },
      state: { h: zeros([N, D]) },
      step: (inputs, { h }) => {
        leaked = tanh(inputs.x.add(h));
        return { state: { h: leaked } };
      },
    });
    const given = [[x, new Array(T * N * D).fill(1)]] as const;
    await expect(evaluate(backend(), { leaked }, given)).rejects.toThrow(
      new UserError('"h" is used outside of its loop: make it an output'),
    );
  });

  it("name what was written", () => {
    expect(() => unroll({ inputs: { x: zeros([N, D]) }, state: {}, step: () => ({ state: {} }) })).toThrow(
      new UserError("unroll: the inputs must be sequences of shape [T, N, D], not [3, 2]"),
    );
    expect(() => unroll({ inputs: {}, state: {}, step: () => ({ state: {} }) })).toThrow(UserError);
    expect(() =>
      unroll({ inputs: { x: sequence, y: zeros([T, 2, D]) }, state: {}, step: () => ({ state: {} }) }),
    ).toThrow(
      new UserError('unroll: input "y" of shape [4, 2, 2] does not run over the same 4 steps and 3 rows as the first'),
    );
    expect(() =>
      unroll({ inputs: { x: sequence }, state: { h: zeros([2, H]) }, step: (_, { h }) => ({ state: { h } }) }),
    ).toThrow(new UserError('unroll: state "h" of shape [2, 5] wants 3 rows, as the inputs have'));
    expect(() =>
      unroll({
        name: "mine",
        inputs: { x: sequence },
        state: { h: zeros([N, H]) },
        step: ({ x }) => ({ state: { h: x } }),
      }),
    ).toThrow(new UserError('mine: the step must return state "h" of shape [3, 5], not [3, 2]'));
  });

  it("loops do not nest", () => {
    expect(() =>
      unroll({
        inputs: { x: sequence },
        state: { h: zeros([N, D]) },
        step: ({ x }, { h }) => {
          const inner = unroll({
            inputs: { y: reshape(x, [1, N, D]) },
            state: { k: h },
            step: ({ y }, { k }) => ({ state: { k: tanh(y.add(k)) } }),
          });
          return { state: { h: inner.state.k } };
        },
      }),
    ).toThrow(new UserError('loop: the step holds a loop of its own ("loop"), and loops do not nest'));
  });

  it("expand of the step's parts is fine", () =>
    agrees({
      inputs: { x: { shape: [T, N, 1] } },
      states: { h },
      step: (at, state) => {
        const wide = expand(at.x!, [N, H]);
        return { state: { h: tanh(wide.mul(state.h!)) }, outputs: { y: wide } };
      },
    }));
});
