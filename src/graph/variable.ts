import type { Shape } from "./shape.js";

/** "float": float64 on the reference backend, float32 elsewhere. "index": whole numbers, int32. */
export type ElementType = "float" | "index";

/**
 * Memory that outlives a program: a weight, a moment of Adam, a carried state, an input, a result. Programs of one
 * session that name the same variable share it; its identity is the object's.
 */
export interface Variable {
  /** For messages. */
  readonly name: string;
  readonly shape: Shape;
  /** What its elements are. */
  readonly type: ElementType;
  /**
   * What it holds when a session first has use for it, row-major; zeros by default. A function is called then, and whenever it
   * is to begin anew: weights that are drawn need not be kept, and can be drawn while the engine compiles.
   */
  readonly initial?: ArrayLike<number> | (() => ArrayLike<number>);
  /** Whether its second to last dimension is the batch: threads share the work by these rows. */
  readonly batch?: boolean;
}

/** What a variable begins with; undefined for zeros. */
export const initialOf = ({ initial }: Variable): ArrayLike<number> | undefined =>
  typeof initial === "function" ? initial() : initial;

/** A new variable, of floats unless `type` says otherwise, that begins with zeros. */
export const variable = (name: string, shape: Shape, type: ElementType = "float"): Variable => ({ name, shape, type });

/** As `variable`, of numbers for each row of the batch: [N, D] or [T, N, D]. */
export const batchVariable = (name: string, shape: Shape, type: ElementType = "float"): Variable => ({
  ...variable(name, shape, type),
  batch: true,
});
