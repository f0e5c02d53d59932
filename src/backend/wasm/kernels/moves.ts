/** Kernels that move numbers and compute nothing: gather, scatter, transpose, fill. */
import type { Fill, Gather, Scatter, Transpose, View } from "../../../program/program.js";
import type { FunctionBuilder } from "../assembler/assembler.js";
import { f32x4, type I32, i32, v128 } from "../assembler/instructions.js";
import {
  advance,
  at,
  BYTES,
  type Call,
  type Emission,
  forColumns,
  isDense,
  moving,
  type Pointer,
  times,
  viewArgument,
} from "./emission.js";
import { transpose4 } from "./transpose.js";

/** The address of a table's row. */
const rowOf = (f: FunctionBuilder, table: I32, row: I32, view: View): Pointer =>
  f.let(i32.add(table, i32.mul(row, i32.const(view.stride * BYTES))));

export function emitGather(emission: Emission, kernel: Gather, label: string): Call {
  const { table, index, out } = kernel;
  const target = emission.module.function(
    label,
    ["i32", "i32", "i32"],
    undefined,
    (f, tableStart, indexStart, outStart) => {
      const number = moving(f, indexStart);
      const to = moving(f, outStart);
      times(f, out.rows, () => {
        const row = f.let(i32.load(number));
        // A negative index is a large unsigned one.
        f.if(
          i32.ltU(row, i32.const(table.rows)),
          () => {
            const from = rowOf(f, tableStart, row, table);
            forColumns(f, out.columns, (offset, constant, lanes) =>
              f.store(at(to, offset), v128.load(at(from, offset), constant), constant, lanes),
            );
          },
          () =>
            forColumns(f, out.columns, (offset, constant, lanes) =>
              f.store(at(to, offset), f.constant(0), constant, lanes),
            ),
        );
        advance(f, number, index.stride * BYTES);
        advance(f, to, out.stride * BYTES);
      });
    },
  );
  return { target, parameters: [viewArgument(table), viewArgument(index), viewArgument(out)] };
}

export function emitScatter(emission: Emission, kernel: Scatter, label: string): Call {
  const { input, index, out } = kernel;
  const target = emission.module.function(
    label,
    ["i32", "i32", "i32"],
    undefined,
    (f, inputStart, indexStart, outStart) => {
      fill(f, out, outStart, 0);
      const number = moving(f, indexStart);
      const from = moving(f, inputStart);
      times(f, input.rows, () => {
        const row = f.let(i32.load(number));
        f.if(i32.ltU(row, i32.const(out.rows)), () => {
          const to = rowOf(f, outStart, row, out);
          forColumns(f, input.columns, (offset, constant, lanes) => {
            const address = f.let(at(to, offset));
            f.store(
              address,
              f32x4.add(v128.load(address, constant), v128.load(at(from, offset), constant)),
              constant,
              lanes,
            );
          });
        });
        advance(f, number, index.stride * BYTES);
        advance(f, from, input.stride * BYTES);
      });
    },
  );
  return { target, parameters: [viewArgument(input), viewArgument(index), viewArgument(out)] };
}

/** Blocks of 4 × 4 through registers; edges by the lane. */
export function emitTranspose(emission: Emission, kernel: Transpose, label: string): Call {
  const { input, out } = kernel;
  const target = emission.module.function(label, ["i32", "i32"], undefined, (f, inputStart, outStart) => {
    const block = (from: I32, to: I32, rows: number, columns: number): void => {
      const source = f.let(from);
      const lines = [0, 1, 2, 3].map((r) =>
        r < rows ? f.let(v128.load(source, r * input.stride * BYTES)) : f.constant(0),
      );
      transpose4(f, lines).forEach((line, c) => {
        if (c < columns) f.store(to, line, c * out.stride * BYTES, rows);
      });
    };
    const from = moving(f, inputStart);
    const to = moving(f, outStart);
    const band = (rows: number): void => {
      const [row, column] = [moving(f, from), moving(f, to)];
      times(f, Math.floor(input.columns / 4), () => {
        block(row, column, rows, 4);
        advance(f, row, 4 * BYTES);
        advance(f, column, 4 * out.stride * BYTES);
      });
      if (input.columns % 4 > 0) block(row, column, rows, input.columns % 4);
    };
    times(f, Math.floor(input.rows / 4), () => {
      band(4);
      advance(f, from, 4 * input.stride * BYTES);
      advance(f, to, 4 * BYTES);
    });
    if (input.rows % 4 > 0) band(input.rows % 4);
  });
  return { target, parameters: [viewArgument(input), viewArgument(out)] };
}

function fill(f: FunctionBuilder, view: View, start: Pointer, bits: number): void {
  const rows = isDense(view) ? 1 : view.rows;
  const columns = isDense(view) ? view.rows * view.columns : view.columns;
  const to = moving(f, start);
  times(f, rows, () => {
    forColumns(f, columns, (offset, constant, lanes) => f.store(at(to, offset), f.bits(bits), constant, lanes));
    if (rows > 1) advance(f, to, view.stride * BYTES);
  });
}

export function emitFill(emission: Emission, kernel: Fill, label: string): Call {
  const number = new DataView(new ArrayBuffer(4));
  if (emission.typeOf(kernel.out) === "index") number.setInt32(0, kernel.value);
  else number.setFloat32(0, kernel.value);
  const target = emission.module.function(label, ["i32"], undefined, (f, out) =>
    fill(f, kernel.out, out, number.getInt32(0)),
  );
  return { target, parameters: [viewArgument(kernel.out)] };
}
