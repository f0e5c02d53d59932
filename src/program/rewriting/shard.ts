/**
 * Data parallelism, as a rewriting of the graph: the same computation for a worker that holds some rows of the batch. No
 * layer, loss or optimiser knows of it.
 *
 * Every tensor is one of
 *
 *   own      rows of the worker's own sequences: activations and their gradients
 *   whole    the same for every worker: weights, moments, scalars
 *   partial  a summand of the whole, one in each worker: the gradient of a shared weight, a sum over the batch
 *
 * beginning with the variables, by each op's rule. Where an op wants the whole of what is partial, an all-reduce is put in.
 * Batch norm's statistics and a masked loss's divisor come out right by the same rule as the gradients. This is what
 * GSPMD does for a mesh of devices (Xu et al. 2021), for one dimension.
 */
import { opTable } from "../../graph/ops/table.js";
import { isPointwise } from "../../graph/pointwise.js";
import { reachable } from "../../graph/reachable.js";
import { columnsOf, rowsOf, type Shape, sameShape } from "../../graph/shape.js";
import { type Attributes, inScopeOf, type LoopBody, Tensor } from "../../graph/tensor.js";
import type { Shard } from "../program.js";

/** A tensor as one worker has it. */
interface Sharded {
  readonly tensor: Tensor;
  readonly spread: "own" | "whole" | "partial";
}

/** A computation that cannot be shared by rows of the batch: it runs on one thread. */
class NotSharded extends Error {
  override name = "NotSharded";
}

/** Rows of the batch that variables among the tensors are marked with; undefined where there are none, or different ones. */
export function batchOf(tensors: readonly Tensor[]): number | undefined {
  const rows = new Set<number>();
  for (const { attributes, shape } of tensors) if (attributes.variable?.batch) rows.add(shape[shape.length - 2]!);
  return rows.size === 1 ? [...rows][0] : undefined;
}

export interface ShardedGraph {
  /** What a root became; where it was partial, the sum. */
  of(root: Tensor): Tensor;
  /** Tensors of the new graph that are the same for every worker. */
  readonly whole: ReadonlySet<Tensor>;
}

/**
 * The graph for a worker with `shard.rows` rows. Undefined where it mixes rows of the batch in a way that no rule covers.
 */
export function shardGraph(roots: readonly Tensor[], shard: Shard): ShardedGraph | undefined {
  const sharding = new Sharding(shard);
  try {
    for (const tensor of reachable(roots)) sharding.visit(tensor);
    const results = new Map(roots.map((root) => [root, sharding.result(root)]));
    return { of: (root) => results.get(root)!, whole: sharding.wholeTensors() };
  } catch (error) {
    if (error instanceof NotSharded) return undefined;
    throw error;
  }
}

/** f(Σx) = Σf(x): ops of one input that may come before the sum over the workers. */
const linear = new Set(["neg", "transpose", "slice", "reshape", "stopGradient", "sumRows", "sumAll", "sumColumns"]);

class Sharding {
  private readonly known = new Map<Tensor, Sharded>();
  private readonly reduced = new Map<Tensor, Tensor>();
  private readonly ownForms = new Map<Tensor, Tensor>();
  /** While a loop's body is rewritten: the tensors that it has from outside, and those made of them for it. */
  private outside: ReadonlySet<Tensor> | undefined;
  private readonly madeOutside = new Set<Tensor>();

  constructor(private readonly shard: Shard) {}

  visit(tensor: Tensor): void {
    if (!this.known.has(tensor)) this.known.set(tensor, this.rewritten(tensor));
  }

  result(root: Tensor): Tensor {
    return this.spread(root) === "own" ? this.own(root) : this.whole(root);
  }

  wholeTensors(): Set<Tensor> {
    const known = [...this.known.values()].filter(({ spread }) => spread === "whole").map(({ tensor }) => tensor);
    return new Set([...known, ...this.reduced.values()]);
  }

  private of(tensor: Tensor): Sharded {
    const found = this.known.get(tensor);
    if (!found) throw new Error(`${tensor.label}: not visited yet`);
    return this.reduced.has(tensor) ? { tensor: this.reduced.get(tensor)!, spread: "whole" } : found;
  }

  private readonly spread = (tensor: Tensor): Sharded["spread"] => this.of(tensor).spread;

  /** The whole of a tensor, summed over the workers where it is partial. */
  private readonly whole = (tensor: Tensor): Tensor => {
    const { tensor: local, spread } = this.of(tensor);
    if (spread === "whole") return local;
    if (spread === "own" || this.outside) throw new NotSharded();
    const sum = inScopeOf(tensor, () => new Tensor("allReduce", [local], local.shape));
    if (tensor.name) sum.named(tensor.name);
    this.reduced.set(tensor, sum);
    return sum;
  };

