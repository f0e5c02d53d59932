/**
 * A tensor of the language: a node of the graph that says how a value is computed, with a static shape. Nothing is
 * computed here; `program/` makes a program of the graph and a backend runs it.
 */
import { UserError } from "../errors.js";
import type { PointwiseName } from "./pointwise.js";
import { broadcast, type Shape, sameShape } from "./shape.js";
import type { ElementType, Variable } from "./variable.js";

export type OpName =
  | PointwiseName
  | "variable"
  | "constant"
  | "random"
  | "expand"
  | "matmul"
  | "transpose"
  | "slice"
  | "concat"
  | "sliceRows"
  | "padRows"
  | "reshape"
  | "stopGradient"
  | "sumRows"
  | "sumColumns"
  | "sumAll"
  | "maxColumns"
  | "softmax"
  | "logSoftmax"
  | "crossEntropy"
  | "crossEntropyGradient"
  | "gather"
  | "scatter"
  | "stepInput"
  | "state"
  | "loop"
  | "loopOutput"
  // made by program/rewriting/shard.ts alone
  | "ownRows"
  | "allReduce";

/** What an op knows beside its inputs; each op reads its own few. */
export interface Attributes {
  readonly variable?: Variable;
  readonly value?: number;
  readonly shape?: Shape;
  readonly key?: number;
  /** Of random numbers for some rows of the batch: as many as this, of so many. */
  readonly batch?: { readonly rows: number; readonly of: number };
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  readonly start?: number;
  readonly size?: number;
  readonly smoothing?: number;
  readonly loop?: LoopBody;
  readonly output?: LoopOutput;
}

/** A loop's result: the value of a body tensor at every t, [T, …], or a state after the last step. */
export type LoopOutput =
  | { readonly kind: "sequence"; readonly index: number }
  | { readonly kind: "final"; readonly index: number };

/**
 * The body of a time loop. The loop tensor's inputs are its sequences (one for each step input), the initial states, and
 * the captured tensors, which do not change with time, in this order.
 */
export interface LoopBody {
  readonly name: string;
  readonly steps: number;
  /** t counts down from steps−1 to 0. */
  readonly reverse: boolean;
  /** Placeholders: the t-th part of each sequence. */
  readonly stepInputs: readonly Tensor[];
  /** Placeholders: the state before the step. */
  readonly states: readonly Tensor[];
  /** The state after the step, as many as `states`. */
  readonly next: readonly Tensor[];
  /** Body tensors whose values at every t are used outside; grows while the graph is built (what the derivative reads). */
  readonly sequences: Tensor[];
  readonly captured: readonly Tensor[];
  /** The gradients of the loop tensor's inputs, given those of its outputs; undefined where not needed. */
  derivative(gradients: LoopGradients): (Tensor | undefined)[];
}

export interface LoopGradients {
  /** By index into `sequences`. */
  readonly sequences: ReadonlyMap<number, Tensor>;
  /** By index into `states`. */
  readonly finals: ReadonlyMap<number, Tensor>;
  /** Whether the gradient of the loop tensor's k-th input is wanted. */
  needed(input: number): boolean;
}

let lastId = 0;
const scopes: string[] = [];

/** Runs `build` with `name` before the labels of the tensors it makes: "recurrent.l0". */
export function scoped<R>(name: string, build: () => R): R {
  scopes.push(name);
  try {
    return build();
  } finally {
    scopes.pop();
  }
}

/** Runs `build` under exactly this scope: for tensors that stand in for others. */
export function inScopeOf<R>(tensor: Tensor, build: () => R): R {
  const outer = scopes.splice(0, scopes.length, ...(tensor.scope ? [tensor.scope] : []));
  try {
    return build();
  } finally {
    scopes.splice(0, scopes.length, ...outer);
  }
}

/** The same op on other inputs, under the same scope and name. */
export function onInputs(tensor: Tensor, inputs: readonly Tensor[], attributes = tensor.attributes): Tensor {
  const made = inScopeOf(tensor, () => new Tensor(tensor.op, inputs, tensor.shape, attributes, tensor.type));
  made.name = tensor.name;
  return made;
}

type Operand = Tensor | number;

/** A value of the graph, of a static shape. Nothing is computed until a program of it runs (`evaluate`, a trainer). */
export class Tensor {
  /** Grows with creation, so that sorting by it is a topological order. */
  readonly id = ++lastId;
  readonly scope = scopes.join(".");
  /** A person's name for the value, "i" or "dh"; explanations and errors use it. */
  name: string | undefined;

  constructor(
    readonly op: OpName,
    readonly inputs: readonly Tensor[],
    readonly shape: Shape,
    readonly attributes: Attributes = {},
    readonly type: ElementType = "float",
  ) {}

  /** Names the value for explanations and errors; gives the tensor itself. */
  named(name: string): this {
    this.name = name;
    return this;
  }

  /** Where and what it is, for errors and profiles. */
  get label(): string {
    return [this.scope, this.name ?? this.op].filter(Boolean).join(": ");
  }

  /**
   * Pointwise sum. An operand repeats as in NumPy along the features, the first dimensions, or both: [D], [N, 1] or [N, D] with
   * [T, N, D]; [T, 1, D] is refused.
   */
  add(other: Operand): Tensor {
    return pointwise("add", this, other);
  }
  /** Pointwise difference. */
  sub(other: Operand): Tensor {
    return pointwise("sub", this, other);
  }
  /** Pointwise (Hadamard) product. */
  mul(other: Operand): Tensor {
    return pointwise("mul", this, other);
  }
  /** Pointwise quotient. */
  div(other: Operand): Tensor {
    return pointwise("div", this, other);
  }
  neg(): Tensor {
    return pointwise("neg", this);
  }
}

/** A number as a tensor, or `shape` of them. */
export function constant(value: number, shape: Shape = [1]): Tensor {
  return new Tensor("constant", [], shape, { value });
}

/** The same value, in a tensor of its own. */
export const copyOf = (tensor: Tensor): Tensor => new Tensor("expand", [tensor], tensor.shape, { shape: tensor.shape });

/** Applies a scalar function to each element; numbers among the operands become constants. */
export function pointwise(name: PointwiseName, ...operands: Operand[]): Tensor {
  const inputs = operands.map((operand) => {
    if (operand instanceof Tensor) return operand;
    if (typeof operand === "number") return constant(operand);
    throw new UserError(`${name} takes tensors and numbers, not ${operand === null ? "null" : typeof operand}`);
  });
  const shape = broadcast(
    inputs.map((input) => input.shape),
    name,
  );
  return simplified(name, inputs, shape) ?? new Tensor(name, inputs, shape);
}

/** x·1, x+0 and the like are x itself where the shape stays: derived equations are read by people. */
function simplified(name: PointwiseName, inputs: readonly Tensor[], shape: Shape): Tensor | undefined {
  const [a, b] = inputs;
  if (!a || !b) return undefined;
  const neutral = name === "add" || name === "sub" ? 0 : name === "mul" || name === "div" ? 1 : undefined;
  const isNeutral = ({ op, attributes }: Tensor): boolean => op === "constant" && attributes.value === neutral;
  const same = isNeutral(b) ? a : isNeutral(a) && (name === "add" || name === "mul") ? b : undefined;
  return same && sameShape(same.shape, shape) ? same : undefined;
}
