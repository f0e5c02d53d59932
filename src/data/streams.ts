// Shapes: T window (time), N batch (streams). Both are time-major: element (t, n) at t * N + n.

import { checkName, checkOptions, UserError } from "../errors.js";
import { checkWhole, count } from "./check.js";

/** How a text is cut into streams. */
export interface StreamOptions {
  /** N: how many streams run side by side. */
  readonly batch: number;
  /** T: characters a window. */
  readonly window: number;
  /** Characters from the start of one window to the next; windows overlap where it is smaller. Default: `window`. */
  readonly stride?: number;
  /**
   * What becomes of characters that do not fill a window in every stream. "drop" (default) leaves fewer than
   * `batch · window` of them, at the text's end, unused. "pad" covers every one of them: the short streams are
   * filled up with input 0 and target `ignoredTarget`.
   */
  readonly remainder?: "drop" | "pad";
  /** The target of a padded place, which the loss is to ignore. Default -1. */
  readonly ignoredTarget?: number;
}

/**
 * Contiguous parallel streams over one text, as char-rnn reads it: with L characters a stream, stream n at window w
 * holds ids `[n·L + w·T, n·L + (w+1)·T)`, and its targets are the same range shifted by one. Where one window ends
 * the next begins (unless a stride says otherwise), so the state of each row is carried from window to window.
 */
export interface Streams {
  readonly batch: number;
  readonly window: number;
  /** Windows in an epoch. */
  readonly windows: number;
  /** L: characters a stream. */
  readonly streamLength: number;
  /** Characters predicted in an epoch, padding not counted. */
  readonly predicted: number;
  /**
   * Writes window `step mod windows` into `inputs` and `targets`, both Int32Array of T·N; allocates nothing.
   * Returns whether an epoch begins here, so that the carried state must be reset.
   */
  fill(step: number, inputs: Int32Array, targets: Int32Array): boolean;
}

/** Cuts `ids` into `batch` streams. Throws a UserError where they are too few, saying what would fit. */
export function createStreams(ids: Int32Array, options: StreamOptions): Streams {
  const { batch, window, stride = window, remainder = "drop", ignoredTarget = -1 } = options;
  checkOptions("createStreams", options, "batch window stride remainder ignoredTarget");
  checkName("createStreams", "remainder", remainder, "drop pad");
  checkWhole("The batch", batch);
  checkWhole("The window", window);
  checkWhole("The stride", stride);
  const pairs = ids.length - 1;
  if (remainder === "pad" ? pairs < 1 : pairs < batch * window) {
    throw new UserError(tooShort(ids.length, batch, window, remainder));
  }
  const pad = remainder === "pad";
  const perStream = pad ? Math.ceil(pairs / batch) : Math.floor(pairs / batch);
  const windows = (pad ? Math.ceil((perStream - window) / stride) : Math.floor((perStream - window) / stride)) + 1;
  const streamLength = pad ? perStream : (windows - 1) * stride + window;
  const places = window * batch;
  return {
    batch,
    window,
    windows,
    streamLength,
    predicted: pad ? pairs : streamLength * batch,
    fill(step, inputs, targets) {
      if (inputs.length !== places || targets.length !== places) {
        throw new UserError(
          `A window of ${window} with batch ${batch} fills arrays of ${places}, ` +
            `but inputs has ${inputs.length} and targets ${targets.length}.`,
        );
      }
      const start = (step % windows) * stride;
      for (let n = 0; n < batch; n++) {
        const first = n * streamLength;
        const end = Math.min(first + streamLength, pairs);
        for (let t = 0, from = first + start; t < window; t++, from++) {
          const inside = from < end;
          inputs[t * batch + n] = inside ? (ids[from] as number) : 0;
          targets[t * batch + n] = inside ? (ids[from + 1] as number) : ignoredTarget;
        }
      }
      return start === 0;
    },
  };
}

function tooShort(length: number, batch: number, window: number, remainder: "drop" | "pad"): string {
  if (remainder === "pad" || length < 2) {
    return `${count(length, "character")} cannot be read as streams: at least 2 are needed, one to read and one to predict.`;
  }
  const smallerBatch = Math.floor((length - 1) / window);
  const smallerWindow = Math.floor((length - 1) / batch);
  const fits = [
    smallerBatch >= 1 ? `a batch of at most ${smallerBatch} with this window` : "",
    smallerWindow >= 1 ? `a window of at most ${smallerWindow} with this batch` : "",
    smallerBatch < 1 && smallerWindow < 1 ? `a batch of 1 with a window of at most ${length - 1}` : "",
  ];
  return (
    `The text is too short: a batch of ${batch} streams with a window of ${window} needs ${batch * window + 1} ` +
    `characters, but there are ${length}; ${fits.filter(Boolean).join(", or ")} would fit.`
  );
}
