import { describe, expect, it } from "vitest";
import { hasRelaxedSimd } from "../../../src/backend/wasm/features.js";
import { enableRelaxedSimd } from "../../../src/backend/wasm/flags-node.js";
import * as rare from "../../../src/backend/wasm/kernels/functions.js";
import * as math from "../../../src/backend/wasm/kernels/math.js";
import { CHUNK, elementwise } from "./emit.js";

/**
 * One bit pattern in 4001, and the neighbourhoods below. With EXHAUSTIVE=1 every pattern there is (an hour or two), with
 * EXHAUSTIVE=n one in n; SHOW_ERRORS=1 prints the largest error of each function.
 */
const exhaustive = Number(process.env.EXHAUSTIVE ?? 0) > 0;
const STRIDE = exhaustive ? Number(process.env.EXHAUSTIVE) : 4001;

/** The error function in float64: its Maclaurin series, and a continued fraction for 1 − erf. */
function erf(x: number): number {
  const a = Math.abs(x);
  if (Number.isNaN(x)) return Number.NaN;
  if (a > 6) return Math.sign(x);
  if (a < 2) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return x === 0 ? x : (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 120; n > 0; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + fraction));
}

const functions: { name: string; emit: Parameters<typeof elementwise>[1]; exact: (x: number) => number }[] = [
  { name: "exp", emit: rare.exp, exact: Math.exp },
  { name: "expm1", emit: rare.expm1, exact: Math.expm1 },
  { name: "tanh", emit: math.tanh, exact: Math.tanh },
  {
    name: "sigmoid",
    emit: math.sigmoid,
    exact: (x) => (x < 0 ? Math.exp(x) / (1 + Math.exp(x)) : 1 / (1 + Math.exp(-x))),
  },
  { name: "log", emit: rare.log, exact: Math.log },
  { name: "log1p", emit: rare.log1p, exact: Math.log1p },
  { name: "softplus", emit: rare.softplus, exact: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))) },
  { name: "erf", emit: rare.erf, exact: erf },
];

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);
/** The distance of two neighbouring float32 numbers around x. */
function ulp(x: number): number {
  float[0] = x;
  const exponent = Math.max((bits[0]! >>> 23) & 0xff, 1);
  return 2 ** (exponent - 127 - 23);
}

/** |got − exact| in ULP of the exact value; infinite where one is NaN, infinite or of another sign alone. */
function ulpError(got: number, exact: number): number {
  const rounded = Math.fround(exact);
  if (Object.is(got, rounded)) return 0;
  if (Number.isNaN(got) || Number.isNaN(exact)) return Number.POSITIVE_INFINITY;
  // One step past the largest float is infinity: within bounds exactly where rounding is in doubt.
  if (!Number.isFinite(got))
    return Math.abs(exact) > 3.402823e38 && got > 0 === exact > 0 ? 1 : Number.POSITIVE_INFINITY;
  if (!Number.isFinite(rounded))
    return Math.abs(got) > 3.402823e38 && got > 0 === exact > 0 ? 1 : Number.POSITIVE_INFINITY;
  if (got === 0 && rounded === 0) return Number.POSITIVE_INFINITY;
  return Math.abs(got - exact) / ulp(exact);
}

/** Bit patterns worth trying one by one. */
const neighbourhoods = [
  0, 0x00800000, 0x33800000, 0x33000000, 0x3eb17218, 0x3e800000, 0x3f000000, 0x3f3504f3, 0x3f666666, 0x3f800000,
  0x3f851592, 0x3fb504f3, 0x40000000, 0x40800000, 0x41200000, 0x41100000, 0x41900000, 0x42b17218, 0x42aeac50,
  0x42cff1b5, 0x42d00000, 0x7f800000, 0x7fc00000, 0x7fffffff,
].flatMap((pattern) => [pattern, (pattern | 0x80000000) >>> 0]);

function* patterns(): Generator<number> {
  for (const centre of neighbourhoods) for (let d = -300; d <= 300; d++) yield (centre + d) >>> 0;
  for (let pattern = 0; pattern < 2 ** 32; pattern += STRIDE) yield pattern;
}

function worst(
  relaxed: boolean,
  { emit, exact }: (typeof functions)[number],
): { error: number; at: number; got: number } {
  const { run, input, output } = elementwise(relaxed, emit);
  const inputBits = new Uint32Array(input.buffer, input.byteOffset, CHUNK);
  const result = { error: 0, at: 0, got: 0 };
  let filled = 0;
  const check = () => {
    run();
    for (let i = 0; i < filled; i++) {
      const error = ulpError(output[i]!, exact(input[i]!));
      if (error > result.error) Object.assign(result, { error, at: input[i]!, got: output[i]! });
    }
    filled = 0;
  };
  for (const pattern of patterns()) {
    inputBits[filled++] = pattern;
    if (filled === CHUNK) check();
  }
  check();
  return result;
}

describe("elementary functions over the whole float32 range", () => {
  it("have relaxed SIMD to test (Node 20 and newer)", () => {
    enableRelaxedSimd();
    expect(hasRelaxedSimd()).toBe(true);
  });

  for (const relaxed of [false, true]) {
    for (const fn of functions) {
      it(`${fn.name}: at most 4 ULP, ${relaxed ? "fused" : "plain"} multiply-add`, {
        timeout: exhaustive ? 3_600_000 : 60_000,
      }, () => {
        const { error, at, got } = worst(relaxed, fn);
        if (process.env.SHOW_ERRORS)
          console.log(`${fn.name} ${relaxed ? "fused" : "plain"}: ${error.toFixed(2)} ULP at ${at}`);
        expect(error, `${fn.name}(${at}) = ${got}, should be ${fn.exact(at)}`).toBeLessThanOrEqual(4);
      });
    }
  }

  it("keeps the sign of zero, infinities and NaN", () => {
    for (const relaxed of [false, true]) {
      for (const { name, emit, exact } of functions) {
        const { run, input, output } = elementwise(relaxed, emit);
        const edges = [
          0,
          -0,
          Infinity,
          -Infinity,
          NaN,
          1,
          -1,
          2 ** -149,
          -(2 ** -149),
          3.4028234663852886e38,
          -3.4028234663852886e38,
        ];
        input.set(edges);
        run();
        for (const [i, x] of edges.entries()) {
          const want = Math.fround(exact(x));
          const message = `${name}(${Object.is(x, -0) ? "-0" : x}) = ${output[i]}`;
          if (want === 0 || !Number.isFinite(want)) expect(output[i], message).toBe(want);
          else expect(ulpError(output[i]!, exact(x)), message).toBeLessThanOrEqual(4);
        }
      }
    }
  });

  it("tanh and erf stay within ±1, sigmoid within 0 and 1", () => {
    for (const relaxed of [false, true]) {
      for (const [emit, low] of [
        [math.tanh, -1],
        [rare.erf, -1],
        [math.sigmoid, 0],
      ] as const) {
        const { run, input, output } = elementwise(relaxed, emit);
        for (let i = 0; i < CHUNK; i++) input[i] = (i / CHUNK - 0.5) * 40;
        run();
        expect(output.every((y) => y >= low && y <= 1)).toBe(true);
      }
    }
  });
});
