/** From a traced cell to equations: what they say, and whether they run before, inside or after the time loop. */
import { columnsOf } from "../graph/shape.js";
import type { Tensor } from "../graph/tensor.js";
import {
  canonicalIn,
  type Follow,
  inputsOf,
  madeOf,
  nameGradients,
  nameValues,
  originIn,
  placeOf,
  readingOf,
  readingOrder,
  sorted,
  type Target,
} from "./naming.js";
import { formula, isCostly, type Reading, spoken } from "./notation.js";
import type { Sizes } from "./sizes.js";
import { ancestors, type Loop, type TracedCell } from "./step.js";

export interface Line {
  /** "i", "dW_ih"; undefined for a product that is part of a later equation. */
  readonly left: string | undefined;
  readonly right: string;
  readonly shape: string;
}

export interface Part {
  readonly lines: readonly Line[];
  /** Matrix products that run there. */
  readonly products: number;
}

export interface Pass {
  readonly before: Part;
  readonly inside: Part;
  readonly after: Part;
}

export interface Equations {
  readonly forward: Pass;
  /** Values of every step that are kept for the backward pass, and how many numbers they are for a step and sequence: "7H". */
  readonly kept: { readonly names: readonly string[]; readonly size: string };
  readonly backward: Pass;
}

export function equationsOf(traced: TracedCell, sizes: Sizes): Equations {
  const { forward, backward, output, parameters } = traced;
  const canonical = canonicalIn([forward, ...(backward ? [backward] : [])]);
  const made = madeOf([...forward.body.next, output], canonical);
  const origin = originIn(made, canonical);
  const gradients = traced.gradients.filter((gradient) => gradient !== undefined);
  const both = madeOf([...(backward?.body.next ?? []), ...gradients], origin, made);
  const derived = new Set([...both].filter((tensor) => !made.has(tensor)));

  const statesOf = (loop: Loop | undefined, left: (name: string) => string): Target[] =>
    (loop?.body.states ?? []).map(({ name }, i) => ({ left: left(name!), tensor: origin(loop!.body.next[i]!) }));
  const next = statesOf(forward, (name) => `${name}'`);
  const states = statesOf(backward, (name) => name);
  const wanted = ["x", ...parameters.map(({ symbol }) => symbol)].map((symbol, i): Target => {
    const gradient = traced.gradients[i];
    return { left: `d${symbol}`, tensor: gradient && origin(gradient) };
  });

  const names = new Map<Tensor, string>();
  const reading = readingOf(names, origin, sizes);
  nameValues(traced, { made, derived, names, reading, origin });
  nameGradients(traced, { made, derived, names, reading, origin }, { states, wanted });

  const known = ancestors([output, ...forward.node.inputs]);
  return {
    forward: passOf(placesOf(forward, [output]), next, { tensors: made, names, reading, origin }),
    kept: keptBy(forward, reading),
    backward: passOf(placesOf(backward, gradients, known), [...states, ...wanted], {
      tensors: derived,
      names,
      reading,
      origin,
    }),
  };
}

interface Places {
  readonly before: ReadonlySet<Tensor>;
  readonly inside: ReadonlySet<Tensor>;
  readonly after: ReadonlySet<Tensor>;
}

/** What is computed around a loop, and in it, for these results; `known` is what an earlier pass has computed. */
function placesOf(loop: Loop | undefined, results: readonly Tensor[], known: ReadonlySet<Tensor> = new Set()): Places {
  const before = ancestors(loop?.node.inputs ?? [], known);
  const after = ancestors(results, new Set([...known, ...before, ...(loop ? [loop.node] : [])]));
  return { before, inside: loop?.inside ?? new Set(), after };
}

interface PassOptions {
  readonly tensors: ReadonlySet<Tensor>;
  readonly names: ReadonlyMap<Tensor, string>;
  readonly reading: Reading;
  readonly origin: Follow;
}

