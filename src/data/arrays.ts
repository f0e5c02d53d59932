/** Arrays of examples as training data: whole sequences (full BPTT) or plain rows, shuffled each epoch. */
import { checkName, checkOptions, UserError } from "../errors.js";
import { type Shape, sizeOf } from "../graph/shape.js";
import type { ElementType } from "../graph/variable.js";
import type { BatchOptions, BatchSource, TrainingData } from "../train/data.js";

/** Examples, one after another. */
export interface Examples {
  /** Example after example, each row-major in `inputShape`. */
  readonly inputs: ArrayLike<number>;
  /** Likewise in `targetShape`; class numbers from 0 for "index" targets. */
  readonly targets: ArrayLike<number>;
  /** Valid steps of each example, 1 … T; all T by default. */
  readonly lengths?: ArrayLike<number>;
}

/** What `arrayBatches` makes batches of. */
export interface ArrayOptions extends Examples {
  /** Of one example: [T, D], or [D] for a network without time. For an "index" input D is 1. */
  readonly inputShape: Shape;
  /** Of one example: [T, O] for a target at each step, [O] for one in all. */
  readonly targetShape: Shape;
  /** Default "float". */
  readonly inputType?: ElementType;
  /** Default "float"; "index" for classes. */
  readonly targetType?: ElementType;
  /** Held out of training. */
  readonly validation?: Examples;
  /** Another order each epoch. Default true. */
  readonly shuffle?: boolean;
}

/**
 * Batches of examples. Those that do not fill a last batch are left out of that epoch; shuffling brings them into another.
 * @throws UserError where arrays and shapes disagree, or an index is no whole number
 */
export function arrayBatches(options: ArrayOptions): TrainingData {
  const { validation, shuffle = true, inputType = "float", targetType = "float" } = options;
  const examples = "inputs targets lengths";
  checkOptions("arrayBatches", options, `${examples} inputShape targetShape inputType targetType validation shuffle`);
  if (validation) checkOptions("arrayBatches: validation", validation, examples);
  checkName("arrayBatches", "inputType", inputType, "float index");
  checkName("arrayBatches", "targetType", targetType, "float index");
  countOf(options, options, "training");
  if (validation) countOf(validation, options, "validation");
  return {
    train: ({ batch }: BatchOptions) => source(options, options, batch, shuffle),
    validation({ batch }) {
      return (
        validation && source(validation, options, Math.min(batch, countOf(validation, options, "validation")), false)
      );
    },
  };
}

function countOf(
  { inputs, targets, lengths }: Examples,
  { inputShape, targetShape, inputType = "float", targetType = "float" }: ArrayOptions,
  part: string,
): number {
  const count = inputs.length / sizeOf(inputShape);
  if (!Number.isInteger(count) || count < 1)
    throw new UserError(
      `${part}: ${inputs.length} input numbers are not whole examples of ${sizeOf(inputShape)} numbers [${inputShape.join(", ")}].`,
    );
  if (targets.length !== count * sizeOf(targetShape))
    throw new UserError(
      `${part}: ${count} examples want ${count * sizeOf(targetShape)} target numbers of shape [${targetShape.join(", ")}], not ${targets.length}.`,
    );
  if (lengths && lengths.length !== count)
    throw new UserError(`${part}: ${count} examples want as many lengths, not ${lengths.length}.`);
  if (lengths) {
    for (let e = 0; e < count; e++) {
      if (!(Number.isInteger(lengths[e]) && lengths[e]! >= 1 && lengths[e]! <= inputShape[0]!))
        throw new UserError(
          `${part}: the length of example ${e} must be a whole number from 1 to ${inputShape[0]}, not ${lengths[e]}.`,
        );
    }
  }
  checkIndices(inputs, inputType, part, "input");
  checkIndices(targets, targetType, part, "target");
  return count;
}

/** Whole numbers where indices are promised; which ones there are, only the model knows. */
function checkIndices(numbers: ArrayLike<number>, type: ElementType, part: string, what: string): void {
  if (type !== "index") return;
  for (let at = 0; at < numbers.length; at++) {
    if (!Number.isInteger(numbers[at]))
      throw new UserError(`${part}: an index must be a whole number, but ${what} number ${at} is ${numbers[at]}.`);
  }
}

function source(examples: Examples, options: ArrayOptions, batch: number, shuffle: boolean): BatchSource {
  const { inputShape, targetShape, inputType = "float", targetType = "float" } = options;
  const count = countOf(examples, options, "data");
  if (count < batch) throw new UserError(`A batch of ${batch} needs as many examples, but there are ${count}.`);
  const order = Int32Array.from({ length: count }, (_, e) => e);
  const timed = inputShape.length === 2;
  const timeMajor = (shape: Shape): Shape => (shape.length === 2 ? [shape[0]!, batch, shape[1]!] : [batch, shape[0]!]);
  const { lengths } = examples;
  return {
    inputShape: timeMajor(inputShape),
    inputType,
    targetShape: timeMajor(targetShape),
    targetType,
    length: Math.floor(count / batch),
    carries: false,
    masked: timed && lengths !== undefined,
    start(rng) {
      if (!shuffle) return;
      for (let e = 0; e < count; e++) order[e] = e;
      for (let e = count - 1; e > 0; e--) {
        const other = Math.floor(rng.uniform() * (e + 1));
        const kept = order[e]!;
        order[e] = order[other]!;
        order[other] = kept;
      }
    },
    fill(index, inputs, targets, mask) {
      for (let n = 0; n < batch; n++) {
        const example = order[index * batch + n]!;
        place(examples.inputs, example, inputShape, inputs, n, batch);
        place(examples.targets, example, targetShape, targets, n, batch);
        if (mask)
          for (let t = 0; t < inputShape[0]!; t++)
            mask[t * batch + n] = t < (lengths?.[example] ?? inputShape[0]!) ? 1 : 0;
      }
      return true;
    },
  };
}

/** Copies one example into row n of a batch, [T, D] into [T, N, D]. */
function place(
  from: ArrayLike<number>,
  example: number,
  shape: Shape,
  to: { [index: number]: number },
  n: number,
  batch: number,
): void {
  const [steps, features] = shape.length === 2 ? [shape[0]!, shape[1]!] : [1, shape[0]!];
  for (let t = 0; t < steps; t++) {
    for (let d = 0; d < features; d++) to[(t * batch + n) * features + d] = from[(example * steps + t) * features + d]!;
  }
}
