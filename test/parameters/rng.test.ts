import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRng, type Rng, type RngState } from "../../src/parameters/rng.js";

const draw = (rng: Rng, kind: number): number => [rng.uniform, rng.normal, rng.integer][kind % 3]!();

describe("the generator", () => {
  it("draws the same from one seed", () => {
    const draws = (seed: number | string): number[] => {
      const rng = createRng(seed);
      return Array.from({ length: 30 }, (_, i) => draw(rng, i));
    };
    expect(draws(42)).toEqual(draws(42));
    expect(draws("a name")).toEqual(draws("a name"));
    expect(draws(42)).not.toEqual(draws(43));
  });

  it("stays as it was: the first draws of seed 1", () => {
    const rng = createRng(1);
    expect([rng.uniform(), rng.integer()]).toEqual([0.526047095656395, 526750310]);
    // Sine, cosine and logarithm may differ in the last bit between engines.
    for (const value of [-0.8237838357644095, -0.78770692990593]) expect(rng.normal()).toBeCloseTo(value, 14);
  });

  it("draws uniform numbers in [0, 1) and whole ones in 0 … 2³²−1", () => {
    const rng = createRng(2);
    let [sum, within] = [0, true];
    for (let i = 0; i < 10_000; i++) {
      const [u, n] = [rng.uniform(), rng.integer()];
      within &&= u >= 0 && u < 1 && Number.isInteger(n) && n >= 0 && n < 2 ** 32;
      sum += u - 0.5 + n / 2 ** 32 - 0.5;
    }
    expect(within).toBe(true);
    expect(Math.abs(sum)).toBeLessThan(5 * Math.sqrt(20_000 / 12));
  });

  it("draws many at once as it draws one by one, and goes on behind them", () => {
    const [many, single] = [createRng("many"), createRng("many")];
    for (const [count, bound] of [
      [5, 1],
      [0, 1],
      [3000, 0.25],
    ] as const)
      expect(many.uniforms(count, bound)).toEqual(
        Float64Array.from({ length: count }, () => (2 * single.uniform() - 1) * bound),
      );
    expect([many.uniform(), many.normal(), many.state()]).toEqual([single.uniform(), single.normal(), single.state()]);
  });

  it("goes on from its state as if never stopped, after any draws, also through JSON", () => {
    const kinds = fc.array(fc.nat(2), { maxLength: 12 });
    fc.assert(
      fc.property(fc.oneof(fc.integer(), fc.string()), kinds, kinds, (seed, before, after) => {
        const first = createRng(seed);
        for (const kind of before) draw(first, kind);
        const kept = JSON.parse(JSON.stringify(first.state())) as RngState;
        const expected = after.map((kind) => draw(first, kind));
        const resumed = createRng(kept);
        expect(after.map((kind) => draw(resumed, kind))).toEqual(expected);
        expect(resumed.state()).toEqual(first.state());
      }),
    );
  });

  it("a state is a value: drawing on does not change it", () => {
    const rng = createRng(3);
    rng.normal();
    const kept = rng.state();
    const copy = JSON.stringify(kept);
    rng.normal();
    rng.uniform();
    expect(JSON.stringify(kept)).toBe(copy);
  });
});
