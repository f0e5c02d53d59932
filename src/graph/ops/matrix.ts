/** Matrix products, sums and rearrangements: shape rules and derivatives. R rows (all leading dimensions), C columns. */
import { UserError } from "../../errors.js";
import { columnsOf, rowsOf, type Shape, sameShape, showShape, sizeOf, withColumns } from "../shape.js";
import { type Attributes, Tensor } from "../tensor.js";
import type { Context, OpRule } from "./rule.js";

const shapeOf = (inputs: readonly Tensor[], i: number): Shape => inputs[i]!.shape;

/** op(A)·op(B): A is [R, k], or [R, m] taken as its transpose; B is [k, n], or [n, k] taken as its transpose. */
export function matmul(a: Tensor, b: Tensor, { transposeA = false, transposeB = false } = {}): Tensor {
  const attributes = { transposeA, transposeB };
  return new Tensor("matmul", [a, b], matmulShape([a, b], attributes), attributes);
}

function matmulShape(inputs: readonly Tensor[], { transposeA, transposeB }: Attributes): Shape {
  const [a, b] = [shapeOf(inputs, 0), shapeOf(inputs, 1)];
  const depth = transposeA ? rowsOf(a) : columnsOf(a);
  const inner = transposeB ? columnsOf(b) : rowsOf(b);
  if (depth !== inner) {
    const show = (shape: Shape, transposed?: boolean): string => showShape(shape) + (transposed ? "ᵀ" : "");
    throw new UserError(
      `matmul: ${show(a, transposeA)} · ${show(b, transposeB)}: the inner sizes ${depth} and ${inner} differ`,
    );
  }
  const columns = transposeB ? rowsOf(b) : columnsOf(b);
  return transposeA ? [columnsOf(a), columns] : a.length === 1 ? [1, columns] : withColumns(a, columns);
}

function matmulDerivative({ dy, x, node }: Context, i: number): Tensor {
  const { transposeA, transposeB } = node.attributes;
  if (i === 0)
    return transposeA
      ? matmul(x(1), dy, { transposeA: transposeB, transposeB: true })
      : matmul(dy, x(1), { transposeB: !transposeB });
  return transposeB
    ? matmul(dy, x(0), { transposeA: true, transposeB: transposeA })
    : matmul(x(0), dy, { transposeA: !transposeA });
}

/** x [.., C] with R rows as [C, R]. */
export const transpose = (x: Tensor): Tensor => new Tensor("transpose", [x], transposeShape([x]));
const transposeShape = (inputs: readonly Tensor[]): Shape => [
  columnsOf(shapeOf(inputs, 0)),
  rowsOf(shapeOf(inputs, 0)),
];

/** Columns start … start+size−1. */
export function slice(x: Tensor, start: number, size: number): Tensor {
  if (!Number.isInteger(start) || !Number.isInteger(size) || start < 0 || size < 1 || start + size > columnsOf(x.shape))
    throw new UserError(`slice: columns ${start} to ${start + size - 1} are not all within ${showShape(x.shape)}`);
  return start === 0 && size === columnsOf(x.shape)
    ? x
    : new Tensor("slice", [x], withColumns(x.shape, size), { start, size }, x.type);
}

/** The tensors side by side, along the features. */
export function concat(parts: readonly Tensor[]): Tensor {
  if (parts.length === 1) return parts[0]!;
  return new Tensor("concat", parts, concatShape(parts));
}

function concatShape(parts: readonly Tensor[]): Shape {
  const first = parts[0];
  if (!first) throw new UserError("concat: there is nothing to put together");
  const wrong = parts.find((part) => !sameShape(part.shape.slice(0, -1), first.shape.slice(0, -1)));
  if (wrong)
    throw new UserError(`concat: shapes ${showShape(first.shape)} and ${showShape(wrong.shape)} have different rows`);
  return withColumns(
    first.shape,
    parts.reduce((sum, part) => sum + columnsOf(part.shape), 0),
  );
}

/** Where the i-th part of a concatenation begins. */
export const concatStart = (parts: readonly Tensor[], i: number): number =>
  parts.slice(0, i).reduce((sum, part) => sum + columnsOf(part.shape), 0);

/** Rows start … start+size−1 along the first dimension; of [T, N, D] these are time steps. */
export function sliceRows(x: Tensor, start: number, size: number): Tensor {
  if (x.shape.length < 2 || start < 0 || size < 1 || start + size > x.shape[0]!)
    throw new UserError(`sliceRows: rows ${start} to ${start + size - 1} are not all within ${showShape(x.shape)}`);
  return new Tensor("sliceRows", [x], [size, ...x.shape.slice(1)], { start, size }, x.type);
}

const padRows = (x: Tensor, start: number, shape: Shape): Tensor => new Tensor("padRows", [x], shape, { start, shape });

