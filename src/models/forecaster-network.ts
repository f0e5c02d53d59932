/**
 * The network of a forecaster: M recurrent networks side by side, each reading a window and going on into the rows to come, where it
 * says a row's quantiles. They differ in their first weights alone, train together and are averaged.
 * T = L + H steps, N batch, D features, H horizon, M members, Q quantiles.
 */
import { concat, current, maximum, scoped, slice, sliceRows, sumAll, type Tensor } from "../graph/language.js";
import { columnsOf, withColumns } from "../graph/shape.js";
import { dense } from "../layers/dense.js";
import { dropout as dropoutLayer } from "../layers/dropout.js";
import type { Layer } from "../layers/layer.js";
import { recurrent } from "../layers/recurrent.js";
import { zeroInit } from "../parameters/initializers.js";
import type { BatchSource, TrainingData } from "../train/data.js";
import type { Loss } from "../train/loss.js";
import type { Predictor, PredictorOptions } from "../train/predictor.js";
import type { Encoder } from "./forecaster-encoder.js";
import { type CellName, cellNamed } from "./text-model.js";

export interface NetworkOptions {
  readonly cell: CellName;
  /** Features of each recurrent layer. */
  readonly hidden: number;
  readonly layers: number;
  readonly dropout: number;
  /** M. */
  readonly members: number;
  /** H. */
  readonly horizon: number;
  /** Q levels between 0 and 1. */
  readonly levels: readonly number[];
}

/**
 * Input [T, N, D], output [H, N, M·Q], member by member. Parameters: member1.rnn.weight_ih_l0, …, member1.head.weight [Q, hidden + D],
 * … The heads start at zero: before it has learned anything the network says nothing.
 */
export function forecastNetwork({ cell, hidden, layers, dropout, members, horizon, levels }: NetworkOptions): Layer {
  const rnn = recurrent(cellNamed(cell, hidden), { layers, dropout });
  const drop = dropoutLayer(dropout);
  const head = dense(levels.length, { initializer: zeroInit, biasInitializer: zeroInit });
  return {
    kind: "forecast",
    apply(input, context) {
      const lookback = input.shape[0]! - horizon;
      const known = sliceRows(input, lookback, horizon);
      return concat(
        Array.from({ length: members }, (_, k) =>
          scoped(`member${k + 1}`, () => {
            const own = context.within(`member${k + 1}`);
            const ahead = sliceRows(rnn.apply(input, own.within("rnn")), lookback, horizon);
            return head.apply(concat([drop.apply(ahead, own.within("dropout")), known]), own.within("head"));
          }),
        ),
      );
    },
  };
}

/**
 * Pinball loss of every member's every quantile (Koenker & Bassett 1978), mean over the numbers that are known.
 * Predictions [H, N, M·Q], targets [H, N, 2]: the number, and 1 where it is known.
 */
export function knownQuantile(levels: readonly number[], members: number): Loss {
  const columns = members * levels.length;
  const row = Array.from({ length: columns }, (_, i) => levels[i % levels.length]!);
  const tau = { name: "quantile levels", shape: [columns], type: "float", initial: row } as const;
  return {
    name: "quantile",
    target: (prediction) => ({ shape: withColumns(prediction, 2), type: "float" }),
    apply(prediction, target): Tensor {
      const [y, known] = [slice(target, 0, 1), slice(target, 1, 1)];
      const error = y.sub(prediction);
      const losses = maximum(error.mul(current(tau)), error.mul(current(tau).sub(1)));
      return sumAll(losses.mul(known)).div(sumAll(known).mul(columnsOf(prediction.shape)));
    },
  };
}

export interface WindowsToLearn {
  readonly encoder: Encoder;
  /** Rows at which windows look ahead. */
  readonly origins: readonly number[];
  /** Targets from rows before this one only. */
  readonly end: number;
}

/** Windows as training data, in another order each epoch. */
export function windowData({ encoder, origins, end }: WindowsToLearn): TrainingData {
  return {
    name: "windows",
    train({ batch: wanted }): BatchSource {
      const batch = Math.min(wanted, origins.length);
      const order = Array.from(origins);
      return {
        inputShape: [encoder.steps, batch, encoder.features],
        inputType: "float",
        targetShape: [encoder.horizon, batch, 2],
        targetType: "float",
        length: Math.floor(order.length / batch),
        carries: false,
        masked: false,
        start(rng) {
          origins.forEach((origin, i) => {
            order[i] = origin;
          });
          for (let i = order.length - 1; i > 0; i--) {
            const other = Math.floor(rng.uniform() * (i + 1));
            [order[i], order[other]] = [order[other]!, order[i]!];
          }
        },
        fill(index, inputs, targets) {
          for (let n = 0; n < batch; n++) {
            const origin = order[index * batch + n]!;
            encoder.input(origin, inputs as Float32Array, n, batch);
            encoder.target(origin, end, targets as Float32Array, n, batch);
          }
          return true;
        },
      };
    },
  };
}

/** Runs a trained network over windows; compiles once for each number of windows side by side. */
export interface WindowPredictor {
  /** What the network says at each origin: [origins, H, Q] in the units of z, the smoothing's forecast included, quantiles in order. */
  predict(encoder: Encoder, origins: readonly number[]): Promise<Float64Array>;
}

export function createWindowPredictor(
  createPredictor: (options: PredictorOptions) => Promise<Predictor>,
  { members, levels }: Pick<NetworkOptions, "members" | "levels">,
): WindowPredictor {
  const predictors = new Map<number, Promise<Predictor>>();
  const width = levels.length;
  return {
    async predict(encoder, origins) {
      const { steps, features, horizon } = encoder;
      const batch = Math.min(origins.length, 32);
      const known = predictors.get(batch) ?? createPredictor({ inputShape: [steps, batch, features], carry: false });
      predictors.set(batch, known);
      const predictor = await known;
      const inputs = new Float64Array(steps * batch * features);
      const quantiles = new Float64Array(width);
      const made = new Float64Array(origins.length * horizon * width);
      for (let first = 0; first < origins.length; first += batch) {
        // The last batch is filled up with its last window.
        const chosen = Array.from({ length: batch }, (_, n) => origins[Math.min(first + n, origins.length - 1)]!);
        for (const [n, origin] of chosen.entries()) encoder.input(origin, inputs, n, batch);
        const said = await predictor.run(inputs);
        for (let n = 0; n < Math.min(batch, origins.length - first); n++) {
          for (let h = 0; h < horizon; h++) {
            const at = (h * batch + n) * members * width;
            for (let q = 0; q < width; q++) {
              let sum = 0;
              for (let k = 0; k < members; k++) sum += said[at + k * width + q]!;
              quantiles[q] = encoder.plain(chosen[n]!, h) + (sum / members) * encoder.units.target;
            }
            // Quantiles learned one by one may cross.
            made.set(quantiles.sort(), ((first + n) * horizon + h) * width);
          }
        }
      }
      return made;
    },
  };
}
