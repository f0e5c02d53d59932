/**
 * A trainer's checkpoint as files, and back, with every bit kept: what resumes from them goes on as if it had never stopped.
 *
 *     weights.safetensors      the parameters, under PyTorch's names
 *     optimizer.safetensors    the optimiser's memory: "rnn.weight_ih_l0.m"
 *     states.safetensors       the recurrent states carried from window to window: "rnn.h_l0"
 *     statistics.safetensors   running statistics (batch norm), where the model has any
 *     best.safetensors         the weights of the best validation, where they are kept
 *     progress.json            step, epoch and validation losses so far
 *
 * float32 numbers stay F32, float64 ones F64. Runs in a browser.
 */
import { UserError } from "../errors.js";
import { sameShape, showShape } from "../graph/shape.js";
import type { Checkpoint, NamedTensor, Progress } from "../train/trainer.js";
import { decodeSafetensors, encodeSafetensors } from "./safetensors.js";

type Tensors = Readonly<Record<string, NamedTensor>>;

const parts = ["parameters", "optimizer", "states", "statistics", "best"] as const;
const fileOf: Readonly<Record<(typeof parts)[number], string>> = {
  parameters: "weights.safetensors",
  optimizer: "optimizer.safetensors",
  states: "states.safetensors",
  statistics: "statistics.safetensors",
  best: "best.safetensors",
};
const PROGRESS = "progress.json";

/** The files of a checkpoint by name, for `saveRun`. */
export function checkpointFiles(checkpoint: Checkpoint): Record<string, Uint8Array | string> {
  const files: Record<string, Uint8Array | string> = {};
  for (const part of parts) {
    const tensors = checkpoint[part];
    const needed = part === "parameters" || part === "optimizer" || part === "best";
    if (tensors && (needed || Object.keys(tensors).length > 0)) files[fileOf[part]] = encodeTensors(tensors);
  }
  files[PROGRESS] = `${JSON.stringify(checkpoint.progress, spelled, 2)}\n`;
  return files;
}

/**
 * The checkpoint that `checkpointFiles` wrote. `source` says in messages where the files are from.
 * @throws UserError where the weights or the progress are missing, or a file is not what it should be
 */
export function readCheckpoint(files: ReadonlyMap<string, Uint8Array>, source: string): Checkpoint {
  const read = (part: (typeof parts)[number]): Tensors | undefined => {
    const bytes = files.get(fileOf[part]);
    return bytes && decodeTensors(bytes, `${source}/${fileOf[part]}`);
  };
  const parameters = read("parameters");
  const progress = files.get(PROGRESS);
  if (!parameters) throw new UserError(`${source} holds no ${fileOf.parameters}.`);
  if (!progress) throw new UserError(`${source} holds no ${PROGRESS}, so its training cannot go on.`);
  const best = read("best");
  const optimizer = read("optimizer") ?? {};
  checkSlots(optimizer, parameters, `${source}/${fileOf.optimizer}`);
  return {
    parameters,
    optimizer,
    states: read("states") ?? {},
    statistics: read("statistics") ?? {},
    ...(best ? { best } : {}),
    progress: parseProgress(progress, `${source}/${PROGRESS}`),
  };
}

/** The weights alone, for a model that is only to predict. @throws UserError where they are missing or damaged */
export function readWeights(files: ReadonlyMap<string, Uint8Array>, source: string): Record<string, NamedTensor> {
  const bytes = files.get(fileOf.parameters);
  if (!bytes) throw new UserError(`${source} holds no ${fileOf.parameters}.`);
  return decodeTensors(bytes, `${source}/${fileOf.parameters}`);
}

/**
 * Tensors as a safetensors file: F32 where `data` is a Float32Array, F64 where it holds other numbers.
 * @throws UserError where a shape does not fit its numbers
 */