  /** The worker's rows of a tensor. What every worker has whole is made again for its rows. */
  private readonly own = (tensor: Tensor): Tensor => {
    const { tensor: local, spread } = this.of(tensor);
    if (spread === "own") return local;
    const form = this.ownForms.get(tensor) ?? this.ownForm(tensor, spread);
    this.ownForms.set(tensor, form);
    if (this.outside?.has(tensor)) this.madeOutside.add(form);
    return form;
  };

  private ownForm(tensor: Tensor, spread: Sharded["spread"]): Tensor {
    const remade = ["constant", "random", "expand"].includes(tensor.op) || isPointwise(tensor.op);
    if (spread !== "whole" || !remade) throw new NotSharded();
    return this.made(tensor, this.rowInputs(tensor), this.ownShape(tensor.shape));
  }

  /** Inputs of an op that treats each row by itself: the worker's rows, or one row for all. */
  private rowInputs(tensor: Tensor): Tensor[] {
    return tensor.inputs.map((input) => (rowsOf(input.shape) === 1 ? this.whole(input) : this.own(input)));
  }

  /** A shape whose rows count through the batch, for the worker's rows. */
  private ownShape(shape: Shape): Shape {
    const axis = shape.length - 2;
    const size = shape[axis];
    if (size === undefined || size % this.shard.of !== 0) throw new NotSharded();
    return shape.map((length, i) => (i === axis ? (length / this.shard.of) * this.shard.rows : length));
  }

  /** The same op on other inputs. */
  private made(tensor: Tensor, inputs: readonly Tensor[], shape: Shape): Tensor {
    const { attributes } = tensor;
    if (sameShape(shape, tensor.shape) && inputs.every((input, i) => input === tensor.inputs[i])) return tensor;
    const local: Attributes = {
      ...attributes,
      ...(attributes.shape && !sameShape(shape, tensor.shape) ? { shape } : {}),
      ...(tensor.op === "random" && !sameShape(shape, tensor.shape) ? { batch: this.shard } : {}),
    };
    const copy = inScopeOf(tensor, () => new Tensor(tensor.op, inputs, shape, local, tensor.type));
    if (tensor.name) copy.named(tensor.name);
    return copy;
  }

  private rewritten(tensor: Tensor): Sharded {
    const { op, inputs, shape } = tensor;
    if (op === "variable") return this.variable(tensor);
    if (op === "loop") return this.loop(tensor);
    if (op === "loopOutput") return this.loopOutput(tensor);
    const spreads = inputs.map(this.spread);
    if (op === "random" && spreads[1] === "own")
      return {
        tensor: this.made(tensor, [this.whole(inputs[0]!), this.own(inputs[1]!)], this.ownShape(shape)),
        spread: "own",
      };
    if (spreads.includes("own")) return this.ofOwnRows(tensor);
    if (spreads.includes("partial")) return this.ofPartial(tensor, spreads);
    const made = this.made(tensor, inputs.map(this.whole), shape);
    // Drawn into memory: the numbers of a chain all count as the worker's own rows, or none do.
    return { tensor: op === "random" ? new Tensor("stopGradient", [made], shape) : made, spread: "whole" };
  }

  private variable(tensor: Tensor): Sharded {
    if (!tensor.attributes.variable!.batch) return { tensor, spread: "whole" };
    const shape = this.ownShape(tensor.shape);
    // The rows of [N, D] lie together; those of [T, N, D] are copied together.
    const local =
      rowsOf(shape) === this.shard.rows
        ? new Tensor("variable", [], shape, tensor.attributes, tensor.type)
        : new Tensor("ownRows", [tensor], shape, {}, tensor.type);
    return { tensor: local.named(tensor.name!), spread: "own" };
  }