function passOf(places: Places, targets: readonly Target[], { tensors, names, reading, origin }: PassOptions): Pass {
  const { sizes } = reading;
  const equations = readingOrder(targets, tensors, names, origin);
  const lines = equations.flatMap((tensor) => {
    const name = names.get(tensor)!;
    const others = targets.filter((target) => target.tensor === tensor && target.left !== name);
    const same = others.map(({ left }): Line => ({ left, right: name, shape: sizes.shape(tensor) }));
    return [...written(name, tensor, reading), ...same].map((line) => ({ tensor, line }));
  });
  // A target that is something given, or nothing.
  const given = targets.filter(({ tensor }) => !tensor || !equations.includes(tensor));
  const plain = given.map(({ left, tensor }) => ({
    tensor,
    line: { left, right: tensor ? spoken(reading.of(tensor)) : "0", shape: tensor ? sizes.shape(tensor) : "" },
  }));

  const placed = new Set([...places.before, ...places.inside, ...places.after]);
  const part = (place: ReadonlySet<Tensor>, others = false): Part => {
    const here = [...lines, ...plain].filter(({ tensor }) =>
      tensor && placed.has(tensor) ? place.has(tensor) : others,
    );
    const written = inlined(
      here.flatMap(({ tensor }) => tensor ?? []),
      names,
      origin,
    );
    const alone = [...place].filter((tensor) => isCostly(tensor) && !names.has(origin(tensor)) && !written.has(tensor));
    const parts = sorted(alone, ({ id }) => id).map(
      (tensor): Line => ({
        left: undefined,
        right: spoken(formula(tensor, reading)),
        shape: sizes.shape(tensor),
      }),
    );
    return {
      lines: [...parts, ...here.map(({ line }) => line)],
      products: [...place].filter(({ op }) => op === "matmul").length,
    };
  };
  return { before: part(places.before), inside: part(places.inside, true), after: part(places.after) };
}

/** What the right sides of these equations write out. */
function inlined(equations: readonly Tensor[], names: ReadonlyMap<Tensor, string>, follow: Follow): Set<Tensor> {
  const found = new Set<Tensor>();
  const visit = (tensor: Tensor): void => {
    for (const input of inputsOf(tensor, follow))
      if (!names.has(input) && !found.has(input)) {
        found.add(input);
        visit(input);
      }
  };
  equations.forEach(visit);
  return found;
}

/** An equation; where a gradient is put together of rows, one for each piece. */
function written(left: string, tensor: Tensor, reading: Reading): Line[] {
  const { size, shape } = reading.sizes;
  const pieces = rowPieces(tensor, reading);
  if (!pieces) return [{ left, right: spoken(formula(tensor, reading)), shape: shape(tensor) }];
  return sorted(pieces, ({ attributes }) => attributes.start!).map(({ inputs: [inner], attributes: { start } }) => ({
    left: `${left}[${size(start!)}:${size(start! + inner!.shape[0]!)}]`,
    right: spoken(reading.of(inner!)),
    shape: shape(inner!),
  }));
}

/** The pieces of a tensor that is nothing but pieces, each padded with zeros above and below, and apart from one another. */
function rowPieces(tensor: Tensor, reading: Reading): Tensor[] | undefined {
  const collect = (each: Tensor): Tensor[] | undefined => {
    if (each.op === "padRows") return [each];
    if (each.op !== "add") return undefined;
    const parts = each.inputs.map((input) => {
      const inner = reading.unnamed(input);
      return inner && collect(inner);
    });
    return parts.every((part) => part !== undefined) ? parts.flat() : undefined;
  };
  const pieces = collect(tensor);
  const ranges = pieces?.map(
    ({ inputs: [inner], attributes: { start } }) => [start!, start! + inner!.shape[0]!] as const,
  );
  const apart = ranges?.every(([from, to], i) =>
    ranges.every(([start, end], k) => i === k || to <= start || end <= from),
  );
  return apart ? pieces : undefined;
}

/** What the forward loop keeps of every step. A state before and after a step are one history. */
function keptBy({ body }: Loop, { of, sizes }: Reading): Equations["kept"] {
  const histories = new Map<Tensor, Tensor>();
  body.states.forEach((state, i) => {
    histories.set(state, body.next[i]!);
  });
  const kept = sorted([...new Set(body.sequences.map((tensor) => histories.get(tensor) ?? tensor))], placeOf);
  const counts = new Map<number, number>();
  for (const { shape } of kept) counts.set(columnsOf(shape), (counts.get(columnsOf(shape)) ?? 0) + 1);
  const total = sizes.size([...counts].reduce((sum, [columns, count]) => sum + columns * count, 0));
  return {
    names: kept.map((tensor) => spoken(of(tensor))),
    size: /^\d+$/.test(total) ? [...counts].map(([columns, count]) => sizes.size(columns * count)).join(" + ") : total,
  };
}
