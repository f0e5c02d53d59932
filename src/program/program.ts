/**
 * A program: the straight list of kernels that a backend carries out, with every shape known.
 *
 * All values are matrices of rows × columns. A time-major sequence [T, N, D] is T·N rows of D columns; a vector [D] is
 * one row. Kernels read and write through views, so that slices, concatenations and the steps of a loop cost nothing.
 */
import type { BinaryName, TernaryName, UnaryName } from "../graph/pointwise.js";
import type { ElementType, Variable } from "../graph/variable.js";

export type { ElementType, Variable } from "../graph/variable.js";

/** A worker's part of the batch: `rows` of its `of` rows. */
export interface Shard {
  readonly rows: number;
  readonly of: number;
}

/** A contiguous piece of memory. */
export interface Buffer {
  readonly id: number;
  /** Elements. */
  readonly size: number;
  readonly type: ElementType;
  /** What it holds, for people: "weight_hh_l0", "dgates". */
  readonly name: string;
  /**
   * Who decides its lifetime. "variable": outlives the program and is shared between programs of one session (weights,
   * optimiser state, carried state, inputs, results that are read back); "temporary": planned, shares memory.
   * Where several workers share the batch, each has its own temporaries. "partial": one for each worker, for an
   * all-reduce to read; "common": one for all of them.
   */
  readonly kind: "variable" | "temporary" | "partial" | "common";
  /** Stored in 16 bits, in an arena of its own (temporaries only, where a backend asks for it). */
  readonly half?: boolean;
  /** The session's variable behind it (kind "variable" only). */
  readonly variable?: Variable;
}

/**
 * A matrix inside a buffer. Element (r, c) at loop index t lies at `offset + t·step + r·stride + c` (all in elements).
 * Outside a loop `step` is 0. In a reverse loop t counts down from T−1 to 0.
 */
export interface View {
  readonly buffer: number;
  readonly offset: number;
  readonly rows: number;
  readonly columns: number;
  /** Elements from one row to the next, at least `columns`. */
  readonly stride: number;
  /** Elements from one loop index to the next; 0 for what does not change with time. */
  readonly step: number;
  /** Of the worker's own rows in memory that all share: it begins this many elements later for each row before them. */
  readonly perRow?: number;
}

/**
 * One instruction of a fused chain. Arguments are numbers of earlier values: the loads come first (0 … loads−1), then
 * the instructions in order.
 */
export type Instruction =
  | { readonly op: UnaryName | BinaryName | TernaryName; readonly args: readonly number[] }
  | { readonly op: "constant"; readonly value: number }
  /**
   * A uniform random number in [0, 1) from the counter-based generator of `graph/random.ts`: counter = element index
   * (t·rows + r)·columns + c, key = hash of `key` and the index-typed scalar load `seed` (an argument number).
   * With `batch` the chain has a worker's rows of the batch, and r counts through all of the batch's rows.
   */
  | { readonly op: "random"; readonly key: number; readonly seed: number; readonly batch?: Shard };

/** A fused pointwise chain over rows × columns: loads, instructions, stores, all for one element at a time. */
export interface Chain {
  readonly kind: "chain";
  readonly rows: number;
  readonly columns: number;
  /**
   * A load with fewer rows than the chain repeats: row r reads row r mod load.rows (1 row: a vector such as a bias).
   * At most one period other than 1 and `rows` occurs in a chain. A load of one column repeats along the row.
   * A load from an index buffer is converted to a float (a `random`'s seed excepted, which stays a whole number).
   */
  readonly loads: readonly View[];
  readonly code: readonly Instruction[];
  /**
   * Full-size results (rows × columns each). `flush`: write 0 for a denormal number, so that decayed states and moments
   * never slow a step. A store may lie exactly on a load (same view); it never overlaps one partially.
   */
  readonly stores: readonly { readonly value: number; readonly to: View; readonly flush: boolean }[];
}

/** out [m, n] = A·B (+ out, with `accumulate`), where A is a [m, k] (or its transpose [k, m]) and B is b [k, n] (or [n, k]). */
export interface Product {
  readonly kind: "product";
  readonly a: View;
  readonly transposeA: boolean;
  readonly b: View;
  readonly transposeB: boolean;
  readonly out: View;
  readonly accumulate: boolean;
}

/**
 * Sums (or largest values) along an axis. "rows": out has p rows with p dividing input.rows, out[i] = Σ of the rows
 * r ≡ i mod p. "columns": out is [rows, 1]. "all": out is [1, 1]. `square` sums the squares (sum only). 32-bit backends
 * accumulate "all" in 64 bits. `accumulate` (sums along the rows only) adds to what out holds.
 */
export interface Reduce {
  readonly kind: "reduce";
  readonly op: "sum" | "max";
  readonly axis: "rows" | "columns" | "all";
  readonly square: boolean;
  readonly accumulate?: boolean;
  readonly input: View;
  readonly out: View;
}

/** Each row's softmax or log-softmax over the columns. */
export interface Softmax {
  readonly kind: "softmax";
  readonly log: boolean;
  readonly input: View;
  readonly out: View;
}

/**
 * Softmax cross-entropy from logits, a row at a time. With target y, smoothing ε, class weights w (1 without), V
 * columns: q_j = w_j·((1−ε)[j=y] + ε/V), loss = −Σ_j q_j·log softmax(z)_j. A row whose target is outside 0 … V−1 has
 * q = 0. Without `scale`, out [rows, 1] is the loss; with it (d loss, [rows, 1] or [1, 1]) out [rows, V] is the
 * gradient: scale·(softmax(z)·Σq − q).
 */
