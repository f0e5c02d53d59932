/**
 * A chain in several passes over a row. Where one function's result goes into another (an LSTM's gates into c', and tanh c'
 * into h'), the second waits for the first, and the machine does not look as far ahead as the next elements. So functions of
 * others' results have a pass of their own, if what they need is stored anyway.
 */
import type { Instruction } from "../../../program/program.js";
import { sameView } from "../../../program/views.js";
import type { Pass, Rare } from "./emission.js";
import { isRare } from "./pointwise.js";

/** A longer row would have left the cache before the next pass. */
const LONG = 1024;

const takesLong = (instruction: Instruction): boolean =>
  isRare(instruction) || instruction.op === "sigmoid" || instruction.op === "tanh";
const argumentsOf = (instruction: Instruction): readonly number[] => ("args" in instruction ? instruction.args : []);

export const passesOf: Rare["passesOf"] = ({ loads, code, stores }, columns) => {
  const whole = [{ stores: stores.map((_, i) => i), given: new Map() }];
  // How many functions lie one behind the other in each value.
  const levels = loads.map(() => 0);
  for (const instruction of code)
    levels.push(Math.max(0, ...argumentsOf(instruction).map((a) => levels[a]!)) + Number(takesLong(instruction)));
  const last = Math.max(...levels);
  if (last < 2 || columns > LONG) return whole;
  const stored = new Map<number, number>();
  const passes: Pass[] = [];
  for (let level = 1; level <= last; level++) {
    const mine = whole[0]!.stores.filter((i) => Math.max(1, levels[stores[i]!.value]!) === level);
    const given = new Map<number, number>();
    const needed = new Set(mine.map((i) => stores[i]!.value));
    for (const value of needed) {
      const load = loads[value];
      const instruction = code[value - loads.length]!;
      if (stored.has(value)) given.set(value, stored.get(value)!);
      else if (
        load
          ? passes.some((pass) => pass.stores.some((i) => sameView(stores[i]!.to, load)))
          : takesLong(instruction) && levels[value]! < level
      )
        return whole;
      else if (!load) for (const a of argumentsOf(instruction)) needed.add(a);
    }
    for (const i of mine) stored.set(stores[i]!.value, i);
    if (mine.length > 0) passes.push({ stores: mine, given });
  }
  return passes;
};
