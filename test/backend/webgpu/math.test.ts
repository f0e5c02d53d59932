import { describe, expect, it } from "vitest";
import { evaluate } from "../../../src/backend/evaluate.js";
import { scalars } from "../../../src/backend/reference/scalars.js";
import * as language from "../../../src/graph/language.js";
import { type UnaryName, unaryNames } from "../../../src/graph/pointwise.js";
import { randomKey, randomUniform } from "../../../src/graph/random.js";
import { pointwise, type Tensor } from "../../../src/graph/tensor.js";
import { variable } from "../../../src/graph/variable.js";
import { testBackend } from "./driver.js";

const backend = await testBackend();
const MIN_NORMAL = 2 ** -126;
/** In units of the last place; division and square root are given 2.5 and more by the language itself. */
const tolerance = 6;

/** Numbers of every size and both signs, many of them near 1, and those at which functions bend. */
function everySize(): Float32Array {
  const numbers = [0, -0, 1, -1, Infinity, -Infinity, NaN, 88.7, 88.8, 89, -87.3, -87.4, -103, -104, -200, 0.9, 4, 10];
  for (let exponent = -126; exponent < 128; exponent += 0.25) numbers.push(2 ** exponent, -(2 ** exponent) * 1.3);
  for (let x = -20; x < 20; x += 0.0103) numbers.push(x);
  for (let x = -0.5; x < 0.5; x += 0.000517) numbers.push(x);
  return Float32Array.from(numbers);
}

const unitOf = (x: number): number => 2 ** (Math.floor(Math.log2(Math.max(Math.abs(x), MIN_NORMAL))) - 23);

function check(name: string, x: number, y: number, expected: number): void {
  const want = Math.fround(expected);
  const close =
    Object.is(y, want) ||
    (Number.isNaN(want) && Number.isNaN(y)) ||
    // What is denormal on the way may be 0.
    Math.abs(y - expected) <= Math.max(tolerance * unitOf(expected), MIN_NORMAL);
  if (!close) expect.fail(`${name}(${x}) is ${y}, should be ${want}`);
}

describe.runIf(backend)("functions in WGSL", () => {
  it("are those of float64 within 6 units in the last place, at every size, and keep NaN", async () => {
    const numbers = everySize();
    const x = variable("x", [numbers.length]);
    const outputs = Object.fromEntries(
      unaryNames.map((name) => [name, pointwise(name, language.current(x))]),
    ) as Record<UnaryName, Tensor>;
    const found = await evaluate(backend!, outputs, [[x, numbers]]);
    for (const name of unaryNames)
      numbers.forEach((number, i) => {
        check(name, number, found[name][i]!, scalars[name](number, 0, 0));
      });
  });

  it("give max, min and select what is not a number, as the reference does", async () => {
    const some = [NaN, -3, 0, 2.5, Infinity, -Infinity];
    const pairs = some.flatMap((a) => some.map((b) => [a, b] as const));
    const [a, b] = [variable("a", [pairs.length]), variable("b", [pairs.length])];
    const [x, y] = [language.current(a), language.current(b)];
    const outputs = {
      max: pointwise("max", x, y),
      min: pointwise("min", x, y),
      select: language.select(x, y, language.constant(7)),
      relu: language.relu(x),
    };
    const found = await evaluate(backend!, outputs, [
      [a, pairs.map(([first]) => first)],
      [b, pairs.map(([, second]) => second)],
    ]);
    expect([...found.max]).toEqual(pairs.map(([first, second]) => Math.max(first, second)));
    expect([...found.min]).toEqual(pairs.map(([first, second]) => Math.min(first, second)));
    expect([...found.select]).toEqual(pairs.map(([first, second]) => (first !== 0 ? second : 7)));
    expect([...found.relu]).toEqual(pairs.map(([first]) => Math.max(first, 0)));
  });

  it("draw the numbers that every backend draws, bit for bit", async () => {
    const [seed, rows, columns] = [-1_234_567_891, 37, 11];
    const from = { ...variable("seed", [1], "index"), initial: [seed] };
    const x = variable("x", [rows, columns]);
    const y = language.dropped(language.current(x), 0.5, language.current(from), 9);
    const found = await evaluate(backend!, { y }, [[x, new Float32Array(rows * columns).fill(1)]]);
    const drawn = Array.from({ length: rows * columns }, (_, i) => randomUniform(randomKey(seed, 9), i));
    expect([...found.y]).toEqual(drawn.map((u) => (u < 0.5 ? 0 : 2)));
  });
});
