/**
 * Products as dot products: A's rows and B's columns both lie along the depth, and so do the vectors. For a single row
 * or column, or few of them, where B would be packed for nothing.
 */
import type { Product, View } from "../../../../program/program.js";
import type { FunctionBuilder } from "../../assembler/assembler.js";
import { f32x4, type I32, i32, v128 } from "../../assembler/instructions.js";
import {
  advance,
  BYTES,
  type Call,
  type Emission,
  LANES,
  moving,
  type Pointer,
  times,
  VECTOR,
  type Vector,
  viewArgument,
} from "../emission.js";
import { transpose4 } from "../transpose.js";

/** A tile of rows × columns dot products, each in an accumulator of its own. */
interface DotTile {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly aRow: number;
  readonly bColumn: number;
  readonly outRow: number;
  readonly accumulate: boolean;
}

interface Place {
  readonly a: Pointer;
  readonly b: Pointer;
  readonly out: Pointer;
}

function emitDotTile(f: FunctionBuilder, tile: DotTile, place: Place): void {
  const { rows, columns, depth } = tile;
  const sums = Array.from({ length: rows }, () => Array.from({ length: columns }, () => f.let(f.constant(0))));
  const step = (a: I32, b: I32, constant: number, mask?: Vector): void => {
    const bs = Array.from({ length: columns }, (_, c) => f.let(v128.load(b, c * tile.bColumn + constant)));
    if (mask) for (const x of bs) f.set(x, v128.and(x, mask));
    for (let r = 0; r < rows; r++) {
      const load = v128.load(a, r * tile.aRow + constant);
      const x = f.let(mask ? v128.and(load, mask) : load);
      for (let c = 0; c < columns; c++) f.set(sums[r]![c]!, f.madd(x, bs[c]!, sums[r]![c]!));
    }
  };
  const whole = depth - (depth % LANES);
  if (whole > 0) {
    f.count(0, whole * BYTES, VECTOR, (i) => step(f.let(i32.add(place.a, i)), f.let(i32.add(place.b, i)), 0));
  }
  if (depth > whole) {
    // What lies behind the last elements counts on neither side: 0 times NaN would be NaN.
    const on = (lane: number): number => (lane < depth - whole ? -1 : 0);
    step(place.a, place.b, whole * BYTES, f.let(v128.const([on(0), on(1), on(2), on(3)])));
  }
  const zero = f.constant(0);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c += LANES) {
      // The sums across the lanes of four accumulators at once: transpose, then add.
      const [x, y, z, w] = transpose4(
        f,
        [0, 1, 2, 3].map((i) => sums[r]![c + i] ?? zero),
      ) as [Vector, Vector, Vector, Vector];
      const total = f32x4.add(f32x4.add(x, y), f32x4.add(z, w));
      const offset = r * tile.outRow + c * BYTES;
      const result = tile.accumulate ? f32x4.add(total, v128.load(place.out, offset)) : total;
      f.store(place.out, result, offset, Math.min(LANES, columns - c));
    }
  }
}

/** Rows and columns of a tile: six or eight accumulators, and with the loads no more than 15 registers. */
function tileShape(m: number, n: number): { rows: number; columns: number } {
  if (m === 1) return { rows: 1, columns: Math.min(n, 6) };
  if (n === 1) return { rows: Math.min(m, 6), columns: 1 };
  return n >= 4 ? { rows: 2, columns: 4 } : { rows: Math.min(m, 4), columns: 2 };
}

/** out (+)= A·B, where B's columns lie along the depth. */
export function emitDots(emission: Emission, kernel: Product, label: string): Call {
  const { rows: m, columns: n } = kernel.out;
  const { rows, columns } = tileShape(m, n);
  const bytes = (view: View): number => view.stride * BYTES;
  const bColumn = kernel.transposeB ? bytes(kernel.b) : 0;
  const target = emission.module.function(label, ["i32", "i32", "i32"], undefined, (f, a, b, out) => {
    const shape = {
      depth: kernel.a.columns,
      aRow: bytes(kernel.a),
      bColumn,
      outRow: bytes(kernel.out),
      accumulate: kernel.accumulate,
    };
    const band = (tileRows: number, aRow: Pointer, outRow: Pointer): void => {
      const place = { a: aRow, b: moving(f, b), out: moving(f, outRow) };
      times(f, Math.floor(n / columns), () => {
        emitDotTile(f, { ...shape, rows: tileRows, columns }, place);
        advance(f, place.b, columns * bColumn);
        advance(f, place.out, columns * BYTES);
      });
      if (n % columns > 0) emitDotTile(f, { ...shape, rows: tileRows, columns: n % columns }, place);
    };
    const [aRow, outRow] = [moving(f, a), moving(f, out)];
    times(f, Math.floor(m / rows), () => {
      band(rows, aRow, outRow);
      advance(f, aRow, rows * bytes(kernel.a));
      advance(f, outRow, rows * bytes(kernel.out));
    });
    if (m % rows > 0) band(m % rows, aRow, outRow);
  });
  return { target, parameters: [viewArgument(kernel.a), viewArgument(kernel.b), viewArgument(kernel.out)] };
}
