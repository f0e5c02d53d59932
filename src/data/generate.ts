/** Writing text with a trained character model, one character at a time. */

import type { HostArray } from "../backend/contract.js";
import { turn } from "../backend/turn.js";
import { checkOptions, UserError } from "../errors.js";
import { createRng } from "../parameters/rng.js";
import { alone } from "../train/alone.js";
import type { Predictor } from "../train/predictor.js";
import { createSampler, type SamplingOptions } from "./sampling.js";
import type { Vocabulary } from "./vocabulary.js";

/** Options of `generate`; all have defaults. */
export interface GenerateOptions extends SamplingOptions {
  /** What the model reads before it writes; its own output goes on from there. Default: the vocabulary's line break, else its first character. */
  readonly prompt?: string;
  /** Characters to write. Default 500. */
  readonly length?: number;
  /** Of the draws. Default 1. */
  readonly seed?: number | string;
}

/**
 * Characters that the model writes after `prompt`, one by one. `predictor` takes one index at a time, [1, 1, 1], carries its state,
 * and gives logits over the vocabulary. On a graphics processor 64 are drawn before they are read, of a vocabulary of 512 at most;
 * of a larger one each is drawn here.
 * @throws UserError on a prompt with characters that the vocabulary has not, and while the predictor writes something else: a text
 * beside it wants a predictor of its own
 */
export const generate = (
  predictor: Predictor,
  vocabulary: Vocabulary,
  options: GenerateOptions = {},
): AsyncGenerator<string, void, void> =>
  alone(predictor, "generate with this predictor", written(predictor, vocabulary, options));

async function* written(
  predictor: Predictor,
  vocabulary: Vocabulary,
  options: GenerateOptions,
): AsyncGenerator<string, void, void> {
  const { length = 500, seed = 1, prompt, ...sampling } = options;
  checkOptions("generate", options, "prompt length seed temperature topK topP");
  if (!Number.isInteger(length) || length < 0)
    throw new UserError(`The length to write must be a whole number of at least 0, but is ${length}.`);
  const sampler = createSampler(vocabulary.size, sampling);
  const rng = createRng(seed);
  const start = prompt
    ? vocabulary.encode(prompt)
    : vocabulary.encode(vocabulary.characters.includes("\n") ? "\n" : vocabulary.characters[0]!);
  const input = new Int32Array(1);
  const read = (id: number): HostArray | Promise<HostArray> => {
    input[0] = id;
    return predictor.runNow?.(input) ?? predictor.run(input);
  };
  predictor.reset();
  for (const id of start.subarray(0, -1)) await read(id);
  let last = start[start.length - 1]!;
  // Where an answer takes its time, many characters are drawn before one is read.
  const { drawing } = predictor;
  if (!predictor.runNow && drawing) {
    for (let written = 0; written < length; ) {
      const uniforms = Float64Array.from({ length: Math.min(drawing.most, length - written) }, rng.uniform);
      for (last of await drawing.draw(last, uniforms, sampling)) yield vocabulary.characters[last]!;
      written += uniforms.length;
    }
    return;
  }
  for (let written = 0; written < length; written++) {
    // No promise for an answer that is there already.
    const answer = read(last);
    last = sampler.draw(answer instanceof Promise ? await answer : answer, rng.uniform);
    yield vocabulary.characters[last]!;
    await turn();
  }
}
