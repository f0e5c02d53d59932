/**
 * Initialisers. A weight [out, in] (PyTorch's layout) has fan-in `in` and fan-out `out`; a vector [n] counts as [n, 1].
 */
import { checkOptions, UserError } from "../errors.js";
import { columnsOf, rowsOf, type Shape, showShape, sizeOf } from "../graph/shape.js";
import type { Initializer } from "./parameter.js";
import type { Rng } from "./rng.js";

function fans(shape: Shape): { readonly fanIn: number; readonly fanOut: number } {
  if (!Array.isArray(shape))
    throw new UserError(
      "heUniform, heNormal, lecunUniform and lecunNormal are initialisers: give them, do not call them",
    );
  return shape.length < 2 ? { fanIn: 1, fanOut: sizeOf(shape) } : { fanIn: columnsOf(shape), fanOut: rowsOf(shape) };
}

/** The same number everywhere. */
export const constantOf =
  (value: number): Initializer =>
  (shape) =>
    new Float64Array(sizeOf(shape)).fill(value);

/** Zeros. */
export const zeroInit: Initializer = constantOf(0);
/** Ones. */
export const oneInit: Initializer = constantOf(1);

/** U(−bound, bound). */
export const uniform =
  (bound: number): Initializer =>
  (shape, rng) =>
    rng.uniforms(sizeOf(shape), bound);

/** N(0, deviation²). */
export const normal =
  (deviation: number): Initializer =>
  (shape, rng) =>
    new Float64Array(sizeOf(shape)).map(() => rng.normal() * deviation);

/** U(±gain·√(6/(fan-in + fan-out))) (Glorot & Bengio 2010). */
export const xavierUniform =
  (gain = 1): Initializer =>
  (shape, rng) =>
    uniform(gain * Math.sqrt(6 / (fans(shape).fanIn + fans(shape).fanOut)))(shape, rng);

/** N(0, gain²·2/(fan-in + fan-out)) (Glorot & Bengio 2010). */
export const xavierNormal =
  (gain = 1): Initializer =>
  (shape, rng) =>
    normal(gain * Math.sqrt(2 / (fans(shape).fanIn + fans(shape).fanOut)))(shape, rng);

/** U(±√(6/fan-in)), for ReLU networks (He et al. 2015). */
export const heUniform: Initializer = (shape, rng) => uniform(Math.sqrt(6 / fans(shape).fanIn))(shape, rng);
/** N(0, 2/fan-in), for ReLU networks (He et al. 2015). */
export const heNormal: Initializer = (shape, rng) => normal(Math.sqrt(2 / fans(shape).fanIn))(shape, rng);
/** U(±√(3/fan-in)) (LeCun et al. 1998). */
export const lecunUniform: Initializer = (shape, rng) => uniform(Math.sqrt(3 / fans(shape).fanIn))(shape, rng);
/** N(0, 1/fan-in) (LeCun et al. 1998). */
export const lecunNormal: Initializer = (shape, rng) => normal(Math.sqrt(1 / fans(shape).fanIn))(shape, rng);

/** U(±1/√size): PyTorch's default for recurrent layers (size = hidden) and linear ones (size = input features). */
export const pytorchUniform = (size: number): Initializer => uniform(1 / Math.sqrt(size));

/**
 * Orthonormal rows or columns (Saxe, McClelland & Ganguli 2014), by Gram–Schmidt on a normal matrix. A stack of gates
 * [k·H, H] is orthogonal gate by gate with `blocks` = k.
 */
export const orthogonal = (options: { gain?: number; blocks?: number } = {}): Initializer => {
  const { gain = 1, blocks = 1 } = options;
  checkOptions("orthogonal", options, "gain blocks");
  return (shape, rng) => {
    const [rows, columns] = [rowsOf(shape) / blocks, columnsOf(shape)];
    if (!Number.isInteger(rows))
      throw new UserError(`orthogonal: ${showShape(shape)} does not divide into ${blocks} blocks of rows`);
    const out = new Float64Array(sizeOf(shape));
    for (let block = 0; block < blocks; block++)
      out.set(
        orthonormal(rows, columns, rng).map((value) => value * gain),
        block * rows * columns,
      );
    return out;
  };
};

function orthonormal(rows: number, columns: number, rng: Rng): Float64Array {
  // Vectors of the longer side, as many as the shorter, made orthonormal one after the other (twice, for accuracy).
  const [count, length] = [Math.min(rows, columns), Math.max(rows, columns)];
  const vectors: Float64Array[] = [];
  while (vectors.length < count) {
    const vector = Float64Array.from({ length }, () => rng.normal());
    for (let pass = 0; pass < 2; pass++) {
      for (const other of vectors) {
        const along = dot(vector, other);
        for (let i = 0; i < length; i++) vector[i]! -= along * other[i]!;
      }
    }
    const norm = Math.sqrt(dot(vector, vector));
    if (norm > 1e-8) vectors.push(vector.map((value) => value / norm));
  }
  const out = new Float64Array(rows * columns);
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < length; j++) out[rows <= columns ? i * columns + j : j * columns + i] = vectors[i]![j]!;
  }
  return out;
}

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, value, i) => sum + value * b[i]!, 0);

/** The identity matrix times `gain`, for ReLU recurrences (Le, Jaitly & Hinton 2015). */
export const identity =
  (gain = 1): Initializer =>
  (shape) => {
    const columns = columnsOf(shape);
    return Float64Array.from({ length: sizeOf(shape) }, (_, i) => (Math.floor(i / columns) === i % columns ? gain : 0));
  };

/** `base` with one gate's part of a bias [gates·H] set to `value`; gates count from 0. For the LSTM's forget bias: gate 1 of 4. */
export const gateBias =
  (base: Initializer, gate: number, gates: number, value: number): Initializer =>
  (shape, rng) => {
    const out = base(shape, rng);
    const hidden = sizeOf(shape) / gates;
    return out.fill(value, gate * hidden, (gate + 1) * hidden);
  };

/**
 * Chrono initialisation of an LSTM's bias [4H] (Tallec & Ollivier 2018): b_f = log U(1, longest − 1), b_i = −b_f, others 0, for
 * dependencies over up to `longest` steps.
 */
export const chrono =
  (longest: number): Initializer =>
  (shape, rng) => {
    if (!(longest > 2)) throw new UserError(`chrono: the longest dependency must be above 2 steps, not ${longest}`);
    const hidden = sizeOf(shape) / 4;
    const out = new Float64Array(4 * hidden);
    for (let j = 0; j < hidden; j++) {
      const forget = Math.log(1 + rng.uniform() * (longest - 2));
      out[hidden + j] = forget;
      out[j] = -forget;
    }
    return out;
  };
