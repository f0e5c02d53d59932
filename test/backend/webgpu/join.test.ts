/** Dispatches made one: whatever depends on another stays behind it. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Planned } from "../../../src/backend/webgpu/dispatch.js";
import { joined, type Spanning } from "../../../src/backend/webgpu/join.js";
import { conflict, spanOf } from "../../../src/backend/webgpu/span.js";
import { type Shader, type Space, textOf } from "../../../src/backend/webgpu/wgsl/source.js";
import type { View } from "../../../src/program/program.js";

const shader = (body: string): Shader => ({ head: "", declarations: "", body, size: 64, words: 1 });

const spaces = ["variables", "temporaries"] as const satisfies readonly Space[];

/** A view over so many steps, in reverse or not, at a place of its own. */
const access = fc
  .record({
    space: fc.nat(1),
    offset: fc.nat(20),
    rows: fc.integer({ min: 1, max: 3 }),
    columns: fc.integer({ min: 1, max: 3 }),
    beside: fc.nat(3),
    step: fc.constantFrom("none", "whole", "odd", "back"),
    steps: fc.integer({ min: 1, max: 3 }),
    writes: fc.boolean(),
  })
  .map(({ space, offset, rows, columns, beside, step, steps, writes }) => {
    const stride = columns + beside;
    const of = { none: 0, whole: rows * stride, odd: stride + 1, back: -stride }[step];
    const view: View = {
      buffer: space,
      offset: offset + (of < 0 ? stride * steps : 0),
      rows,
      columns,
      stride,
      step: of,
    };
    return { view, steps, writes };
  });
type Access = { readonly view: View; readonly steps: number; readonly writes: boolean };

const range = (length: number): number[] => Array.from({ length }, (_, i) => i);
const elementsOf = ({ view: { offset, rows, columns, stride, step }, steps }: Access): Set<number> =>
  new Set(
    range(steps).flatMap((t) =>
      range(rows).flatMap((r) => range(columns).map((c) => offset + t * step + r * stride + c)),
    ),
  );
/** Element by element. */
const meets = (a: Access, b: Access): boolean =>
  (a.writes || b.writes) &&
  a.view.buffer === b.view.buffer &&
  [...elementsOf(a)].some((element) => elementsOf(b).has(element));
const spanned = ({ view, steps, writes }: Access) =>
  spanOf(view, steps, writes, (buffer) => ({ space: spaces[buffer]!, offset: 0 }));
const dispatch = fc.record({
  code: fc.constantFrom("a", "b", "c"),
  workgroups: fc.integer({ min: 1, max: 9 }),
  isLoop: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  accesses: fc.array(access, { maxLength: 3 }),
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
        const list = drawn.map(({ code, workgroups, isLoop, accesses }, i): Spanning => {
          const one = { label: `${i}`, how: "", workgroups: [workgroups, 1, 1], parameters: [i] } as const;
          return {
            planned: isLoop
              ? { loop: `${i}`, steps: 2, reverse: false, why: "", body: [{ ...one, code }] }
              : { ...one, code: shader(code) },
            spans: accesses.map(spanned),
          };
        });
        const places = placesOf(joined(list));
        expect(places.size).toBe(list.length);
        drawn.forEach((later, j) => {
          drawn.slice(0, j).forEach((earlier, i) => {
            const depends = earlier.accesses.some((a) => later.accesses.some((b) => meets(a, b)));
            if (depends) expect(places.get(`${i}`)).toBeLessThan(places.get(`${j}`)!);
          });
        });
      }),
      { numRuns: 500 },
    );
  });

  it("are one where they are alike and independent, with all their workgroups", () => {
    const alike = (from: number, workgroups: number): Spanning => ({
      planned: {
        label: `at ${from}`,
        how: "chain",
        code: shader("// a body"),
        workgroups: [workgroups, 1, 1],
        parameters: [from],
      },
      spans: [{ space: "variables", from, to: from + 1, writes: true, stride: 0, columns: 1 }],
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
    expect("code" in one! && one.code).toBe(textOf(shader("// a body"), 32));
    expect("code" in one! && one.code).toMatch(/array<vec4<u32>, 8>[\s\S]*let group = ofAll - [\s\S]*\/\/ a body/);
    expect("parameters" in one! && one.parameters).toEqual([
      ...block(0, 0, 3, 0),
      ...block(1, 3, 7, 0),
      ...block(2, 7, 12, 1),
      ...new Array(8).fill(0),
    ]);
  });

  it("go as far ahead as they can, so that the pieces of two loops meet in pairs", () => {
    const piece = (loop: string, number: number, from: number): Spanning => ({
      planned: { label: `${loop}${number}`, how: "", code: shader(""), workgroups: [1, 1, 1], parameters: [] },
      spans: [{ space: "temporaries", from, to: from + 4, writes: true, stride: 0, columns: 4 }],
    });
    const list = [...[1, 2, 3].map((n) => piece("a", n, 0)), ...[1, 2, 3].map((n) => piece("b", n, 4))];
    expect(joined(list).map((each) => "label" in each && each.label)).toEqual(["a1 + b1", "a2 + b2", "a3 + b3"]);
  });
});

describe("what is read and written", () => {
  it("conflicts wherever an element is both's, and one of them writes it", () => {
    fc.assert(
      fc.property(access, access, (a, b) => {
        if (meets(a, b)) expect(conflict(spanned(a), spanned(b))).toBe(true);
      }),
      { numRuns: 5000 },
    );
  });

  it("does not conflict in other columns of the same rows, at any step", () => {
    const half = (offset: number, columns: number, rows: number, step: number): Access => ({
      view: { buffer: 0, offset, rows, columns, stride: 10, step },
      steps: 5,
      writes: true,
    });
    for (const rows of [1, 3]) {
      const step = rows * 10;
      const left = half(20, 4, rows, step);
      // A reverse loop's counterpart lies some rows further on.
      for (const right of [half(24, 6, rows, step), half(24 + step, 6, rows, step)])
        expect(conflict(spanned(left), spanned(right))).toBe(false);
      expect(conflict(spanned(left), spanned(half(23, 6, rows, step)))).toBe(true);
      expect(conflict(spanned(left), spanned(half(24, 7, rows, step)))).toBe(true);
      expect(conflict(spanned(left), spanned(half(24, 6, rows, step + 1)))).toBe(true);
    }
  });
});
