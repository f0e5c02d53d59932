/** Where finite differences need care: kinks near a number, kinks at it, and derivatives that are not finite. */
import { describe, expect, it } from "vitest";
import { rnn } from "../../src/cells/rnn.js";
import { gradientCheck } from "../../src/check/index.js";
import { abs, current, sqrt, type Tensor } from "../../src/graph/language.js";
import { variable } from "../../src/graph/variable.js";
import type { Layer } from "../../src/layers/layer.js";
import { createRng } from "../../src/parameters/rng.js";

const layerOf = (kind: string, apply: (input: Tensor) => Tensor): Layer => ({ kind, apply: (input) => apply(input) });

describe("gradientCheck", () => {
  it("passes networks of relu whatever the seed, with kinks close to many of the numbers", async () => {
    for (let seed = 1; seed <= 25; seed++) {
      const check = await gradientCheck(rnn(6, { nonlinearity: "relu" }), { inputShape: [5, 3, 4], seed });
      expect(check.worst.relativeError, `seed ${seed}: ${check.worst.name}`).toBeLessThanOrEqual(1e-6);
    }
  });

  it("counts numbers that lie at a kink, and does not pass a tensor that has nothing else", async () => {
    const rng = createRng(1);
    const drawn = Array.from({ length: 6 }, () => rng.normal()); // the input that the check will draw
    const distance = (from: readonly number[]): Layer =>
      layerOf("distance", (x) => abs(x.sub(current({ ...variable("from", [2, 3]), initial: from }))));
    const some = await gradientCheck(distance(drawn.map((value, i) => (i < 2 ? value : 0))), {
      inputShape: [2, 3],
      seed: 1,
    });
    expect([some.rows[0]!.kinks, some.passed]).toEqual([2, true]);
    const all = await gradientCheck(distance(drawn), { inputShape: [2, 3], seed: 1 });
    expect([all.rows[0]!.kinks, all.passed]).toEqual([6, false]);
  });

  it("does not pass a derivative that is not finite", async () => {
    // x + √0: the value is fine, the slope of the root is not
    const check = await gradientCheck(
      layerOf("root", (x) => x.add(sqrt(x.mul(0)))),
      { inputShape: [2, 3] },
    );
    expect(check.passed).toBe(false);
    expect(check.worst).toMatchObject({ name: "input", relativeError: Number.POSITIVE_INFINITY });
  });
});
