import fc from "fast-check";
import { expect, test } from "vitest";
import { fromBfloat, fromHalf, toBfloat, toHalf } from "../../src/files/half.js";

const formats = [
  { name: "binary16", from: fromHalf, to: toHalf, infinity: 0x7c00 },
  { name: "bfloat16", from: fromBfloat, to: toBfloat, infinity: 0x7f80 },
];

test.each(formats)("every one of the 65,536 $name patterns survives, NaN as NaN", ({ from, to, infinity }) => {
  for (let pattern = 0; pattern < 0x10000; pattern++) {
    const value = from(pattern);
    const isNaNPattern = (pattern & 0x7fff) > infinity;
    if (Number.isNaN(value) !== isNaNPattern) throw new Error(`pattern ${pattern} is ${value}`);
    if (isNaNPattern ? !Number.isNaN(from(to(value))) : to(value) !== pattern) {
      throw new Error(`pattern ${pattern} (${value}) comes back as ${to(value)}`);
    }
  }
});

test("known binary16 values", () => {
  const known = [
    [0x3c00, 1],
    [0xc000, -2],
    [0x7bff, 65504],
    [0x0400, 2 ** -14],
    [0x0001, 2 ** -24],
    [0x3555, 0.333251953125],
    [0xfc00, -Infinity],
  ] as const;
  for (const [pattern, value] of known) expect(fromHalf(pattern)).toBe(value);
  expect(Object.is(fromHalf(0x8000), -0)).toBe(true);
  expect(toHalf(65519.996)).toBe(0x7bff);
  expect(toHalf(65520)).toBe(0x7c00);
  expect(toHalf(2 ** -25)).toBe(0); // a tie, to even
  expect(toHalf(1.5 * 2 ** -24)).toBe(2); // a tie, to even
  expect(toHalf(1 + 2 ** -11)).toBe(0x3c00); // a tie, to even
  expect(toHalf(1 + 3 * 2 ** -11)).toBe(0x3c02); // a tie, to even
});

test("known bfloat16 values", () => {
  expect(fromBfloat(0x3f80)).toBe(1);
  expect(fromBfloat(0x4049)).toBe(3.140625);
  expect(toBfloat(1 + 2 ** -8)).toBe(0x3f80); // a tie, to even
  expect(toBfloat(1 + 3 * 2 ** -8)).toBe(0x3f82); // a tie, to even
  expect(toBfloat(3.4028234663852886e38)).toBe(0x7f80);
});

test.each(formats)("a float32 rounds to the nearest $name, ties to the even pattern", ({ from, to, infinity }) => {
  fc.assert(
    fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
      const pattern = to(value);
      const magnitude = pattern & 0x7fff;
      if (magnitude === infinity) return Math.abs(value) > from(infinity - 1);
      const distance = Math.abs(from(pattern) - value);
      const neighbours = [magnitude - 1, magnitude + 1].filter((m) => m >= 0 && m < infinity);
      return neighbours.every((m) => {
        const other = Math.abs(from((pattern & 0x8000) | m) - value);
        return distance < other || (distance === other && pattern % 2 === 0);
      });
    }),
    { numRuns: 5000 },
  );
});
