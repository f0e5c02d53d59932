/** The run folder of a text model: what it was built from and trained on, its vocabulary, and a checkpoint. */
import { type BackendName, backendNamed } from "../backend/choose.js";
import type { Backend } from "../backend/contract.js";
import { type GenerateOptions, generate } from "../data/generate.js";
import { type Vocabulary, vocabularyFromJSON } from "../data/vocabulary.js";
import { UserError } from "../errors.js";
import { type CellName, cellNames, type TextModelOptions, textModel } from "../models/text-model.js";
import { crossEntropy } from "../train/losses.js";
import { sgd } from "../train/optimizers.js";
import { type Checkpoint, createTrainer } from "../train/trainer.js";
import { checkNames, checkpointFiles, readCheckpoint, readWeights } from "./checkpoint.js";
import { loadRun, type Run, runText, type SaveOptions, saveRun } from "./run-folder-node.js";

/** The model of a run, its vocabulary's size left out: that is the vocabulary's own. */
export type TextRunModel = Required<Omit<TextModelOptions, "vocabularySize">>;

export interface TextRunContents {
  readonly model: TextRunModel;
  readonly vocabulary: Vocabulary;
  readonly checkpoint: Checkpoint;
  /** How it was trained, as plain JSON: kept for people, and for a command that resumes. */
  readonly training?: Readonly<Record<string, unknown>>;
}

/** A text run as it was loaded. */
export interface TextRun {
  readonly dir: string;
  readonly model: TextRunModel;
  readonly vocabulary: Vocabulary;
  readonly training: Readonly<Record<string, unknown>>;
  /** Reads the checkpoint, for `trainer.restore`. @throws UserError where it is damaged or not of this model */
  checkpoint(): Checkpoint;
  /** Readies the model for writing. @throws UserError where the weights are damaged or not of this model */
  writer(options?: { readonly backend?: Backend | BackendName }): Promise<TextWriter>;
}

export interface TextWriter {
  /** Characters that go on from a prompt, one by one; see `generate`. */
  generate(options?: GenerateOptions): AsyncGenerator<string, void, void>;
  dispose(): void;
}

const KIND = "text";
const VOCABULARY = "vocabulary.json";

/** Saves a text run; see `saveRun` for the options, and for what a crash or a full disk leaves. */
export async function saveTextRun(dir: string, contents: TextRunContents, options: SaveOptions = {}): Promise<void> {
  const { model, vocabulary, checkpoint, training = {} } = contents;
  const files = { ...checkpointFiles(checkpoint), [VOCABULARY]: `${JSON.stringify(vocabulary)}\n` };
  await saveRun(dir, { config: { kind: KIND, model, training }, files }, options);
}

/**
 * Loads a text run.
 * @throws UserError where the folder is no run, or one of another kind, or damaged
 */
export async function loadTextRun(dir: string): Promise<TextRun> {
  const run = await loadRun(dir);
  const { model, training } = parseConfig(run);
  const vocabulary = parseVocabulary(run);
  const layer = textModel({ ...model, vocabularySize: vocabulary.size });
  const source = `${dir}/${run.checkpoint}`;
  return {
    dir,
    model,
    vocabulary,
    training,
    checkpoint: () => readCheckpoint(run.files, source),
    async writer({ backend = "auto" } = {}) {
      const weights = readWeights(run.files, source);
      const trainer = await createTrainer(layer, {
        loss: crossEntropy(),
        optimizer: sgd({ learningRate: 1 }),
        // One character at a time leaves threads nothing to share.
        backend: typeof backend === "string" ? backendNamed(backend, { threads: 1 }) : backend,
        weights,
      });
      const predictor = await trainer
        .predictor({ inputShape: [1, 1, 1], inputType: "index" })
        .catch((error: unknown) => {
          trainer.dispose();
          throw error instanceof UserError ? new UserError(`${source}/weights.safetensors: ${error.message}`) : error;
        });
      checkNames(trainer.network.parameters.keys(), weights, `${source}/weights.safetensors`);
      return { generate: (options) => generate(predictor, vocabulary, options), dispose: () => trainer.dispose() };
    },
  };
}

function parseConfig({ dir, config }: Run): { model: TextRunModel; training: Readonly<Record<string, unknown>> } {
  const damaged = (what: string): UserError => new UserError(`${dir}/run.json is damaged: ${what}.`);
  if (!isRecord(config)) throw damaged('its "config" is no object');
  if (config.kind !== KIND)
    throw new UserError(`${dir} is no text run but one of kind ${JSON.stringify(config.kind) ?? "unknown"}.`);
  const { model, training } = config;
  if (!isRecord(model)) throw damaged('its "model" is no object');
  if (!isRecord(training)) throw damaged('its "training" is no object');
  const { cell, hidden, layers, embedding, dropout } = model;
  if (!cellNames.includes(cell as CellName)) throw damaged(`its cell ${JSON.stringify(cell)} is not known`);
  for (const [name, value, least] of [
    ["hidden", hidden, 1],
    ["layers", layers, 1],
    ["embedding", embedding, 0],
  ] as const)
    if (!Number.isSafeInteger(value) || (value as number) < least)
      throw damaged(`its "${name}" is ${JSON.stringify(value)}`);
  if (typeof dropout !== "number" || !(dropout >= 0 && dropout < 1))
    throw damaged(`its "dropout" is ${JSON.stringify(dropout)}`);
  return { model: { cell, hidden, layers, embedding, dropout } as TextRunModel, training };
}

function parseVocabulary(run: Run): Vocabulary {
  const source = `${run.dir}/${run.checkpoint}/${VOCABULARY}`;
  const text = runText(run, VOCABULARY);
  try {
    return vocabularyFromJSON(JSON.parse(text));
  } catch (error) {
    const why = error instanceof UserError ? error.message : "it is not valid JSON.";
    throw new UserError(`${source} is damaged: ${why}`);
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
