import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { covariatesOf } from "../../src/data/series/covariates.js";
import { createWindows, splitInTime } from "../../src/data/series/windows.js";
import { refused } from "./refused.js";

const range = (length: number) => Float64Array.from({ length }, (_, i) => i);

describe("windows", () => {
  test("give lookback rows, time-major, and the horizon after them", () => {
    const windows = createWindows(range(10), { lookback: 3, horizon: 2 });
    expect(windows).toMatchObject({ count: 6, lookback: 3, horizon: 2, inputs: 1 });
    const inputs = new Float32Array(6);
    const targets = new Float32Array(4);
    windows.fill([0, 5], inputs, targets);
    expect([...inputs]).toEqual([0, 5, 1, 6, 2, 7]);
    expect([...targets]).toEqual([3, 4, 8, 9]);
    expect([windows.originOf(0), windows.originOf(5)]).toEqual([3, 8]);
  });

  test("carry covariates beside the values, and those of the rows to come apart", () => {
    const covariates = covariatesOf([
      ["a", range(6).map((i) => 10 + i)],
      ["b", range(6).map((i) => 20 + i)],
    ]);
    const windows = createWindows(range(6), { lookback: 2, horizon: 2 }, covariates);
    expect(windows.inputs).toBe(3);
    const inputs = new Float64Array(2 * 2 * 3);
    const targets = new Float64Array(4);
    const future = new Float64Array(2 * 2 * 2);
    windows.fill([1, 2], inputs, targets, future);
    expect([...inputs]).toEqual([1, 11, 21, 2, 12, 22, 2, 12, 22, 3, 13, 23]);
    expect([...targets]).toEqual([3, 4, 4, 5]);
    expect([...future]).toEqual([13, 23, 14, 24, 14, 24, 15, 25]);
  });

  test("have their targets within a part, whose rows before it may be looked back on", () => {
    const windows = createWindows(range(20), { lookback: 5, horizon: 2, stride: 2, within: { from: 10, to: 16 } });
    expect(Array.from({ length: windows.count }, (_, i) => windows.originOf(i))).toEqual([10, 12, 14]);
    const first = createWindows(range(20), { lookback: 5, horizon: 2, within: { from: 0, to: 8 } });
    expect(Array.from({ length: first.count }, (_, i) => first.originOf(i))).toEqual([5, 6]);
  });

  test("no window of a part sees a target of a later part", () => {
    const sizes = fc.record({
      rows: fc.integer({ min: 30, max: 90 }),
      lookback: fc.integer({ min: 1, max: 8 }),
      horizon: fc.integer({ min: 1, max: 5 }),
      stride: fc.integer({ min: 1, max: 4 }),
    });
    fc.assert(
      fc.property(sizes, ({ rows, lookback, horizon, stride }) => {
        const split = splitInTime(rows, { validation: 0.2, test: 6 });
        for (const within of [split.train, split.validation, split.test]) {
          const windows = createWindows(range(rows), { lookback, horizon, stride, within });
          const inputs = new Float64Array(lookback);
          const targets = new Float64Array(horizon);
          for (let i = 0; i < windows.count; i++) {
            windows.fill([i], inputs, targets);
            const origin = windows.originOf(i);
            expect([...inputs, ...targets]).toEqual([...range(lookback + horizon)].map((k) => origin - lookback + k));
            expect(targets[0]).toBeGreaterThanOrEqual(within.from);
            expect(targets[horizon - 1]).toBeLessThan(within.to);
          }
          const next = windows.originOf(windows.count);
          expect(next + horizon).toBeGreaterThan(within.to);
        }
      }),
    );
  });

  test("refuse a series too short, arrays of another size, and a window that is not there", () => {
    refused(
      () => createWindows(range(40), { lookback: 36, horizon: 12 }),
      "The series of 40 values is too short for a window: a lookback of 36 and a horizon of 12 need 48.",
    );
    expect(createWindows(range(48), { lookback: 36, horizon: 12 }).count).toBe(1);
    refused(
      () => createWindows(range(48), { lookback: 3, horizon: 12, within: { from: 40, to: 48 } }),
      "Of the windows with a lookback of 3, rows 40 to 48 hold the targets of none",
    );
    refused(() => createWindows(range(9), { lookback: 0, horizon: 1 }), "The lookback must be a whole number");
    refused(
      () => createWindows(range(9), { lookback: 1, horizon: 1, within: { from: 4, to: 10 } }),
      "Rows 4 to 10 do not lie",
    );
    refused(
      () => createWindows(range(9), { lookback: 1, horizon: 1 }, covariatesOf([["a", range(8)]])),
      "The covariates have 8 rows, but the series has 9 values.",
    );
    refused(() => createWindows(Float64Array.of(1, Number.NaN, 2), { lookback: 1, horizon: 1 }), "value 2 of 3 is NaN");
    const windows = createWindows(range(9), { lookback: 2, horizon: 1 });
    refused(
      () => windows.fill([0], new Float64Array(3), new Float64Array(1)),
      "fill inputs of 2 numbers, but it has 3",
    );
    refused(
      () => windows.fill([7], new Float64Array(2), new Float64Array(1)),
      "There is no window 7: they run from 0 to 6.",
    );
  });
});

describe("splitInTime", () => {
  test("cuts in time order, by shares or by rows", () => {
    expect(splitInTime(100)).toEqual({
      train: { from: 0, to: 90 },
      validation: { from: 90, to: 100 },
      test: { from: 100, to: 100 },
    });
    expect(splitInTime(144, { validation: 0.25, test: 12 })).toEqual({
      train: { from: 0, to: 96 },
      validation: { from: 96, to: 132 },
      test: { from: 132, to: 144 },
    });
    refused(
      () => splitInTime(10, { validation: 5, test: 5 }),
      "Of 10 rows 5 for validation and 5 for testing leave none",
    );
    refused(
      () => splitInTime(10, { test: 1.5 }),
      "The test part must be a share below 1 or a whole number of rows, but is 1.5.",
    );
    refused(() => splitInTime(10, { validation: -1 }), "but is -1");
  });
});
