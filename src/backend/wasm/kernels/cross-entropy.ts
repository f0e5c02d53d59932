/** Softmax cross-entropy and its gradient, a row at a time. */
import type { CrossEntropy, View } from "../../../program/program.js";
import type { FunctionBuilder } from "../assembler/assembler.js";
import { f32, f32x4, i32, type V128, v128 } from "../assembler/instructions.js";
import {
  advance,
  at,
  BYTES,
  type Call,
  type Emission,
  forColumns,
  keepLanes,
  moving,
  type Pointer,
  times,
  type Vector,
  viewArgument,
} from "./emission.js";
import { rowMax, sumOfExponentials } from "./exponentials.js";
import { log } from "./functions.js";
import { sumLanes } from "./horizontal.js";

/** Moves from row to row; a view of one row stays. */
const rowBytes = (view: View, rows: number): number => (view.rows === 1 && rows > 1 ? 0 : view.stride * BYTES);

export function emitCrossEntropy(emission: Emission, kernel: CrossEntropy, label: string): Call {
  const views = [kernel.logits, kernel.target, kernel.out];
  if (kernel.weights) views.push(kernel.weights);
  if (kernel.scale) views.push(kernel.scale);
  const target = emission.module.function(
    label,
    views.map(() => "i32" as const),
    undefined,
    (f, ...pointers) => {
      const [logits, index, out] = pointers.slice(0, 3).map((pointer) => moving(f, pointer)) as [
        Pointer,
        Pointer,
        Pointer,
      ];
      const rest = pointers.slice(3);
      const weights = kernel.weights ? rest.shift()! : undefined;
      const scale = kernel.scale ? moving(f, rest.shift()!) : undefined;
      const rows: Rows = { f, kernel, logits, index, out, weights, scale };
      const weightSum = kernel.smoothing > 0 ? sumOfWeights(rows) : undefined;
      times(f, kernel.logits.rows, () => {
        // A negative index is a large unsigned one.
        const inside = i32.ltU(i32.load(index), i32.const(kernel.logits.columns));
        if (scale)
          f.if(
            inside,
            () => emitGradientRow(rows, scale, weightSum),
            () => clearRow(rows),
          );
        else
          f.if(
            inside,
            () => emitLossRow(rows),
            () => f.storeF32(out, f32.const(0)),
          );
        advance(f, logits, kernel.logits.stride * BYTES);
        advance(f, index, kernel.target.stride * BYTES);
        advance(f, out, kernel.out.stride * BYTES);
        if (scale) advance(f, scale, rowBytes(kernel.scale!, kernel.logits.rows));
      });
    },
  );
  return { target, parameters: views.map(viewArgument) };
}

interface Rows {
  readonly f: FunctionBuilder;
  readonly kernel: CrossEntropy;
  readonly logits: Pointer;
  readonly index: Pointer;
  readonly out: Pointer;
  readonly weights: Pointer | undefined;
  readonly scale: Pointer | undefined;
}

/** Σ_j w_j in every lane. */
function sumOfWeights({ f, kernel, weights }: Rows): Vector {
  const { columns } = kernel.logits;
  if (!weights) return f.constant(columns);
  const total = f.let(f.constant(0));
  forColumns(f, columns, (offset, constant, lanes) =>
    f.set(total, f32x4.add(total, keepLanes(f, v128.load(at(weights, offset), constant), lanes, f.constant(0)))),
  );
  return sumLanes(f, total);
}

/** Bytes from a row's start to its target's element. */
const targetOffset = ({ f, index }: Rows): Pointer => f.let(i32.shl(i32.load(index), i32.const(2)));

/** (1−ε)·w_y in every lane. */
function targetShare({ f, kernel, weights }: Rows, offset: Pointer): Vector {
  const share = f.constant(1 - kernel.smoothing);
  return weights ? f.let(f32x4.mul(share, v128.load32Splat(i32.add(weights, offset)))) : share;
}

/** w·x, and 0 where w is: x may then be infinite. */
const weighted = (f: FunctionBuilder, w: Vector, x: V128): V128 =>
  v128.andnot(f32x4.mul(w, x), f32x4.eq(w, f.constant(0)));

/** loss = Σ_j q_j·(log Σe^z − z_j). */
function emitLossRow(rows: Rows): void {
  const { f, kernel, logits, out, weights } = rows;
  const { columns } = kernel.logits;
  const largest = rowMax(f, logits, columns);
  const logTotal = log(f, sumOfExponentials(f, logits, columns, largest));
  /** −log softmax of z. */
  const negativeLog = (z: V128): V128 => f32x4.sub(logTotal, f32x4.sub(z, largest));
  const y = targetOffset(rows);
  const loss = f.let(weighted(f, targetShare(rows, y), negativeLog(v128.load32Splat(i32.add(logits, y)))));
  if (kernel.smoothing > 0) {
    const spread = f.let(f.constant(0));
    forColumns(f, columns, (offset, constant, lanes) => {
      const all = negativeLog(v128.load(at(logits, offset), constant));
      const each = weights ? weighted(f, f.let(v128.load(at(weights, offset), constant)), all) : all;
      f.set(spread, f32x4.add(spread, keepLanes(f, each, lanes, f.constant(0))));
    });
    f.set(loss, f.madd(sumLanes(f, spread), f.constant(kernel.smoothing / columns), loss));
  }
  f.store(out, loss, 0, 1);
}

/** d loss/d z_j = scale·(softmax(z)_j·Σq − q_j). */
function emitGradientRow(rows: Rows, scale: Pointer, weightSum: Vector | undefined): void {
  const { f, kernel, logits, out, weights } = rows;
  const { columns } = kernel.logits;
  const each = f.constant(kernel.smoothing / columns);
  const largest = rowMax(f, logits, columns);
  const y = targetOffset(rows);
  const total = sumOfExponentials(f, logits, columns, largest, out);
  const factor = f.let(v128.load32Splat(scale));
  const share = targetShare(rows, y);
  // Σq = (1−ε)·w_y + ε/V·Σw.
  const sumOfQ = weightSum ? f.madd(weightSum, each, share) : share;
  const slope = f.let(f32x4.div(f32x4.mul(factor, sumOfQ), total));
  const spread = f.let(f32x4.mul(factor, each));
  forColumns(f, columns, (offset, constant, lanes) => {
    const address = f.let(at(out, offset));
    const softmaxPart = f32x4.mul(v128.load(address, constant), slope);
    const smoothed = weights ? f32x4.mul(spread, v128.load(at(weights, offset), constant)) : spread;
    f.store(address, kernel.smoothing > 0 ? f32x4.sub(softmaxPart, smoothed) : softmaxPart, constant, lanes);
  });
  const element = f.let(i32.add(out, y));
  f.store(element, f.nmadd(factor, share, v128.load32Splat(element)), 0, 1);
}

function clearRow({ f, kernel, out }: Rows): void {
  forColumns(f, kernel.logits.columns, (offset, constant, lanes) =>
    f.store(at(out, offset), f.constant(0), constant, lanes),
  );
}