export interface CrossEntropy {
  readonly kind: "crossEntropy";
  readonly logits: View;
  /** [rows, 1] of type index. */
  readonly target: View;
  /** [1, V], optional. */
  readonly weights?: View;
  readonly smoothing: number;
  readonly scale?: View;
  readonly out: View;
}

/** out row r = table row index[r]; an index outside the table gives zeros. */
export interface Gather {
  readonly kind: "gather";
  readonly table: View;
  /** [rows, 1] of type index. */
  readonly index: View;
  readonly out: View;
}

/** out (cleared first) row index[r] += input row r, in the order of r; an index outside adds nothing. */
export interface Scatter {
  readonly kind: "scatter";
  readonly input: View;
  readonly index: View;
  readonly out: View;
}

/** out [n, m] = input [m, n] transposed. */
export interface Transpose {
  readonly kind: "transpose";
  readonly input: View;
  readonly out: View;
}

/** Every element of out = value. */
export interface Fill {
  readonly kind: "fill";
  readonly value: number;
  readonly out: View;
}

/** out = Σ over the workers of their inputs (kind "partial"), in their order. All wait for one another before and after. */
export interface AllReduce {
  readonly kind: "allReduce";
  readonly input: View;
  readonly out: View;
}

/** All workers wait for one another. */
export interface Barrier {
  readonly kind: "barrier";
}

/** The time loop: `body` for t = 0 … steps−1, or steps−1 … 0 in reverse. Loops do not nest. */
export interface Loop {
  readonly kind: "loop";
  readonly name: string;
  readonly steps: number;
  readonly reverse: boolean;
  readonly body: readonly Kernel[];
}

/** What may stand in a loop (all-reduces and barriers only outside of one). */
export type Kernel = (
  | Chain
  | Product
  | Reduce
  | Softmax
  | CrossEntropy
  | Gather
  | Scatter
  | Transpose
  | Fill
  | AllReduce
  | Barrier
) & {
  /** Which layer and op it came from, for errors and profiles: "recurrent.l0: gates". */
  readonly label: string;
  /**
   * Which of the workers that share a batch do it: every one on memory of its own (undefined), each on its range of the
   * elements (a chain over contiguous memory), the first one alone, or whoever is free (products into partial buffers, one
   * after the other ahead of an all-reduce; in pieces, each on the memory of the worker whose rows they are).
   */
  readonly by?: "ranges" | "first" | "any";
};

export type Statement = Kernel | (Loop & { readonly label: string; readonly by?: "first" });

export interface Program {
  readonly name: string;
  readonly buffers: readonly Buffer[];
  /** Forward, loss, gradients: everything that leaves variables of kind "weight" as they were. */
  readonly compute: readonly Statement[];
  /** Scalars ([1, 1], float) that must be finite for `commit` to run. */
  readonly guards: readonly View[];
  /** The writes to weights, moments and carried state; skipped as a whole when a guard is not finite. */
  readonly commit: readonly Statement[];
  /** Where workers share a batch: the rows that this program is for. */
  readonly shard?: Shard;
  /** Whether every temporary is to be there after a run, for whoever looks at it. Default: those that are read by a statement alone. */
  readonly keep?: boolean;
  /** The plan: where each temporary buffer lies in one arena, in elements, and the arena's size. */
  readonly plan: MemoryPlan;
}

export interface MemoryPlan {
  /** Offset in elements by buffer id (temporary buffers only); multiples of 16 elements. */
  readonly offsets: ReadonlyMap<number, number>;
  /** Elements of the arena. */
  readonly size: number;
  /** Elements of the arena of the buffers that are stored in 16 bits. Default 0. */
  readonly halves?: number;
}

/** A statement itself, or what stands in a loop. */
export const kernelsIn = (statement: Statement): readonly Kernel[] =>
  statement.kind === "loop" ? statement.body : [statement];

export const kernelsOf = ({ compute, commit }: Pick<Program, "compute" | "commit">): Kernel[] =>
  [...compute, ...commit].flatMap(kernelsIn);

/** What each kernel reads, beside the loads of a chain and what it adds to. */
const operands = {
  product: ["a", "b"],
  reduce: ["input"],
  softmax: ["input"],
  crossEntropy: ["logits", "target", "weights", "scale"],
  gather: ["table", "index"],
  scatter: ["input", "index"],
  transpose: ["input"],
  fill: [],
  allReduce: ["input"],
  barrier: [],
} as const;

/** The views a kernel reads. */
export function reads(kernel: Kernel): readonly View[] {
  if (kernel.kind === "chain") return kernel.loads;
  const views = kernel as unknown as Readonly<Record<string, View | undefined>>;
  const read = operands[kernel.kind].flatMap((name) => views[name] ?? []);
  return "accumulate" in kernel && kernel.accumulate ? [...read, kernel.out] : read;
}

/** The views a kernel writes. */
export function writes(kernel: Kernel): readonly View[] {
  if (kernel.kind === "barrier") return [];
  return kernel.kind === "chain" ? kernel.stores.map((store) => store.to) : [kernel.out];
}

/** The views a kernel reads, and those it writes. */
export const viewsOf = (kernel: Kernel): View[] => reads(kernel).concat(writes(kernel));
