import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { pipeline, transformFromJSON } from "../../src/data/series/pipeline.js";
import { minMaxScaler, standardScaler } from "../../src/data/series/scale.js";
import { difference, log, log1p, type TransformSpec } from "../../src/data/series/transform.js";
import { refused } from "./refused.js";

const of = (...values: number[]) => Float64Array.from(values);

function expectClose(actual: Float64Array, expected: Float64Array, tolerance: number) {
  expect(actual.length).toBe(expected.length);
  actual.forEach((value, i) => {
    expect(Math.abs(value - (expected[i] as number)), `value ${i}`).toBeLessThanOrEqual(tolerance);
  });
}

describe("scalers", () => {
  test("the standard scaler takes mean and population deviation from the training part alone", () => {
    // Mean 5, squares 9 1 1 1 0 0 4 16, so deviation √(32/8) = 2.
    const scaler = standardScaler().fit(of(2, 4, 4, 4, 5, 5, 7, 9));
    expect(scaler.toJSON()).toEqual({ kind: "standard", mean: 5, deviation: 2 });
    expect([...scaler.transform(of(5, 9, 1, 105))]).toEqual([0, 2, -2, 50]);
    expect([...scaler.inverse(of(0, 2, -2, 50), of())]).toEqual([5, 9, 1, 105]);
  });

  test("the min-max scaler spans the range over the training part; later values may leave it", () => {
    const scaler = minMaxScaler().fit(of(10, 30, 20));
    expect([...scaler.transform(of(10, 15, 30, 50))]).toEqual([0, 0.25, 1, 2]);
    const wide = minMaxScaler({ range: [-1, 1] }).fit(of(10, 30, 20));
    expect([...wide.transform(of(10, 15, 30, 50))]).toEqual([-1, -0.5, 1, 3]);
    expect([...wide.inverse(of(-1, -0.5, 1, 3), of())]).toEqual([10, 15, 30, 50]);
  });

  test("a constant training part divides by 1", () => {
    const tenths = of(0.1, 0.1, 0.1);
    expect([...standardScaler().fit(tenths).transform(of(0.1, 1.1))]).toEqual([0, 1]);
    expect([
      ...minMaxScaler({ range: [-1, 1] })
        .fit(of(7, 7))
        .transform(of(7, 9)),
    ]).toEqual([-1, 1]);
    expect([...minMaxScaler().fit(of(7)).inverse(of(0), of())]).toEqual([7]);
  });

  test("values near the ends of float64 neither overflow nor vanish", () => {
    expect([...standardScaler().fit(of(-1e300, 1e300)).transform(of(1e300))]).toEqual([1]);
    expect([...standardScaler().fit(of(-1e-300, 1e-300)).transform(of(1e-300))]).toEqual([1]);
  });

  test("refuse an empty part, a value that is not finite, and a range that does not rise", () => {
    refused(() => standardScaler().fit(of()), "A scaler cannot be fitted to an empty training part.");
    refused(() => minMaxScaler().fit(of(1, Number.NaN)), "value 2 of 2 is NaN");
    refused(() => standardScaler().fit(of(1, 2)).transform(of(1, Infinity)), "value 2 of 2 is Infinity");
    refused(() => minMaxScaler({ range: [1, 1] }), "must rise from low to high, but is 1 to 1");
  });
});