/** The same rows under other leading dimensions, [T, N, D] as [T·N, D]. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  if (sizeOf(shape) !== sizeOf(x.shape) || columnsOf(shape) !== columnsOf(x.shape))
    throw new UserError(`reshape: ${showShape(x.shape)} has not the rows and columns of ${showShape(shape)}`);
  return new Tensor("reshape", [x], shape, { shape }, x.type);
}

/** x, as a constant: no gradient goes through it. */
export const stopGradient = (x: Tensor): Tensor => new Tensor("stopGradient", [x], x.shape, {}, x.type);

/** x repeated to `shape`; the language's own checks that it does. */
export const expand = (x: Tensor, shape: Shape): Tensor =>
  sameShape(x.shape, shape) ? x : new Tensor("expand", [x], shape, { shape });

/** Sum over the features: [R, C] to [R, 1]. */
export const sumColumns = (x: Tensor): Tensor => new Tensor("sumColumns", [x], withColumns(x.shape, 1));
/** The largest feature of each row. Not differentiated: used to keep exponentials in range. */
export const maxColumns = (x: Tensor): Tensor => new Tensor("maxColumns", [x], withColumns(x.shape, 1));
/** Sum of everything, [1]. */
export const sumAll = (x: Tensor): Tensor => new Tensor("sumAll", [x], [1]);
/** Sum over leading dimensions, down to `shape`; the language's own checks that it repeats to that of x. */
export const sumRows = (x: Tensor, shape: Shape = [columnsOf(x.shape)]): Tensor =>
  sameShape(x.shape, shape) ? x : new Tensor("sumRows", [x], shape, { shape });

/** The adjoint of repetition: sums `x` down to `shape`. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  if (sizeOf(shape) === 1 && sizeOf(x.shape) > 1) return reshapeTo(sumAll(x), shape);
  const columns = columnsOf(shape) === columnsOf(x.shape) ? x : sumColumns(x);
  return rowsOf(shape) === rowsOf(x.shape) ? reshapeTo(columns, shape) : sumRows(columns, shape);
}

const reshapeTo = (x: Tensor, shape: Shape): Tensor =>
  sameShape(x.shape, shape) ? x : new Tensor("reshape", [x], shape, { shape });

const given = (_: readonly Tensor[], { shape }: Attributes): Shape => shape!;
const whole = { rowwise: false, cheap: false } as const;

export const matrixTable = {
  matmul: { ...whole, shape: matmulShape, derivative: matmulDerivative, rowwise: true },
  transpose: {
    ...whole,
    shape: transposeShape,
    derivative: [({ dy, node }) => reshapeTo(transpose(dy), node.inputs[0]!.shape)],
  },
  slice: {
    keepsType: true,
    rowwise: true,
    cheap: true,
    shape: (inputs, { size }) => withColumns(shapeOf(inputs, 0), size!),
    derivative: undefined,
  }, // see sweep.ts: slices are put together
  concat: {
    rowwise: true,
    cheap: true,
    shape: concatShape,
    derivative: ({ dy, node }, i) => slice(dy, concatStart(node.inputs, i), columnsOf(node.inputs[i]!.shape)),
  },
  sliceRows: {
    keepsType: true,
    ...whole,
    shape: (inputs, { size }) => [size!, ...shapeOf(inputs, 0).slice(1)],
    derivative: [({ dy, node }) => padRows(dy, node.attributes.start!, node.inputs[0]!.shape)],
  },
  padRows: {
    ...whole,
    shape: given,
    derivative: [({ dy, node }) => sliceRows(dy, node.attributes.start!, node.inputs[0]!.shape[0]!)],
  },
  reshape: {
    keepsType: true,
    ...whole,
    shape: given,
    derivative: [({ dy, node }) => reshapeTo(dy, node.inputs[0]!.shape)],
  },
  stopGradient: {
    keepsType: true,
    rowwise: true,
    cheap: true,
    shape: (inputs) => shapeOf(inputs, 0),
    derivative: undefined,
  },
  expand: {
    rowwise: true,
    cheap: true,
    shape: given,
    derivative: [({ dy, node }) => sumTo(dy, node.inputs[0]!.shape)],
  },
  sumColumns: {
    rowwise: true,
    cheap: false,
    shape: (inputs) => withColumns(shapeOf(inputs, 0), 1),
    derivative: [({ dy, node }) => expand(dy, node.inputs[0]!.shape)],
  },
  maxColumns: {
    rowwise: true,
    cheap: false,
    shape: (inputs) => withColumns(shapeOf(inputs, 0), 1),
    derivative: [undefined],
  },
  sumRows: { ...whole, shape: given, derivative: [({ dy, node }) => expand(dy, node.inputs[0]!.shape)] },
  sumAll: { ...whole, shape: () => [1], derivative: [({ dy, node }) => expand(dy, node.inputs[0]!.shape)] },
} satisfies Record<string, OpRule>;
