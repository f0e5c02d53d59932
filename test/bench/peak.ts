/**
 * What one core can do at most: a loop of multiply-adds on registers, nothing read and nothing written. The host of a rented
 * machine gives more or less of a core from minute to minute, so this is measured beside every result.
 */
import { createModule } from "../../src/backend/wasm/assembler/assembler.js";
import { i32, v128 } from "../../src/backend/wasm/assembler/instructions.js";
import { hasRelaxedSimd } from "../../src/backend/wasm/features.js";
import { compileOptimized } from "../../src/backend/wasm/flags-node.js";

/** Something to time: operations of one call, and the call. */
export interface Timed {
  readonly operations: number;
  readonly call: () => void;
}

/**
 * Independent sums: enough to hide a multiply-add's four cycles, two a cycle, and few enough for the registers. The greater
 * number is for 256-bit revectorisation, which makes one register of two neighbours.
 */
const SUMS = { narrow: 12, wide: 24 } as const;
const ITERATIONS = 20_000;
const LANES = 4;
const OPERATIONS = 2;
/** Bytes: the sums lie here before and after the loop, constants below. */
const PLACE = 1024;

/** Run it when the flags of V8 are set. */
export function peakLoop(width: keyof typeof SUMS): Timed {
  const sums = SUMS[width];
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const words = new Int32Array(memory.buffer);
  const constants: number[] = [];
  const constantAddress = (bits: number): number => {
    if (!constants.includes(bits)) words[constants.push(bits) - 1] = bits;
    return 4 * constants.indexOf(bits);
  };
  const module = createModule({ relaxed: hasRelaxedSimd(), constantAddress, memory: { minimum: 1, maximum: 1 } });
  const loop = module.function("peak", [], undefined, (f) => {
    // sum·0.999 + 0.001 stays near 1; were the product the same each time, it would be computed once.
    const [x, y] = [f.constant(0.999), f.constant(0.001)];
    const place = f.let(i32.const(PLACE));
    const locals = Array.from({ length: sums }, (_, i) => f.let(v128.load(place, 4 * LANES * i)));
    f.count(0, ITERATIONS, 1, () => {
      for (const local of locals) f.set(local, f.madd(local, x, y));
    });
    locals.forEach((local, i) => {
      f.store(place, local, 4 * LANES * i);
    });
  });
  module.export("run", loop);
  const instance = new WebAssembly.Instance(compileOptimized(module.encode()), { host: { memory } });
  return { operations: ITERATIONS * sums * LANES * OPERATIONS, call: instance.exports.run as () => void };
}

function speedOf({ operations, call }: Timed): number {
  const began = performance.now();
  call();
  return operations / (performance.now() - began) / 1e6;
}

/** A function that measures for a few milliseconds: GFLOP/s of one core. */
export function createPeak(): () => number {
  const loops = [peakLoop("narrow"), peakLoop("wide")];
  return () => Math.max(...Array.from({ length: 8 }, () => loops.map(speedOf)).flat());
}