  /** An op with inputs of the worker's own rows. */
  private ofOwnRows(tensor: Tensor): Sharded {
    const { op, inputs, shape, attributes } = tensor;
    const [a, b] = inputs as [Tensor, Tensor];
    switch (op) {
      case "matmul":
        // Aᵀ·B sums over the rows.
        if (attributes.transposeA) {
          if (attributes.transposeB) throw new NotSharded();
          return { tensor: this.made(tensor, [this.own(a), this.own(b)], shape), spread: "partial" };
        }
        return { tensor: this.made(tensor, [this.own(a), this.whole(b)], this.ownShape(shape)), spread: "own" };
      case "sumAll":
        return { tensor: this.made(tensor, [this.own(a)], shape), spread: "partial" };
      case "sumRows":
        return rowsOf(shape) === 1
          ? { tensor: this.made(tensor, [this.own(a)], shape), spread: "partial" }
          : { tensor: this.made(tensor, [this.own(a)], this.ownShape(shape)), spread: "own" };
      case "scatter":
        return { tensor: this.made(tensor, [this.own(a), this.own(b)], shape), spread: "partial" };
      case "gather":
        return { tensor: this.made(tensor, [this.whole(a), this.own(b)], this.ownShape(shape)), spread: "own" };
      case "crossEntropy":
      case "crossEntropyGradient": {
        // Class weights [V] are one row.
        const local = this.rowInputs(tensor);
        return { tensor: this.made(tensor, local, this.ownShape(shape)), spread: "own" };
      }
      case "sliceRows":
      case "padRows":
        // Steps of [T, N, D], not rows of the batch.
        if (shape.length !== 3) throw new NotSharded();
        return { tensor: this.made(tensor, [this.own(a)], this.ownShape(shape)), spread: "own" };
      case "reshape":
        if (columnsOf(shape) !== columnsOf(a.shape)) throw new NotSharded();
        return { tensor: this.made(tensor, [this.own(a)], this.ownShape(shape)), spread: "own" };
      default:
        if (!opTable[op].rowwise) throw new NotSharded();
        return { tensor: this.made(tensor, this.rowInputs(tensor), this.ownShape(shape)), spread: "own" };
    }
  }

  /** An op on summands. */
  private ofPartial(tensor: Tensor, spreads: readonly Sharded["spread"][]): Sharded {
    const { op, inputs, shape } = tensor;
    const all = spreads.every((spread) => spread === "partial");
    const kept =
      (linear.has(op) && all) ||
      ((op === "add" || op === "sub" || op === "concat") && all) ||
      (op === "mul" && !all) ||
      (op === "div" && spreads[1] === "whole");
    if (!kept) return { tensor: this.made(tensor, inputs.map(this.whole), shape), spread: "whole" };
    const local = inputs.map((input) => this.of(input).tensor);
    return { tensor: this.made(tensor, local, shape), spread: "partial" };
  }

  private loopOutput(tensor: Tensor): Sharded {
    const node = tensor.inputs[0]!;
    const { kind, index } = tensor.attributes.output!;
    const { states, sequences } = node.attributes.loop!;
    const spread = this.spread(kind === "final" ? states[index]! : sequences[index]!);
    const shape = spread === "own" ? this.ownShape(tensor.shape) : tensor.shape;
    return { tensor: this.made(tensor, [this.of(node).tensor], shape), spread };
  }

  private loop(node: Tensor): Sharded {
    const loop = node.attributes.loop!;
    const { stepInputs, states } = loop;
    const first = stepInputs.length + states.length;
    const shared = node.inputs.slice(0, first).some((input) => this.spread(input) === "own");
    const place = shared ? this.own : this.whole;
    const rows = node.inputs.slice(0, first).map(place);
    const captured = node.inputs
      .slice(first)
      .map((input) => (this.spread(input) === "own" ? this.own(input) : this.whole(input)));
    [...stepInputs, ...states].forEach((placeholder) => {
      const shape = shared ? this.ownShape(placeholder.shape) : placeholder.shape;
      const local = new Tensor(placeholder.op, [], shape, placeholder.attributes, placeholder.type);
      if (placeholder.name) local.named(placeholder.name);
      this.known.set(placeholder, { tensor: local, spread: shared ? "own" : "whole" });
    });
    // What the body takes from outside has been visited, and reduced where it is partial.
    const outside = new Set(this.known.keys());
    this.outside = outside;
    this.madeOutside.clear();
    const inside = (tensor: Tensor): readonly Tensor[] => (outside.has(tensor) ? [] : tensor.inputs);
    for (const tensor of reachable([...loop.next, ...loop.sequences], inside)) this.visit(tensor);
    const next = loop.next.map(place);
    captured.push(...this.madeOutside);
    this.outside = undefined;
    const body: LoopBody = {
      ...loop,
      stepInputs: stepInputs.map((tensor) => this.of(tensor).tensor),
      states: states.map((tensor) => this.of(tensor).tensor),
      next,
      sequences: loop.sequences.map((tensor) => this.of(tensor).tensor),
      captured,
    };
    const tensor = inScopeOf(node, () => new Tensor("loop", [...rows, ...captured], node.shape, { loop: body }));
    return { tensor: tensor.named(loop.name), spread: "whole" };
  }
}
