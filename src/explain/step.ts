/** A cell as the graph sees it: its step in a time loop, the derived loop, and names for what a reader should see. */
import type { Cell } from "../cells/cell.js";
import { current, unroll } from "../graph/language.js";
import { varyingTensors } from "../graph/partition.js";
import { reachable } from "../graph/reachable.js";
import type { Shape } from "../graph/shape.js";
import { sweep } from "../graph/sweep.js";
import type { LoopBody, Tensor } from "../graph/tensor.js";
import { variable } from "../graph/variable.js";
import { traced } from "./sizes.js";

export interface TracedCell extends Marks {
  readonly parameters: readonly { readonly name: string; readonly symbol: string; readonly tensor: Tensor }[];
  readonly forward: Loop;
  /** Undefined where nothing depends on the state, the input or a parameter. */
  readonly backward: Loop | undefined;
  /** The output over time. */
  readonly output: Tensor;
  /** d loss / d input, then d loss / d each parameter; undefined where there is no influence. */
  readonly gradients: readonly (Tensor | undefined)[];
}

export interface Loop {
  readonly node: Tensor;
  readonly body: LoopBody;
  /** Body tensors that change with time, placeholders left out. */
  readonly inside: ReadonlySet<Tensor>;
}

/** Traces the cell over time and derives its gradients, as training does. */
export function traceCell(cell: Cell, features: number): TracedCell {
  const { T, N } = traced;
  const x = current(variable("x", [T, N, features]));
  const parameters = Object.entries(cell.parameters(features)).map(([name, shape]) => {
    const symbol = symbolOf(name, shape);
    return { name, symbol, tensor: current(variable(symbol, shape)) };
  });
  const states = Object.entries(cell.state);
  let marks: Marks | undefined;
  const { outputs, state } = unroll<{ x: Tensor }, Record<string, Tensor>, { y: Tensor }>({
    name: cell.name,
    inputs: { x },
    state: Object.fromEntries(states.map(([key, size]) => [key, current(variable(`${key}₀`, [N, size]))])),
    step(at, previous) {
      const next = cell.step(at.x, previous, Object.fromEntries(parameters.map(({ name, tensor }) => [name, tensor])));
      marks = mark(next, ["x", "dy", ...Object.keys(cell.state), ...parameters.map(({ symbol }) => symbol)]);
      return { state: { ...next }, outputs: { y: next[cell.output]! } };
    },
  });
  const dy = current(variable("dy", outputs.y.shape));
  const gradients = sweep({ seeds: [[outputs.y, dy]], wrt: [x, ...parameters.map(({ tensor }) => tensor)] });
  const forward = loopOf(state[cell.output]!.inputs[0]!);
  const found = ancestors(gradients.filter((each) => each !== undefined));
  const backward = [...found].find((tensor) => tensor.op === "loop" && tensor !== forward.node);
  return {
    ...marks!,
    parameters,
    forward,
    backward: backward && loopOf(backward),
    output: outputs.y,
    gradients,
  };
}

function loopOf(node: Tensor): Loop {
  const body = node.attributes.loop!;
  const placeholders = new Set([...body.stepInputs, ...body.states]);
  const varying = varyingTensors(placeholders, [...body.next, ...body.sequences]);
  return { node, body, inside: new Set(varying.filter((tensor) => !placeholders.has(tensor))) };
}

/** The tensors outside loops that these are made of, themselves included. */
export function ancestors(tensors: readonly Tensor[], stop: ReadonlySet<Tensor> = new Set()): Set<Tensor> {
  const isBefore = (tensor: Tensor): boolean => !stop.has(tensor);
  return new Set(reachable(tensors.filter(isBefore), ({ inputs }) => inputs.filter(isBefore)));
}

/** weight_ih [4H, D] is W_ih, bias_ih b_ih; a weight that is a vector is w_ih. Other names stay. */
function symbolOf(name: string, shape: Shape): string {
  if (/^weight(_|$)/.test(name)) return name.replace("weight", shape.length > 1 ? "W" : "w");
  return name.replace(/^bias(?=_|$)/, "b");
}

/** What the cell calls its values. */
interface Marks {
  /** By place in the step, for values that the cell has named and for next states. */
  readonly names: ReadonlyMap<number, string>;
  /** Names that are no longer free. */
  readonly taken: Set<string>;
}

/**
 * Marks each of the step's values by a name that its copies in the loop, and the gradients derived from it, carry along. What a
 * value is called in the end is decided when it is known who reads it.
 */
function mark(next: Readonly<Record<string, Tensor>>, given: readonly string[]): Marks {
  const isGiven = ({ op }: Tensor): boolean => ["variable", "constant", "state", "stepInput", "random"].includes(op);
  const values = [...ancestors(Object.values(next))].filter((tensor) => !isGiven(tensor)).sort((a, b) => a.id - b.id);
  const keys = new Map(Object.entries(next).map(([key, tensor]) => [tensor, key]));
  const names = new Map<number, string>();
  const taken = new Set([...given, ...Object.keys(next).map((key) => `${key}'`)]);
  for (const name of [...taken]) taken.add(`d${name}`); // that is what its gradient will be called
  values.forEach((tensor, i) => {
    const key = keys.get(tensor);
    const isNext = key !== undefined && [undefined, key, `${key}'`].includes(tensor.name);
    const name = isNext ? `${key}'` : tensor.name && unused(tensor.name, taken);
    if (name) {
      names.set(i, name);
      taken.add(`d${name}`);
    }
    tensor.named(`#${i}`);
  });
  return { names, taken };
}

/** The place in the step of a marked value, or of the value that a gradient belongs to. */
export function markOf({ name }: Tensor): { readonly place: number; readonly gradient: boolean } | undefined {
  const found = /^(d?)#(\d+)$/.exec(name ?? "");
  return found ? { place: Number(found[2]), gradient: found[1] === "d" } : undefined;
}

const subscript = (number: number): string => [...String(number)].map((digit) => "₀₁₂₃₄₅₆₇₈₉"[Number(digit)]).join("");

/** `name`, or name₂, name₃ where it is taken. */
function unused(name: string, taken: Set<string>): string {
  let free = name;
  for (let i = 2; taken.has(free); i++) free = `${name}${subscript(i)}`;
  taken.add(free);
  return free;
}

/** a, or a₁ … where there are several. */
export function series(letter: string, count: number, taken: Set<string>): string[] {
  return Array.from({ length: count }, (_, i) => unused(count === 1 ? letter : `${letter}${subscript(i + 1)}`, taken));
}
