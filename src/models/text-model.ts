/** A character model: what comes next, for every character of a text. T time, N batch, V vocabulary, D embedding, H hidden. */
import type { Cell } from "../cells/cell.js";
import { gru } from "../cells/gru.js";
import { lstm } from "../cells/lstm.js";
import { rnn } from "../cells/rnn.js";
import { checkOptions, UserError } from "../errors.js";
import { dense } from "../layers/dense.js";
import { dropout as dropoutLayer } from "../layers/dropout.js";
import { embedding as embeddingLayer, oneHotEncoding } from "../layers/embedding.js";
import type { Layer } from "../layers/layer.js";
import { recurrent } from "../layers/recurrent.js";
import { sequential } from "../layers/sequential.js";

const cells: Readonly<Record<CellName, (hidden: number) => Cell>> = { rnn, lstm, gru };

/** One of the three cells that have names. */
export type CellName = "rnn" | "lstm" | "gru";

/** The cells that can be asked for by name. */
export const cellNames = /* @__PURE__ */ Object.keys(cells) as readonly CellName[];

/** Without a bias, projection or other option. @throws UserError on another name */
export function cellNamed(name: CellName, hidden: number): Cell {
  if (!Object.hasOwn(cells, name))
    throw new UserError(`there is no cell "${String(name)}"; the cells are ${cellNames.join(", ")}`);
  return cells[name](hidden);
}

/** The sizes of a text model. */
export interface TextModelOptions {
  /** V: characters that are told apart. */
  readonly vocabularySize: number;
  /** Default "lstm". */
  readonly cell?: CellName;
  /** H: features of each recurrent layer. Default 128. */
  readonly hidden?: number;
  /** Recurrent layers on top of one another. Default 2. */
  readonly layers?: number;
  /** D: features that are learned for each character; 0 gives each its own input instead (one-hot). Default 0. */
  readonly embedding?: number;
  /** Dropout on the output of every recurrent layer, the last included, as char-rnn. Default 0. */
  readonly dropout?: number;
}

/**
 * Input ids [T, N, 1], output logits [T, N, V]. Parameters are named as a PyTorch module of the same three parts would name them:
 * embedding.weight [V, D] (none for one-hot), rnn.weight_ih_l0, …, head.weight [V, H], head.bias [V]; all start as PyTorch's do.
 * @throws UserError on options out of range
 */
export function textModel(options: TextModelOptions): Layer {
  const { vocabularySize, cell = "lstm", hidden = 128, layers = 2, embedding = 0, dropout = 0 } = options;
  checkOptions("textModel", options, "vocabularySize cell hidden layers embedding dropout");
  if (!(dropout >= 0 && dropout < 1))
    throw new UserError(`the dropout must be at least 0 and below 1, not ${String(dropout)}`);
  return sequential({
    embedding: embedding === 0 ? oneHotEncoding(vocabularySize) : embeddingLayer(vocabularySize, embedding),
    rnn: recurrent(cellNamed(cell, hidden), { layers, dropout }),
    ...(dropout > 0 ? { dropout: dropoutLayer(dropout) } : {}),
    head: dense(vocabularySize),
  });
}

/** How many numbers a text model learns, known before any of them takes memory. */
export function countTextParameters(options: TextModelOptions): number {
  const { vocabularySize, cell = "lstm", hidden = 128, layers = 2, embedding = 0 } = options;
  const shapes = cellNamed(cell, hidden).parameters;
  const count = (features: number): number =>
    Object.values(shapes(features)).reduce((sum, shape) => sum + shape.reduce((size, length) => size * length, 1), 0);
  return (
    vocabularySize * embedding +
    count(embedding || vocabularySize) +
    (layers - 1) * count(hidden) +
    vocabularySize * (hidden + 1)
  );
}
