import { checkOptions, UserError } from "../errors.js";
import { count, sentence, show } from "./check.js";
import { createVocabulary, type Vocabulary } from "./vocabulary.js";

/** A text as ids, cut in two in reading order. */
export interface TextData {
  readonly name: string;
  readonly vocabulary: Vocabulary;
  /** The first part's ids. */
  readonly train: Int32Array;
  /** The last part's ids; empty where `validation` was 0. */
  readonly validation: Int32Array;
}

/** Options of `readText`; all have defaults. */
export interface TextOptions {
  /** The share of the characters, from the end, kept for validation: 0 ≤ share < 1. Default 0.1. */
  readonly validation?: number;
  /** What to call the text in errors, such as its file. Default "the text". */
  readonly name?: string;
  /** A vocabulary from an earlier run, instead of that of this text. */
  readonly vocabulary?: Vocabulary;
  /** The window of characters that training will use; a training part of fewer than window + 1 is refused. Default 1. */
  readonly window?: number;
}

/**
 * Reads a text for character models: its vocabulary, and the ids of the training and validation parts, in order.
 * A byte-order mark at the start is dropped. The validation part is the last `floor(validation · length)` characters.
 * Throws a UserError on a text that is empty, of one character only, or shorter than a window.
 */
export function readText(content: string, options: TextOptions = {}): TextData {
  const { validation = 0.1, name = "the text", window = 1 } = options;
  checkOptions("readText", options, "validation name vocabulary window");
  if (!(validation >= 0 && validation < 1)) {
    throw new UserError(`The validation share must be at least 0 and below 1, but is ${show(validation)}.`);
  }
  const text = content.charCodeAt(0) === 0xfeff ? content.slice(1) : content;
  const title = sentence(name);
  if (text.length === 0) {
    throw new UserError(`${title} is empty.`);
  }
  const vocabulary = options.vocabulary ?? createVocabulary(text);
  const ids = encode(text, vocabulary, name);
  if (ids.length === 1) {
    throw new UserError(`${title} holds one character only: there is nothing to predict.`);
  }
  if (options.vocabulary === undefined && vocabulary.size === 1) {
    const only = show(vocabulary.characters[0]);
    throw new UserError(`${title} holds one character only, ${only}, again and again: there is nothing to predict.`);
  }
  const held = Math.floor(ids.length * validation);
  const kept = ids.length - held;
  if (kept < window + 1) {
    throw new UserError(
      `${title} is too short: a window of ${count(window, "character")} needs ${window + 1} to train on, ` +
        `but of its ${count(ids.length, "character")} ${kept} are for training.`,
    );
  }
  if (validation > 0 && held < 2) {
    throw new UserError(
      `${title} is too short to validate on: ${validation} of its ${count(ids.length, "character")} ` +
        `is ${count(held, "character")}, and 2 are needed; use a larger share, or 0 for no validation.`,
    );
  }
  return { name, vocabulary, train: ids.slice(0, kept), validation: ids.slice(kept) };
}

/** A loss of `nats` a character, in bits: nats / ln 2. */
export function bitsPerCharacter(nats: number): number {
  return nats / Math.LN2;
}

function encode(text: string, vocabulary: Vocabulary, name: string): Int32Array {
  try {
    return vocabulary.encode(text);
  } catch (error) {
    throw error instanceof UserError ? new UserError(`In ${name}: ${error.message}`) : error;
  }
}
