/** Which values of a traced cell a reader sees by name, and in which order. */
import { reachable } from "../graph/reachable.js";
import type { Tensor } from "../graph/tensor.js";
import { effort, type Formula, formula, type Reading, word } from "./notation.js";
import type { Sizes } from "./sizes.js";
import { type Loop, markOf, series, type TracedCell } from "./step.js";

export type Follow = (tensor: Tensor) => Tensor;

/** A quantity to be printed under a name, what the pass is for: next states, gradients of parameters. */
export interface Target {
  readonly left: string;
  /** Undefined for a gradient that is zero. */
  readonly tensor: Tensor | undefined;
}

export const isValue = ({ op }: Tensor): boolean =>
  !["variable", "constant", "state", "stepInput", "loop", "loopOutput"].includes(op);

export const inputsOf = (tensor: Tensor, follow: Follow): Tensor[] =>
  isValue(tensor) && tensor.op !== "random" ? tensor.inputs.map(follow) : [];

/** What these are made of; the walk looks at tensors of `stop` but not behind them. */
export const madeOf = (
  roots: readonly Tensor[],
  follow: Follow,
  stop: ReadonlySet<Tensor> = new Set(),
): ReadonlySet<Tensor> =>
  new Set(reachable(roots.map(follow), (tensor) => (stop.has(tensor) ? [] : inputsOf(tensor, follow))));

/** A value at one step or at all steps is one thing to a reader: the tensor of a loop's body, or of the graph around it. */
export function canonicalIn(loops: readonly Loop[]): Follow {
  const behind = new Map<Tensor, Tensor>();
  for (const { node, body } of loops)
    body.stepInputs.forEach((placeholder, i) => {
      behind.set(placeholder, node.inputs[i]!);
    });
  const canonical: Follow = (tensor) => {
    const sequence = behind.get(tensor);
    if (sequence) return canonical(sequence);
    const { output } = tensor.attributes;
    if (output?.kind !== "sequence") return tensor;
    return canonical(tensor.inputs[0]!.attributes.loop!.sequences[output.index]!);
  };
  return canonical;
}

/** What the backward pass computes again is, to a reader, the forward value (one of `made`) that it is a copy of. */
export function originIn(made: ReadonlySet<Tensor>, canonical: Follow): Follow {
  const byPlace = new Map<number, Tensor>();
  for (const tensor of made) {
    const mark = markOf(tensor);
    if (mark) byPlace.set(mark.place, tensor);
  }
  return (tensor) => {
    const found = canonical(tensor);
    const mark = markOf(found);
    return mark && !mark.gradient ? (byPlace.get(mark.place) ?? found) : found;
  };
}

export function readingOf(names: ReadonlyMap<Tensor, string>, follow: Follow, sizes: Sizes): Reading {
  const reading: Reading = {
    sizes,
    of(input): Formula {
      const tensor = follow(input);
      const name = names.get(tensor) ?? tensor.attributes.variable?.name;
      return name === undefined ? formula(tensor, reading) : word(name);
    },
    unnamed(input) {
      const tensor = follow(input);
      return names.has(tensor) || tensor.attributes.variable ? undefined : tensor;
    },
  };
  return reading;
}

// ── order

/** The place in the step of a value, or of the value a gradient belongs to. */
export const placeOf = (tensor: Tensor): number => markOf(tensor)?.place ?? Number.MAX_SAFE_INTEGER;

export const sorted = (tensors: readonly Tensor[], by: (tensor: Tensor) => number): Tensor[] =>
  [...tensors].sort((a, b) => by(a) - by(b) || a.id - b.id);

/**
 * The named values of `tensors`, each after those it is made of: as the step has them, gradients the other way round, and
 * what the pass is for last.
 */
