/** Uniform random numbers in a chain, by the counter-based generator of graph/random.ts. */
import { mix } from "../../../graph/random.js";
import type { FunctionBuilder } from "../assembler/assembler.js";
import { f32x4, i32, i32x4, plus, type V128, v128 } from "../assembler/instructions.js";
import { BYTES, moving, type Rare, type Vector } from "./emission.js";
import { batchOf, isRandom } from "./pointwise.js";

const MULTIPLIERS = [0x7feb352d, 0x846ca68b] as const;

/** `mix` of graph/random.ts over four lanes. */
function mixLanes(f: FunctionBuilder, x: V128): Vector {
  const [first, second] = MULTIPLIERS;
  const folded = (y: Vector, bits: number): V128 => v128.xor(y, i32x4.shrU(y, bits));
  const a = f.let(i32x4.mul(folded(f.let(x), 16), f.bits(first)));
  const b = f.let(i32x4.mul(folded(a, 15), f.bits(second)));
  return f.let(folded(b, 16));
}

export const randomNumbers: Rare["randomNumbers"] = (f, { code, rows, columns }, first, seedOf) => {
  // randomKey(seed, key) = mix(seed ^ mix(key)) in every lane
  const keys = new Map(
    code.filter(isRandom).map((instruction) => {
      const seed = i32.xor(seedOf(instruction.seed), i32.const(mix(instruction.key)));
      return [instruction, mixLanes(f, i32x4.splat(seed))];
    }),
  );
  // The number of the row's first element.
  const counter = moving(f, first);
  const lane = f.let(v128.const([0, 1, 2, 3]));
  const batch = batchOf(code);
  const untilNextStep = batch && rows > batch.rows ? f.let(i32.const(batch.rows)) : undefined;
  return {
    at(offset, constant) {
      let mixed: Vector | undefined;
      return (instruction) => {
        const start = plus(counter, constant / BYTES);
        const number = offset ? i32.add(start, i32.shrU(offset, i32.const(2))) : start;
        mixed ??= mixLanes(f, i32x4.add(i32x4.splat(number), lane));
        const bits = mixLanes(f, v128.xor(mixed, keys.get(instruction)!));
        return f32x4.mul(f32x4.convert(i32x4.shrU(bits, 8)), f.constant(2 ** -24));
      };
    },
    nextRow() {
      f.set(counter, plus(counter, columns));
      if (!untilNextStep || !batch) return;
      // The rows of other workers lie between one step's and the next's.
      f.set(untilNextStep, plus(untilNextStep, -1));
      f.if(i32.eqz(untilNextStep), () => {
        f.set(untilNextStep, i32.const(batch.rows));
        f.set(counter, plus(counter, (batch.of - batch.rows) * columns));
      });
    },
  };
};
