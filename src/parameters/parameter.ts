import type { Shape } from "../graph/shape.js";
import type { Rng } from "./rng.js";

/** Fills a parameter before training: row-major numbers for `shape`. */
export type Initializer = (shape: Shape, rng: Rng) => Float64Array;
