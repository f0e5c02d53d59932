/** Rows of a table by their indices: gather and scatter. */
import type { Gather, Scatter, View } from "../../../program/program.js";
import type { FunctionBuilder } from "../assembler/assembler.js";
import { f32x4, type I32, i32, type V128, v128 } from "../assembler/instructions.js";
import {
  advance,
  at,
  BYTES,
  type Call,
  callOf,
  type Emission,
  forColumns,
  moving,
  type Pointer,
  times,
} from "./emission.js";
import { fill } from "./fill.js";

/** The address of a table's row. */
const rowOf = (f: FunctionBuilder, table: I32, row: I32, view: View): Pointer =>
  f.let(i32.add(table, i32.mul(row, i32.const(view.stride * BYTES))));

/** Whether a table has the row. A negative index is a large unsigned one. */
const isRow = (row: I32, { rows }: View): I32 => i32.ltU(row, i32.const(rows));

export const emitGather = (emission: Emission, { table, index, out }: Gather, label: string): Call =>
  callOf(emission, label, [table, index, out], (f, tableStart, indexStart, outStart) => {
    const number = moving(f, indexStart);
    const to = moving(f, outStart);
    const copied = (source: (offset: I32 | undefined, constant: number) => V128) => (): void =>
      forColumns(f, out.columns, (offset, constant, lanes) =>
        f.store(at(to, offset), source(offset, constant), constant, lanes),
      );
    times(f, out.rows, () => {
      const row = f.let(i32.load(number));
      const from = rowOf(f, tableStart, row, table);
      f.if(
        isRow(row, table),
        copied((offset, constant) => v128.load(at(from, offset), constant)),
        copied(() => f.constant(0)),
      );
      advance(f, number, index.stride * BYTES);
      advance(f, to, out.stride * BYTES);
    });
  });

export const emitScatter = (emission: Emission, { input, index, out }: Scatter, label: string): Call =>
  callOf(emission, label, [input, index, out], (f, inputStart, indexStart, outStart) => {
    fill(f, out, outStart, 0);
    const number = moving(f, indexStart);
    const from = moving(f, inputStart);
    times(f, input.rows, () => {
      const row = f.let(i32.load(number));
      f.if(isRow(row, out), () => {
        const to = rowOf(f, outStart, row, out);
        forColumns(f, input.columns, (offset, constant, lanes) => {
          const address = f.let(at(to, offset));
          const sum = f32x4.add(v128.load(address, constant), v128.load(at(from, offset), constant));
          f.store(address, sum, constant, lanes);
        });
      });
      advance(f, number, index.stride * BYTES);
      advance(f, from, input.stride * BYTES);
    });
  });