export function encodeTensors(tensors: Tensors): Uint8Array<ArrayBuffer> {
  const floats = (data: ArrayLike<number>) => (data instanceof Float32Array ? data : Float64Array.from(data));
  return encodeSafetensors(
    new Map(Object.entries(tensors).map(([name, { shape, data }]) => [name, { shape, data: floats(data) }])),
  );
}

/** The tensors of a safetensors file that holds numbers. @throws UserError that names the file and what is wrong with it */
export function decodeTensors(bytes: Uint8Array, source: string): Record<string, NamedTensor> {
  const { tensors } = decodeSafetensors(bytes, source);
  return Object.fromEntries(
    [...tensors].map(([name, tensor]) => {
      if (!(tensor.data instanceof Float32Array || tensor.data instanceof Float64Array))
        throw new UserError(
          `${source}: tensor ${JSON.stringify(name)} holds ${tensor.dtype}, where numbers with a fraction are needed (F64, F32, F16 or BF16).`,
        );
      return [name, { shape: tensor.shape, data: tensor.data }];
    }),
  );
}

/**
 * Refuses weights that are not those of a model: a name too many or too few.
 * @throws UserError that names the first one
 */
export function checkNames(expected: Iterable<string>, found: Tensors, source: string): void {
  const names = new Set(expected);
  for (const name of names)
    if (!Object.hasOwn(found, name))
      throw new UserError(`${source} lacks the tensor ${JSON.stringify(name)} of its model.`);
  for (const name of Object.keys(found))
    if (!names.has(name))
      throw new UserError(`${source} holds a tensor ${JSON.stringify(name)} that its model has not.`);
}

/** An optimiser's memory is of a parameter, "rnn.weight_ih_l0.m" of rnn.weight_ih_l0, and has its shape. */
function checkSlots(optimizer: Tensors, parameters: Tensors, source: string): void {
  for (const [name, { shape }] of Object.entries(optimizer)) {
    const parameter = name.slice(0, name.lastIndexOf("."));
    if (!Object.hasOwn(parameters, parameter))
      throw new UserError(`${source} holds a tensor ${JSON.stringify(name)} that belongs to no weight.`);
    const expected = parameters[parameter]!.shape;
    if (!sameShape(shape, expected))
      throw new UserError(
        `${source}: tensor ${JSON.stringify(name)} has shape ${showShape(shape)}, its weight ${showShape(expected)}.`,
      );
  }
}

/** JSON would make null of a number that is not finite: it is written as its name, and read back. */
const NAMED = [Number.NaN, Infinity, -Infinity];
const spelled = (_: string, value: unknown): unknown => (NAMED.includes(value as number) ? String(value) : value);
const unspelled = (value: unknown): unknown => NAMED.find((number) => String(number) === value) ?? value;

function parseProgress(bytes: Uint8Array, source: string): Progress {
  const damaged = (what: string): UserError => new UserError(`${source} is damaged: ${what}.`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw damaged("it is not valid JSON");
  }
  if (typeof value !== "object" || value === null) throw damaged("it is no JSON object");
  const { step, epoch, index, seed, sinceBest, ...losses } = value as Record<string, unknown>;
  const metrics = Array.isArray(losses.metrics) ? losses.metrics.map(unspelled) : undefined;
  const bestLoss = unspelled(losses.bestLoss);
  for (const [name, count] of Object.entries({ step, epoch, index, sinceBest }))
    if (!Number.isSafeInteger(count) || (count as number) < 0) throw damaged(`its "${name}" is no whole number`);
  if (!Number.isFinite(seed)) throw damaged('its "seed" is no number');
  if (bestLoss !== null && !isNumber(bestLoss)) throw damaged('its "bestLoss" is no number');
  if (!metrics?.every(isNumber)) throw damaged('its "metrics" are no list of numbers');
  return { step, epoch, index, seed, metrics, bestLoss, sinceBest } as Progress;
}

const isNumber = (value: unknown): boolean => typeof value === "number";
