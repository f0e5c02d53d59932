import { describe, expect, test } from "vitest";
import { type ArrayOptions, arrayBatches } from "../../src/data/arrays.js";
import { refused } from "./refused.js";

const range = (length: number): number[] => Array.from({ length }, (_, i) => i);

describe("arrayBatches", () => {
  const shapes = { inputShape: [2, 1], targetShape: [1], targetType: "index" } as const;

  test("refuses an index that is no whole number, and says which", () => {
    const classes = { ...shapes, inputs: [1, 2, 3, 4] };
    refused(
      () => arrayBatches({ ...classes, targets: [0, 0.5] }),
      "training: an index must be a whole number, but the target at example 1 is 0.5.",
    );
    refused(
      () => arrayBatches({ ...classes, targets: [0, 1], validation: { inputs: [1, 2], targets: [Number.NaN] } }),
      "validation: an index must be a whole number, but the target at example 0 is NaN.",
    );
    refused(
      () => arrayBatches({ ...classes, inputs: [1, 2, 3.5, 4], inputType: "index", targets: [0, 1] }),
      "training: an index must be a whole number, but the input at example 1, step 0 is 3.5.",
    );
  });

  test("takes negative indices, which a loss may ignore, and any finite number where none is an index", () => {
    expect(() => arrayBatches({ ...shapes, inputs: [1.5, 2, 3, 4], targets: [-100, 1] })).not.toThrow();
  });

  test("refuses shapes that are no example's, by name", () => {
    const of = (inputShape: number[], targetShape: number[]) => () =>
      arrayBatches({ inputs: range(24), inputShape, targets: range(2), targetShape });
    refused(
      of([2, 3, 2], [1]),
      "inputShape is that of one example, [T, D] or [D] in whole numbers from 1, not [2, 3, 2].",
    );
    refused(of([], [1]), "inputShape is that of one example, [T, D] or [D] in whole numbers from 1, not [].");
    refused(of([4.8, 2.5], [1]), "not [4.8, 2.5].");
    refused(of([-3, -4], [1]), "not [-3, -4].");
    refused(
      of([12], [1, 1, 1]),
      "targetShape is that of one example, [T, O] or [O] in whole numbers from 1, not [1, 1, 1].",
    );
    expect(of([4, 3], [1])).not.toThrow();
    expect(of([12], [1])).not.toThrow();
  });

  test("refuses lengths of what has no steps", () => {
    refused(
      () => arrayBatches({ inputs: range(8), inputShape: [4], targets: [0, 1], targetShape: [1], lengths: [1, 4] }),
      "training: lengths are of sequences [T, D], but inputShape is [4], without time.",
    );
  });

  test("refuses what is not finite by example, step and feature, but past an example's end", () => {
    // Two examples [T = 3, D = 2] with a target at each step.
    const of = (more: Partial<ArrayOptions>) => () =>
      arrayBatches({ inputs: range(12), inputShape: [3, 2], targets: range(6), targetShape: [3, 1], ...more });
    const inputs = range(12).map((i) => (i === 11 ? Number.NaN : i));
    const targets = range(6).map((i) => (i === 4 ? Number.POSITIVE_INFINITY : i));
    refused(of({ inputs }), "training: numbers must be finite, but the input at example 1, step 2, feature 1 is NaN.");
    refused(of({ targets }), "training: numbers must be finite, but the target at example 1, step 1 is Infinity.");
    refused(
      of({ validation: { inputs, targets: range(6) } }),
      "validation: numbers must be finite, but the input at example 1, step 2, feature 1 is NaN.",
    );
    refused(of({ inputs, lengths: [1, 3] }), "the input at example 1, step 2, feature 1 is NaN.");
    refused(of({ targets, lengths: [3, 2] }), "the target at example 1, step 1 is Infinity.");
    expect(of({ inputs, targets, lengths: [3, 1] })).not.toThrow();
    // The only target of a sequence has no end to be past.
    const one = { targets: [0, Number.NaN], targetShape: [1], lengths: [1, 1] };
    refused(of(one), "training: numbers must be finite, but the target at example 1 is NaN.");
  });

  test("puts 0 past an example's end, whatever stands there", () => {
    const source = arrayBatches({
      inputs: [1, 2, Number.NaN, 4, 5, 6],
      inputShape: [3, 1],
      targets: [1, 0.5, -1, 2, 3, 4],
      targetShape: [3, 1],
      targetType: "index",
      lengths: [1, 3],
    }).train({ batch: 2, window: 3, stride: 3 });
    const [inputs, targets, mask] = [
      new Float64Array(6).fill(9),
      new Int32Array(6).fill(9),
      new Float32Array(6).fill(9),
    ];
    source.fill(0, inputs, targets, mask);
    // Time first: [T, N, 1].
    expect([...inputs]).toEqual([1, 4, 0, 5, 0, 6]);
    expect([...targets]).toEqual([1, 2, 0, 3, 0, 4]);
    expect([...mask]).toEqual([1, 1, 0, 1, 0, 1]);
  });

  test("fills the batches that there are, and refuses to fill another", () => {
    const source = arrayBatches({
      inputs: range(7),
      inputShape: [1],
      targets: range(7),
      targetShape: [1],
      shuffle: false,
    }).train({ batch: 3, window: 1, stride: 1 });
    const [inputs, targets] = [new Float64Array(3), new Float64Array(3)];
    expect(source.length).toBe(2);
    source.fill(1, inputs, targets, undefined);
    expect([...inputs]).toEqual([3, 4, 5]);
    for (const index of [2, -1, 0.5, Number.NaN])
      refused(
        () => source.fill(index, inputs, targets, undefined),
        `There is no batch ${index}: 7 examples make 2 batches of 3, from 0 on.`,
      );
  });
});
