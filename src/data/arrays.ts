/** Arrays of examples as training data: whole sequences (full BPTT) or plain rows, shuffled each epoch. */
import { checkName, checkOptions, UserError } from "../errors.js";
import { type Shape, showShape, sizeOf } from "../graph/shape.js";
import type { ElementType } from "../graph/variable.js";
import type { BatchOptions, BatchSource, TrainingData } from "../train/data.js";

/** Examples, one after another. */
export interface Examples {
  /** Example after example, each row-major in `inputShape`. */
  readonly inputs: ArrayLike<number>;
  /** Likewise in `targetShape`; class numbers from 0 for "index" targets. */
  readonly targets: ArrayLike<number>;
  /** Valid steps of each example [T, D], 1 … T; all T by default. Past the end inputs, and targets at each step, may be anything. */
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
 * Batches of examples. Those that do not fill a last batch are left out of that epoch; shuffling brings them into another. In a
 * validation every example counts. The arrays are looked through once, here.
 * @throws UserError where arrays and shapes disagree, a number is not finite, or an index is no whole number; examples, steps and
 * features are counted from 0
 */
export function arrayBatches(options: ArrayOptions): TrainingData {
  const { validation, shuffle = true, inputType = "float", targetType = "float" } = options;
  const [examples, shapes] = ["inputs targets lengths", "inputShape targetShape inputType targetType"];
  checkOptions("arrayBatches", options, `${examples} ${shapes} validation shuffle`);
  if (validation) checkOptions("arrayBatches: validation", validation, `${examples} ${shapes}`);
  checkName("arrayBatches", "inputType", inputType, "float index");
  checkName("arrayBatches", "targetType", targetType, "float index");
  checkExample("inputShape", options.inputShape, "T, D");
  checkExample("targetShape", options.targetShape, "T, O");
  const training = partOf(options, options, "training");
  const held = validation && partOf(validation, options, "validation");
  return {
    train({ batch, all = false }: BatchOptions) {
      if (training.count < batch && !all)
        throw new UserError(`A batch of ${batch} needs as many examples, but there are ${training.count}.`);
      return source(training, batch, shuffle, all);
    },
    validation: ({ batch }) => held && source(held, batch, false, true),
  };
}

function checkExample(name: string, shape: Shape, timed: string): void {
  const whole = shape.every((size) => Number.isInteger(size) && size >= 1);
  if (!whole || shape.length < 1 || shape.length > 2)
    throw new UserError(
      `${name} is that of one example, [${timed}] or [${timed.slice(-1)}] in whole numbers from 1, not ${showShape(shape)}.`,
    );
}

/** Numbers of one kind, example after example. */
interface Numbers {
  readonly what: "input" | "target";
  readonly numbers: ArrayLike<number>;
  readonly type: ElementType;
  /** 1 where there is no time. */
  readonly steps: number;
  readonly features: number;
  /** Of one example. */
  readonly shape: Shape;
  /** Valid steps of each example. */
  readonly lengths: ArrayLike<number> | undefined;
}

/** Examples that go together, looked through. */
interface Part {
  readonly name: string;
  readonly count: number;
  readonly inputs: Numbers;
  readonly targets: Numbers;
}

function partOf({ inputs, targets, lengths }: Examples, options: ArrayOptions, name: string): Part {
  const { inputShape, targetShape, inputType = "float", targetType = "float" } = options;
  const count = inputs.length / sizeOf(inputShape);
  if (!Number.isInteger(count) || count < 1)
    throw new UserError(
      `${name}: ${inputs.length} input numbers are not whole examples of ${sizeOf(inputShape)} numbers ${showShape(inputShape)}.`,
    );
  if (targets.length !== count * sizeOf(targetShape))
    throw new UserError(
      `${name}: ${count} examples want ${count * sizeOf(targetShape)} target numbers of shape ${showShape(targetShape)}, not ${targets.length}.`,
    );
  if (lengths) checkLengths(lengths, count, inputShape, name);
  const part = {
    name,
    count,
    inputs: numbersOf("input", inputs, inputShape, inputType, lengths),
    targets: numbersOf(
      "target",
      targets,
      targetShape,
      targetType,
      targetShape[0] === inputShape[0] ? lengths : undefined,
    ),
  };
  checkNumbers(name, part.inputs);
  checkNumbers(name, part.targets);
  return part;
}

function checkLengths(lengths: ArrayLike<number>, count: number, inputShape: Shape, part: string): void {
  if (inputShape.length !== 2)
    throw new UserError(
      `${part}: lengths are of sequences [T, D], but inputShape is ${showShape(inputShape)}, without time.`,
    );
  if (lengths.length !== count)
    throw new UserError(`${part}: ${count} examples want as many lengths, not ${lengths.length}.`);
  for (let e = 0; e < count; e++) {
    if (!(Number.isInteger(lengths[e]) && lengths[e]! >= 1 && lengths[e]! <= inputShape[0]!))
      throw new UserError(
        `${part}: the length of example ${e} must be a whole number from 1 to ${inputShape[0]}, not ${lengths[e]}.`,
      );
  }
}

function numbersOf(
  what: Numbers["what"],
  numbers: ArrayLike<number>,
  shape: Shape,
  type: ElementType,
  lengths: ArrayLike<number> | undefined,
): Numbers {
  const [steps, features] = shape.length === 2 ? [shape[0]!, shape[1]!] : [1, shape[0]!];
  return { what, numbers, type, steps, features, shape, lengths: shape.length === 2 ? lengths : undefined };
}

/** Whole numbers where indices are promised (which ones there are, only the model knows), elsewhere finite ones. */
function checkNumbers(part: string, { what, numbers, type, steps, features, shape, lengths }: Numbers): void {
  const fits = type === "index" ? Number.isInteger : Number.isFinite;
  for (let at = 0; at < numbers.length; at++) {
    if (fits(numbers[at])) continue;
    const row = Math.floor(at / features);
    const [example, step] = [Math.floor(row / steps), row % steps];
    if (step >= (lengths?.[example] ?? steps)) continue;
    const place = [
      `example ${example}`,
      ...(shape.length === 2 ? [`step ${step}`] : []),
      ...(features > 1 ? [`feature ${at % features}`] : []),
    ].join(", ");
    const wanted = type === "index" ? "an index must be a whole number" : "numbers must be finite";
    throw new UserError(`${part}: ${wanted}, but the ${what} at ${place} is ${numbers[at]}.`);
  }
}

/** `all`: for a validation, in which each example counts once, in batches of at most all there are. */
function source({ name, count, inputs, targets }: Part, most: number, shuffle: boolean, all: boolean): BatchSource {
  const batch = all ? Math.min(most, count) : most;
  const order = Int32Array.from({ length: count }, (_, e) => e);
  const timeMajor = ({ shape }: Numbers): Shape =>
    shape.length === 2 ? [shape[0]!, batch, shape[1]!] : [batch, shape[0]!];
  const { steps, lengths } = inputs;
  const full = Math.floor(count / batch);
  // The examples left fill a batch `copies` times; the first of them stands in the `spare` rows too, and in all of another batch
  // that takes these out again.
  const left = all ? count % batch : 0;
  const copies = Math.floor(batch / left);
  const spare = batch % left;
  const length = full + (left > 0 ? 1 : 0) + (spare > 0 ? 1 : 0);
  const exampleAt = (index: number, n: number): number =>
    order[index < full ? index * batch + n : full * batch + (index === full && n < copies * left ? n % left : 0)]!;
  return {
    inputShape: timeMajor(inputs),
    inputType: inputs.type,
    targetShape: timeMajor(targets),
    targetType: targets.type,
    length,
    carries: false,
    masked: lengths !== undefined,
    share: (index) => (index < full ? 1 : (index === full ? 1 : -spare / batch) / copies),
    nameOf: (index, n) => `${name} example ${exampleAt(index, n)}`,
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
    fill(index, inputRows, targetRows, mask) {
      if (!(Number.isInteger(index) && index >= 0 && index < length))
        throw new UserError(
          `There is no batch ${index}: ${count} examples make ${length} batches of ${batch}, from 0 on.`,
        );
      for (let n = 0; n < batch; n++) {
        const example = exampleAt(index, n);
        place(inputs, example, inputRows, n, batch);
        place(targets, example, targetRows, n, batch);
        if (mask) for (let t = 0; t < steps; t++) mask[t * batch + n] = t < (lengths?.[example] ?? steps) ? 1 : 0;
      }
      return true;
    },
  };
}

/** Copies one example into row n of a batch, [T, D] into [T, N, D]; past its end 0. */
function place(
  { numbers, steps, features, lengths }: Numbers,
  example: number,
  to: { [index: number]: number },
  n: number,
  batch: number,
): void {
  const valid = lengths?.[example] ?? steps;
  for (let t = 0; t < steps; t++) {
    for (let d = 0; d < features; d++)
      to[(t * batch + n) * features + d] = t < valid ? numbers[(example * steps + t) * features + d]! : 0;
  }
}
