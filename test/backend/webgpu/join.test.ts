/** Dispatches made one: whatever depends on another stays behind it. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Planned } from "../../../src/backend/webgpu/dispatch.js";
import { joined, type Touch, type Touching } from "../../../src/backend/webgpu/join.js";

const meets = (a: Touch, b: Touch): boolean =>
  (a.writes || b.writes) && a.space === b.space && a.from < b.to && b.from < a.to;
const depends = (a: Touching, b: Touching): boolean => a.touches.some((x) => b.touches.some((y) => meets(x, y)));

const touch = fc.record({
  space: fc.constantFrom("variables", "temporaries"),
  from: fc.nat(20),
  length: fc.integer({ min: 1, max: 4 }),
  writes: fc.boolean(),
});
const dispatch = fc.record({
  code: fc.constantFrom("a", "b", "c"),
  workgroups: fc.integer({ min: 1, max: 9 }),
  isLoop: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  touches: fc.array(touch, { maxLength: 3 }),
});

/** The labels, by the place of the dispatch that they are in. */
const placesOf = (planned: readonly Planned[]): Map<string, number> =>
  new Map(
    planned.flatMap((each, place) =>
      ("loop" in each ? [each.loop] : each.label.split(" + ")).map((label) => [label, place] as const),
    ),
  );

describe("joined dispatches", () => {
  it("keep the order of those that depend on one another, and lose none", () => {
    fc.assert(
      fc.property(fc.array(dispatch, { maxLength: 30 }), (drawn) => {
        const list = drawn.map(({ code, workgroups, isLoop, touches }, i): Touching => {
          const one = { label: `${i}`, how: "", code, workgroups: [workgroups, 1, 1], parameters: [i] } as const;
          return {
            planned: isLoop ? { loop: `${i}`, steps: 2, reverse: false, why: "", body: [one] } : one,
            touches: touches.map(({ from, length, ...rest }) => ({ ...rest, from, to: from + length })),
          };
        });
        const places = placesOf(joined(list));
        expect(places.size).toBe(list.length);
        list.forEach((later, j) => {
          list.slice(0, j).forEach((earlier, i) => {
            if (depends(earlier, later)) expect(places.get(`${i}`)).toBeLessThan(places.get(`${j}`)!);
          });
        });
      }),
      { numRuns: 500 },
    );
  });

  it("are one where they are alike and independent, with all their workgroups", () => {
    const alike = (from: number, workgroups: number): Touching => ({
      planned: {
        label: `at ${from}`,
        how: "chain",
        code: "const own = 0u;",
        workgroups: [workgroups, 1, 1],
        parameters: [from],
      },
      touches: [{ space: "variables", from, to: from + 1, writes: true }],
    });
    const [one, ...others] = joined([alike(0, 3), alike(1, 4), alike(2, 5)]);
    expect(others).toEqual([]);
    expect(one).toMatchObject({ label: "at 0 + at 1 + at 2", how: "3 together: chain", workgroups: [12, 1, 1] });
    // Each one's parameters, then where its workgroups begin and end, and whether it is the last; for a power of two of them.
    const block = (from: number, begin: number, end: number, last: number): number[] => [
      from,
      0,
      0,
      0,
      begin,
      end,
      last,
      0,
    ];
    expect("parameters" in one! && one.parameters).toEqual([
      ...block(0, 0, 3, 0),
      ...block(1, 3, 7, 0),
      ...block(2, 7, 12, 1),
      ...new Array(8).fill(0),
    ]);
  });
});
