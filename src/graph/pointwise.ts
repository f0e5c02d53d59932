/**
 * The scalar functions that every backend knows. A pointwise op of the language is one of these, applied to each
 * element; fused chains are straight-line programs of them.
 *
 * unary   neg abs sign exp log sqrt log1p expm1 sigmoid tanh erf softplus floor
 * binary  add sub mul div max min less lessEqual equal     (comparisons give 1 or 0)
 * ternary select(condition, a, b): a where condition ≠ 0, b elsewhere; the branch not taken never leaks its NaN
 */
export const unaryNames = [
  "neg",
  "abs",
  "sign",
  "exp",
  "log",
  "sqrt",
  "log1p",
  "expm1",
  "sigmoid",
  "tanh",
  "erf",
  "softplus",
  "floor",
] as const;
export const binaryNames = ["add", "sub", "mul", "div", "max", "min", "less", "lessEqual", "equal"] as const;
export const ternaryNames = ["select"] as const;

export type UnaryName = (typeof unaryNames)[number];
export type BinaryName = (typeof binaryNames)[number];
export type TernaryName = (typeof ternaryNames)[number];
export type PointwiseName = UnaryName | BinaryName | TernaryName;

export const pointwiseNames: readonly PointwiseName[] = [...unaryNames, ...binaryNames, ...ternaryNames];
export const isPointwise = (name: string): name is PointwiseName =>
  (pointwiseNames as readonly string[]).includes(name);
