/**
 * Explaining a cell: its equations, the backward equations that are derived from them, and what runs before, inside and after the
 * time loop. All of it is read off the graph that runs.
 */
import type { Cell } from "../cells/cell.js";
import { constant, current, unroll } from "../graph/language.js";
import { varyingTensors } from "../graph/partition.js";
import { showShape } from "../graph/shape.js";
import { sweep } from "../graph/sweep.js";
import type { LoopBody, Tensor } from "../graph/tensor.js";
import { variable } from "../graph/variable.js";
import { type Expression, shortName, write } from "./notation.js";

export interface ExplainOptions {
  /** Features of the input. Default: as many as the output has. */
  readonly input?: number;
}

interface Equation {
  readonly name: string;
  readonly text: string;
}

/** A cell's equations forward and backward, as text for a terminal. */
export function explain(cell: Cell, { input: inputFeatures = cell.hidden }: ExplainOptions = {}): string {
  const [steps, rows] = [4, 3];
  const shapes = cell.parameters(inputFeatures);
  const named = (name: string, shape: readonly number[], shown = name): Tensor =>
    current(variable(name, shape)).named(shown);
  const x = named("x", [steps, rows, inputFeatures]);
  const parameters = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [name, named(name, shape, shortName(name))]),
  );
  const initial = Object.fromEntries(
    Object.entries(cell.state).map(([key, size]) => [key, named(`${key}₀`, [rows, size])]),
  );
  const { outputs } = unroll({
    name: cell.name,
    inputs: { x },
    state: initial,
    step: (at, state) => {
      const next = cell.step(at.x!, state, parameters);
      return { state: next, outputs: { y: next[cell.output]! } };
    },
  });
  const wrt = [x, ...Object.values(parameters)];
  const slopes = sweep({ seeds: [[outputs.y!, named("dy", outputs.y!.shape)]], wrt }).map(
    (slope, i) => slope ?? constant(0, wrt[i]!.shape),
  );
  const forward = loopsBehind([outputs.y!])[0]!;
  const backward = loopsBehind(slopes).find((loop) => loop !== forward)!;
  const book = new Book();

  const before = book.outsideOf(forward);
  const inside = book.inside(forward);
  const backwardBefore = book.outsideOf(backward);
  const backwardInside = book.inside(backward, true);
  const after = wrt.map((tensor, i): Equation => ({ name: `d${tensor.name}`, text: book.outside(slopes[i]!) }));

  const parameterLines = Object.entries(shapes).map(([name, shape]) => ({
    name: shortName(name),
    text: `${name} ${showShape(shape)}`,
  }));
  const states = Object.entries(cell.state)
    .map(([key, size]) => `${key} [N, ${size}]`)
    .join(", ");
  return [
    `${cell.name}: input x [N, ${inputFeatures}], state ${states}; ∘ multiplies element by element, · is the matrix product`,
    "",
    ...lines("parameters", parameterLines),
    "",
    "FORWARD, t = 0 … T−1",
    ...lines("before the loop, all T·N rows at once", before),
    ...lines("inside, N rows a step; ′ marks the next state", inside),
    "",
    "BACKWARD, t = T−1 … 0; dv is the gradient of the loss with respect to v, derived from the equations above",
    ...lines("before the loop", backwardBefore),
    ...lines("inside; ⁺ marks what arrives from step t+1", backwardInside),
    ...lines("after the loop, the sums over time as one product over all T·N rows", after),
  ]
    .join("\n")
    .replaceAll("'", "′");
}

const lines = (title: string, equations: readonly Equation[]): string[] => {
  if (equations.length === 0) return [`  ${title}: nothing`];
  const width = Math.max(...equations.map(({ name }) => name.length));
  return [`  ${title}`, ...equations.map(({ name, text }) => `    ${name.padEnd(width)} = ${text}`)];
};

/** The loop tensors that `tensors` come from, the earliest first. */
function loopsBehind(tensors: readonly Tensor[]): Tensor[] {
  const found = new Set<Tensor>();
  const visit = (tensor: Tensor): void => {
    if (found.has(tensor)) return;
    found.add(tensor);
    tensor.inputs.forEach(visit);
  };
  tensors.forEach(visit);
  return [...found].filter((tensor) => tensor.op === "loop").sort((a, b) => a.id - b.id);
}