export function readingOrder(
  targets: readonly Target[],
  tensors: ReadonlySet<Tensor>,
  names: ReadonlyMap<Tensor, string>,
  follow: Follow,
): Tensor[] {
  const rank = (tensor: Tensor): number => (markOf(tensor)?.gradient ? -placeOf(tensor) : placeOf(tensor));
  const order: Tensor[] = [];
  const seen = new Set<Tensor>();
  const visit = (tensor: Tensor): void => {
    if (seen.has(tensor) || !tensors.has(tensor)) return;
    seen.add(tensor);
    sorted(inputsOf(tensor, follow), rank).forEach(visit);
    if (isValue(tensor) && names.has(tensor)) order.push(tensor);
  };
  const results = targets.flatMap(({ tensor }) => tensor ?? []);
  const own = [...tensors].filter((tensor) => isValue(tensor) && names.has(tensor) && !results.includes(tensor));
  sorted(own, rank).forEach(visit);
  results.forEach(visit);
  return order;
}

// ── names

interface Naming {
  /** What the step computes. */
  readonly made: ReadonlySet<Tensor>;
  /** What the backward pass computes. */
  readonly derived: ReadonlySet<Tensor>;
  readonly names: Map<Tensor, string>;
  readonly reading: Reading;
  readonly origin: Follow;
}

/** The step's values: as the cell calls them; a, or a₁, a₂ …, where one is read several times and is long to repeat. */
export function nameValues(
  { forward, names: given, taken }: TracedCell,
  { made, derived, names, reading, origin }: Naming,
): void {
  for (const state of forward.body.states) names.set(state, state.name!);
  const values = sorted([...made].filter(isValue), placeOf);
  for (const tensor of values) {
    const name = given.get(placeOf(tensor));
    if (name !== undefined) names.set(tensor, name);
  }
  const [users, readers] = [usersIn(made, origin), usersIn(derived, origin)];
  const often = values.filter((tensor) => (users.get(tensor) ?? 0) > 1 || readers.has(tensor));
  const long = longAmong(often, "a", names, reading);
  number(long, series("a", long.length, taken), names);
}

/** The gradients: dv where v has a name; δ, or δ₁, δ₂ …, where one is read several times and is long to repeat. */
export function nameGradients(
  { backward, taken }: TracedCell,
  { made, derived, names, reading, origin }: Naming,
  { states, wanted }: { readonly states: readonly Target[]; readonly wanted: readonly Target[] },
): void {
  for (const state of backward?.body.states ?? []) names.set(state, `${state.name}ₜ₊₁`);
  const byPlace = new Map([...made].map((tensor) => [placeOf(tensor), names.get(tensor)]));
  const targets = new Map<Tensor | undefined, string>();
  for (const { left, tensor } of [...states, ...wanted]) if (!targets.has(tensor)) targets.set(tensor, left);
  const used = new Set<string>();
  const values = sorted([...derived].filter(isValue), ({ id }) => id);
  for (const tensor of values) {
    const value = markOf(tensor)?.gradient ? byPlace.get(placeOf(tensor)) : undefined;
    const name = value === undefined ? targets.get(tensor) : `d${value}`;
    if (name === undefined || used.has(name)) continue;
    used.add(name);
    names.set(tensor, name);
  }
  const users = usersIn(derived, origin);
  const often = values.filter((tensor) => (users.get(tensor) ?? 0) > 1);
  const long = new Set(longAmong(often, "δ", names, reading));
  const asRead = readingOrder([...states, ...wanted], derived, names, origin).filter((tensor) => long.has(tensor));
  number(asRead, series("δ", asRead.length, taken), names);
}

/** How often each tensor is an operand of these. */
function usersIn(tensors: Iterable<Tensor>, follow: Follow): Map<Tensor, number> {
  const users = new Map<Tensor, number>();
  for (const tensor of tensors)
    for (const input of inputsOf(tensor, follow)) users.set(input, (users.get(input) ?? 0) + 1);
  return users;
}

/** Those that are long to write in terms of what has a name; each that is found counts as named from then on. */
function longAmong(tensors: readonly Tensor[], letter: string, names: Map<Tensor, string>, reading: Reading): Tensor[] {
  return tensors.filter((tensor) => {
    const long = !names.has(tensor) && effort(tensor, reading) > 1;
    if (long) names.set(tensor, letter);
    return long;
  });
}

function number(tensors: readonly Tensor[], as: readonly string[], names: Map<Tensor, string>): void {
  tensors.forEach((tensor, i) => {
    names.set(tensor, as[i]!);
  });
}
