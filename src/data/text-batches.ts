/** A text as training data: parallel streams of characters, the state carried from window to window. */
import type { HostArray } from "../backend/contract.js";
import type { BatchOptions, BatchSource, TrainingData } from "../train/data.js";
import { createStreams } from "./streams.js";
import type { TextData } from "./text.js";

/**
 * Batches of `text` for a trainer: inputs are ids [T, N, 1], targets the ids that follow. A validation part too short for the
 * batch is read in fewer streams.
 */
export function textBatches(text: TextData): TrainingData {
  return {
    name: text.name,
    train: (options) => streamSource(text.train, options),
    validation({ batch, window }) {
      if (text.validation.length < 2) return undefined;
      const pairs = text.validation.length - 1;
      const steps = Math.min(window, pairs);
      return streamSource(text.validation, {
        batch: Math.min(batch, Math.floor(pairs / steps)),
        window: steps,
        stride: steps,
      });
    },
  };
}

function streamSource(ids: Int32Array, options: BatchOptions): BatchSource {
  const streams = createStreams(ids, options);
  const shape = [options.window, options.batch, 1];
  return {
    inputShape: shape,
    inputType: "index",
    targetShape: shape,
    targetType: "index",
    length: streams.windows,
    carries: true,
    masked: false,
    fill: (index, inputs: HostArray, targets: HostArray) =>
      streams.fill(index, inputs as Int32Array, targets as Int32Array),
  };
}