/** Names and writes the tensors of a forward loop and its backward loop. */
class Book {
  private readonly names = new Map<Tensor, string>();
  private readonly sources = new Map<Tensor, Tensor>();
  private count = 0;

  /** What runs before a loop: the costly ops behind its step inputs. */
  outsideOf(node: Tensor): Equation[] {
    const loop = node.attributes.loop!;
    return loop.stepInputs.flatMap((placeholder, i) => {
      const sequence = node.inputs[i]!;
      this.sources.set(placeholder, sequence);
      if (["variable", "loopOutput", "constant"].includes(sequence.op)) return [];
      const name = sequence.name ?? this.fresh();
      this.names.set(placeholder, name);
      this.names.set(sequence, name);
      return [{ name, text: this.written(sequence, true).text }];
    });
  }

  /** The equations of a loop's body. */
  inside(node: Tensor, backward = false): Equation[] {
    const loop = node.attributes.loop!;
    const placeholders = new Set([...loop.stepInputs, ...loop.states]);
    for (const state of loop.states) this.names.set(state, backward ? `${state.name}′⁺` : state.name!);
    const roots = [...loop.next, ...loop.sequences];
    const own = varyingTensors(placeholders, roots).filter((tensor) => !placeholders.has(tensor));
    const uses = new Map<Tensor, number>();
    for (const tensor of own) for (const input of new Set(tensor.inputs)) uses.set(input, (uses.get(input) ?? 0) + 1);
    const equations: Equation[] = [];
    for (const tensor of own) {
      const isNext = loop.next.includes(tensor);
      const deserves =
        tensor.name !== undefined ||
        isNext ||
        (loop.sequences.includes(tensor) && !this.isShort(tensor)) ||
        ((uses.get(tensor) ?? 0) > 1 && !this.isShort(tensor));
      if (!deserves) continue;
      const name = (isNext && backward ? loop.states[loop.next.indexOf(tensor)]!.name : tensor.name) ?? this.fresh();
      equations.push({ name, text: this.written(tensor, false).text });
      this.names.set(tensor, name);
    }
    loop.next.forEach((tensor, i) => {
      const name = backward ? loop.states[i]!.name! : `${loop.states[i]!.name}′`;
      if (equations.some((equation) => equation.name.replaceAll("'", "′") === name)) return;
      equations.push({ name, text: this.expression(tensor).text });
    });
    return equations;
  }

  /** An expression outside the loops, in full. */
  outside(tensor: Tensor): string {
    return this.written(tensor, true).text;
  }

  private fresh(): string {
    return `v${++this.count}`;
  }

  /** Not worth a name of its own: one function of something that has a name. */
  private isShort(tensor: Tensor): boolean {
    return (
      tensor.inputs.length === 1 &&
      (tensor.inputs[0]!.name !== undefined || tensor.op === "slice" || tensor.op === "neg" || tensor.op === "expand")
    );
  }

  private expression(tensor: Tensor, overTime = false): Expression {
    const name = this.names.get(tensor);
    if (name !== undefined) return { text: name, binding: 3 };
    return this.written(tensor, overTime);
  }

  private written(tensor: Tensor, overTime: boolean): Expression {
    if (tensor.op === "variable") return { text: tensor.name!, binding: 3 };
    if (tensor.op === "stepInput") {
      const source = this.sources.get(tensor);
      return source ? this.expression(source, overTime) : { text: tensor.name ?? "x", binding: 3 };
    }
    if (tensor.op === "loopOutput") return this.loopValue(tensor);
    return write(tensor, (input) => this.expression(input, overTime), overTime);
  }

  /** A loop's result: the body's value at t. */
  private loopValue(tensor: Tensor): Expression {
    const node = tensor.inputs[0]!;
    const loop: LoopBody = node.attributes.loop!;
    const { kind, index } = tensor.attributes.output!;
    if (kind === "final") return { text: loop.states[index]!.name!, binding: 3 };
    const body = loop.sequences[index]!;

    return this.expression(body);
  }
}