describe("transforms", () => {
  test("log and log1p, naming the first value they cannot take", () => {
    expectClose(log().fit(of(1)).transform(of(1, Math.E)), of(0, 1), 1e-15);
    expectClose(
      log1p()
        .fit(of(1))
        .transform(of(0, Math.E - 1)),
      of(0, 1),
      1e-15,
    );
    refused(() => log().fit(of(3, 2, 0, -1)), "The log transform needs values above 0, but value 3 of 4 is 0.");
    refused(() => log().fit(of(1)).transform(of(-2.5)), "value 1 of 1 is -2.5");
    refused(() => log1p().fit(of(0, -1)), "The log1p transform needs values above -1, but value 2 of 2 is -1.");
    refused(() => log().fit(of(1, Number.NaN)), "value 2 of 2 is NaN");
  });

  test("differences of any lag, and their sum from history on", () => {
    const first = difference().fit(of(1, 2));
    expect([...first.transform(of(1, 4, 9, 16))]).toEqual([3, 5, 7]);
    expect([...first.inverse(of(9, 11), of(1, 4, 9, 16))]).toEqual([25, 36]);
    const seasonal = difference({ lag: 3 }).fit(of(1, 2, 3, 4));
    expect(seasonal.lost).toBe(3);
    expect([...seasonal.transform(of(1, 2, 3, 11, 22, 33))]).toEqual([10, 20, 30]);
    // Two seasons ahead: the second adds to what the first gave.
    expect([...seasonal.inverse(of(1, 1, 1, 5, 5, 5), of(0, 10, 20, 30))]).toEqual([11, 21, 31, 16, 26, 36]);
    refused(
      () => seasonal.transform(of(1, 2, 3)),
      "A difference of lag 3 needs more than 3 values, but the series has 3.",
    );
    refused(() => difference({ lag: 3 }).fit(of(1)), "but the series has 1");
    refused(() => seasonal.inverse(of(1), of(1, 2)), "needs the last 3 values of history, but there are 2");
    refused(() => difference({ lag: 0 }), "The lag of a difference must be a whole number of at least 1, but is 0.");
  });

  test("a pipeline fits each step to what the ones before it make of the training part", () => {
    const fitted = pipeline([difference(), minMaxScaler()]).fit(of(0, 1, 3, 6));
    // Differences 1 2 3, scaled to 0 ½ 1.
    expect([...fitted.transform(of(0, 1, 3, 6, 10))]).toEqual([0, 0.5, 1, 1.5]);
    expect([...fitted.inverse(of(1.5, 2), of(0, 1, 3, 6))]).toEqual([10, 15]);
    expect(fitted.lost).toBe(1);
    refused(() => fitted.inverse(of(1), of()), "Undoing the pipeline needs the last 1 values of history");
  });

  test("a pipeline of nothing changes nothing", () => {
    const nothing = pipeline([]).fit(of(1, 2));
    expect([...nothing.transform(of(1, 2))]).toEqual([1, 2]);
    expect([...nothing.inverse(of(3), of())]).toEqual([3]);
  });

  test("log of an airline year and its seasonal difference, forecast by hand", () => {
    const history = of(100, 200, 110, 220);
    const fitted = pipeline([log(), difference({ lag: 2 })]).fit(history);
    // The next season grows by 10 % again: ln 1.1 for both.
    expectClose(fitted.inverse(of(Math.log(1.1), Math.log(1.1)), history), of(121, 242), 1e-10);
  });

  const specs: [name: string, make: () => TransformSpec][] = [
    ["standard", standardScaler],
    ["min-max", () => minMaxScaler({ range: [-1, 1] })],
    ["log", log],
    ["log1p", log1p],
    ["difference", difference],
    ["difference 4", () => difference({ lag: 4 })],
    ["log, standard", () => pipeline([log(), standardScaler()])],
    ["log, difference, standard", () => pipeline([log(), difference({ lag: 3 }), standardScaler()])],
    ["two differences", () => pipeline([difference({ lag: 4 }), difference(), minMaxScaler()])],
    ["scaled, difference", () => pipeline([standardScaler(), difference(), difference(), log1p()].slice(0, 3))],
    ["nested", () => pipeline([pipeline([log1p(), difference()]), pipeline([difference({ lag: 2 })])])],
  ];
  const values = fc.array(fc.double({ min: 0.5, max: 2000, noNaN: true }), { minLength: 14, maxLength: 40 });

  test.each(specs)("%s: the inverse goes back, for the whole series and for a continuation", (_, make) => {
    fc.assert(
      fc.property(values, fc.integer({ min: 9, max: 12 }), (list, known) => {
        const all = Float64Array.from(list);
        const before = all.slice();
        const fitted = make().fit(all.slice(0, known));
        const z = fitted.transform(all);
        expect(z.length).toBe(all.length - fitted.lost);
        // Rounding grows with what is added up, not with the transform: a bound on the largest value.
        expectClose(fitted.inverse(z, all.slice(0, fitted.lost)), all.slice(fitted.lost), 1e-8);
        expectClose(fitted.inverse(z.slice(known - fitted.lost), all.slice(0, known)), all.slice(known), 1e-8);
        expect(all).toEqual(before);
        const again = transformFromJSON(JSON.parse(JSON.stringify(fitted)));
        expect(again.lost).toBe(fitted.lost);
        expect(again.transform(all)).toEqual(z);
        expect(again.inverse(z, all)).toEqual(fitted.inverse(z, all));
      }),
    );
  });

  test("JSON that is no transform is refused", () => {
    refused(() => transformFromJSON(null), "A transform must be a JSON object, but is null.");
    refused(
      () => transformFromJSON({ kind: "sqrt" }),
      'log, log1p, difference, standard, min-max or pipeline, but is "sqrt"',
    );
    refused(() => transformFromJSON({ kind: "difference", lag: 1.5 }), "must be a whole number, but is 1.5");
    refused(
      () => transformFromJSON({ kind: "difference" }),
      'The lag of the transform "difference" must be a finite number',
    );
    refused(() => transformFromJSON({ kind: "standard", mean: 1, deviation: 0 }), "must be above 0, but is 0");
    refused(
      () => transformFromJSON({ kind: "standard", mean: "1", deviation: 1 }),
      'must be a finite number, but is "1"',
    );
    refused(() => transformFromJSON({ kind: "min-max", minimum: 0, scale: null, low: 0 }), "but is null");
    refused(() => transformFromJSON({ kind: "pipeline", steps: {} }), "The steps of a pipeline must be a list");
    refused(() => transformFromJSON({ kind: "pipeline", steps: [{ kind: "x" }] }), 'but is "x"');
  });
});
