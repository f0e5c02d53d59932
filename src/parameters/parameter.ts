import type { Shape } from "../graph/shape.js";
import type { Rng } from "./rng.js";

/**
 * Fills a parameter before training: row-major numbers for `shape`. It is called when they are first needed, and again where a
 * trainer goes back to before its first step; all chance should come from `rng`, so that they are the same again.
 */
export type Initializer = (shape: Shape, rng: Rng) => Float64Array;
