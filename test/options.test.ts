/** Options as plain JavaScript lets a person write them: a name or a value that there is not is refused, not passed over. */
import { describe, expect, it } from "vitest";
import {
  adam,
  arrayBatches,
  backtestForecaster,
  batchNorm,
  createSampler,
  createStreams,
  createTrainer,
  crossEntropy,
  dense,
  embedding,
  explain,
  generate,
  gru,
  huber,
  initializers,
  layerNorm,
  lstm,
  mse,
  type Predictor,
  readText,
  recurrent,
  rnn,
  schedules,
  sequential,
  series,
  textModel,
  trainForecaster,
  wasm,
  webgpu,
} from "../src/index.js";
import { readSeries } from "../src/node.js";
import { errorOf, refusalOf } from "./refusal.js";

// biome-ignore lint/suspicious/noExplicitAny: what a person without types may write
const any = (value?: unknown): any => value;
const values = Float64Array.of(1, 2, 3, 4);
const examples = { inputs: [1, 2], inputShape: [1], targets: [1, 2], targetShape: [1] };

const refusals: readonly (readonly [said: string, run: () => unknown])[] = [
  [
    'recurrent: there is no option "num_layers"; there are layers, bidirectional',
    () => recurrent(lstm(4), any({ num_layers: 2 })),
  ],
  [
    'recurrent: there is no output "final"; there are sequence, last',
    () => recurrent(lstm(4), { output: any("final") }),
  ],
  [
    'recurrent: there is no initialState "zeros"; there are zero, learned',
    () => recurrent(lstm(4), { initialState: any("zeros") }),
  ],
  [
    'recurrent: variationalDropout: there is no option "state"',
    () => recurrent(lstm(4), { variationalDropout: any({ state: 0.1 }) }),
  ],
  ["recurrent: wants a cell, not 64", () => recurrent(any(64))],
  ['recurrent: wants a cell, not "lstm"', () => recurrent(any("lstm"))],
  ["recurrent: wants a cell, not undefined", () => recurrent(any(undefined))],
  ["recurrent: wants a cell, not an object", () => recurrent(any(dense(4)))],
  ["recurrent: wants a cell, not the function lstm; call it to make one", () => recurrent(any(lstm))],
  ["recurrent: wants an object, not 2", () => recurrent(lstm(4), any(2))],
  ['lstm: there is no option "peephole"; there are projection, peepholes', () => lstm(4, any({ peephole: true }))],
  ['gru: there is no reset "befor"; there are after, before', () => gru(4, { reset: any("befor") })],
  ['gru: there is no option "resetAfter"', () => gru(4, any({ resetAfter: true }))],
  ['rnn: there is no nonlinearity "sigmoid"; there are tanh, relu', () => rnn(4, { nonlinearity: any("sigmoid") })],
  ['dense: there is no option "activations"', () => dense(4, any({ activations: "relu" }))],
  ['dense: there is no activation "swish"; there are identity, relu', () => dense(4, { activation: any("swish") })],
  [
    'embedding: there is no option "padding_idx"; there are initializer',
    () => embedding(4, 2, any({ padding_idx: 0 })),
  ],
  ['layerNorm: there is no option "eps"', () => layerNorm(any({ eps: 1e-5 }))],
  ['batchNorm: there is no option "eps"', () => batchNorm(any({ eps: 1e-5 }))],
  [
    'crossEntropy: there is no option "label_smoothing"; there are labelSmoothing',
    () => crossEntropy(any({ label_smoothing: 0.1 })),
  ],
  ['huber: there is no option "beta"; there are delta', () => huber(any({ beta: 2 }))],
  ['cosine: there is no option "T_max"; there are steps, minimum', () => schedules.cosine(any({ steps: 3, T_max: 5 }))],
  ['plateau: there is no option "mode"', () => schedules.plateau(any({ mode: "max" }))],
  ['orthogonal: there is no option "block"', () => initializers.orthogonal(any({ block: 4 }))],
  [
    'createSampler: there is no option "top_k"; there are temperature, topK, topP',
    () => createSampler(5, any({ top_k: 5 })),
  ],
  [
    'createStreams: there is no remainder "keep"',
    () => createStreams(new Int32Array(9), { batch: 1, window: 2, remainder: any("keep") }),
  ],
  ['readText: there is no option "split"', () => readText("some text", any({ split: 0.1 }))],
  ['textModel: there is no option "dropuot"', () => textModel(any({ vocabularySize: 4, dropuot: 0.5 }))],
  [
    'arrayBatches: there is no option "length"; there are inputs, targets, lengths',
    () => arrayBatches(any({ ...examples, length: [1, 1] })),
  ],
  [
    'arrayBatches: validation: there is no option "input"',
    () => arrayBatches({ ...examples, validation: any({ input: [1], targets: [1] }) }),
  ],
  [
    'arrayBatches: there is no targetType "int"; there are float, index',
    () => arrayBatches({ ...examples, targetType: any("int") }),
  ],
  ['difference: there is no option "season"', () => series.difference(any({ season: 12 }))],
  ['minMaxScaler: there is no option "low"', () => series.minMaxScaler(any({ low: -1 }))],
  [
    'createWindows: there is no option "step"',
    () => series.createWindows(values, any({ lookback: 1, horizon: 1, step: 2 })),
  ],
  ['splitInTime: there is no option "tests"', () => series.splitInTime(10, any({ tests: 2 }))],
  ['seasonFeatures: there is no option "waves"', () => series.seasonFeatures(10, any({ season: 4, waves: 2 }))],
  ['readSeries: there is no option "separator"', () => readSeries("a\n1\n2\n", any({ column: "a", separator: ";" }))],
  [
    'seriesFromTable: there is no gaps "fill"; there are refuse, ignore',
    () => readSeries("a\n1\n2\n", { column: "a", gaps: any("fill") }),
  ],
  ['explain: there is no option "features"', () => explain(lstm(4), any({ features: 3 }))],
  ["explain: wants a cell", () => explain(any(recurrent(lstm(4))))],
  ['wasm: there is no option "thread"', () => wasm(any({ thread: 2 }))],
  ['webgpu: there is no weights "int8"; there are float32, float16', () => webgpu({ weights: any("int8") })],
];

const plain = { loss: mse(), optimizer: adam(), threads: 1 };
const trainer = (options: object) =>
  createTrainer(
    sequential({ head: dense(1) }),
    any({ loss: mse(), optimizer: adam(), threads: 1, batch: 2, ...options }),
  );

const later: readonly (readonly [said: string, run: () => Promise<unknown>])[] = [
  [
    'backendNamed: there is no backend "gpu"; there are auto, wasm, webgpu, reference',
    () => trainer({ backend: "gpu", threads: undefined }),
  ],
  ['createTrainer: there is no option "learningRate"; there are loss, optimizer', () => trainer({ learningRate: 3 })],
  ['clip: there is no option "maxNorm"; there are norm, value', () => trainer({ clip: { maxNorm: 5 } })],
  ["clip: wants an object, not null", () => trainer({ clip: null })],
  ["clip: wants an object, not 5", () => trainer({ clip: 5 })],
  ["createTrainer: wants an object, not undefined", () => createTrainer(dense(1), any(undefined))],
  ["createTrainer: wants a layer, not undefined", () => createTrainer(any(undefined), plain)],
  ["createTrainer: wants a layer, not an object", () => createTrainer(any(lstm(4)), plain)],
  ["createTrainer: wants a layer, not the function dense; call it", () => createTrainer(any(dense), plain)],
  ["createTrainer: wants a loss, not the function mse; call it to make one", () => trainer({ loss: mse })],
  ['createTrainer: wants a loss, not "mse"', () => trainer({ loss: "mse" })],
  ["createTrainer: wants a loss, not undefined", () => trainer({ loss: undefined })],
  ["createTrainer: wants an optimizer, not the function adam; call it", () => trainer({ optimizer: adam })],
  ['createTrainer: wants an optimizer, not "adam"', () => trainer({ optimizer: "adam" })],
  ["createTrainer: wants a schedule, not the function cosine; call it", () => trainer({ schedule: schedules.cosine })],
  ['createTrainer: wants a schedule, not "cosine"', () => trainer({ schedule: "cosine" })],
  ["fit: wants an object, not undefined", async () => (await trainer({})).fit(arrayBatches(examples), any()).next()],
  ...[examples, readText("text, text", { validation: 0 }), 3, undefined].map(
    (data) =>
      [
        `fit: wants batches, of arrayBatches or textBatches, not ${Object(data) === data ? "an object" : data}`,
        async () => (await trainer({})).fit(any(data), { steps: 1 }).next(),
      ] as const,
  ),
  ["bptt: wants an object, not 5", () => trainer({ bptt: 5 })],
  ['bptt: there is no option "steps"; there are window, recompute', () => trainer({ bptt: { steps: 5 } })],
  [
    'bptt: there is no option "window"; there are every, through, recompute',
    () => trainer({ bptt: { every: 1, through: 2, window: 3 } }),
  ],
  [
    'fit: there is no option "epoch"; there are steps, epochs',
    async () => (await trainer({})).fit(arrayBatches(examples), any({ epoch: 3, steps: 1 })).next(),
  ],
  [
    'predictor: there is no option "type"',
    async () => (await trainer({})).predictor(any({ inputShape: [1, 1], type: "index" })),
  ],
  [
    'generate: there is no option "top_k"; there are prompt, length',
    () =>
      generate(
        any({ reset() {} }) as Predictor,
        readText("text, text", { validation: 0 }).vocabulary,
        any({ top_k: 5 }),
      ).next(),
  ],
  ['trainForecaster: there is no option "seasons"', () => trainForecaster(any({ values, seasons: 12 }))],
  [
    'trainForecaster: there is no transform "sqrt"; there are auto, log, none',
    () => trainForecaster({ values, transform: any("sqrt") }),
  ],
  ['backtestForecaster: there is no option "fold"', () => backtestForecaster(any({ values, fold: 2 }))],
  [
    'backtest: there is no option "fold"',
    () => series.backtest(any({ values, horizon: 1, fold: 2, forecaster: series.naive })),
  ],
];

describe("an option that there is not", () => {
  it.each(refusals)("%s", (said, run) => {
    expect(refusalOf(run, said)).toContain(said);
  });

  it.each(later)("%s", async (said, run) => {
    const error = await errorOf(run());
    expect(error.name).toBe("UserError");
    expect(error.message).toContain(said);
  });
});

it("takes layers in an array as it takes them one by one, and a schedule of one's own", async () => {
  const own = { name: "own", rate: () => 0.5 };
  const made = await createTrainer(sequential([dense(2), dense(1)]), { ...plain, batch: 2, schedule: own });
  const { value } = await made.fit(arrayBatches(examples), { steps: 1 }).next();
  expect(value).toMatchObject({ step: 1, learningRate: 0.5 });
  made.dispose();
});

describe("weights that are NaN or Infinity", () => {
  const weights = (number: number) => ({
    "head.bias": { shape: [1], data: [3] },
    "head.weight": { shape: [1, 1], data: Float32Array.of(number) },
  });

  it.each([Number.NaN, Infinity])("are refused at once, with their name: %d", async (number) => {
    const said = `the weights hold ${number} in "head.weight"`;
    const error = await errorOf(trainer({ weights: weights(number) }));
    expect([error.name, error.message]).toEqual(["UserError", said]);
    const made = await trainer({ weights: weights(7) });
    expect(refusalOf(() => made.load(weights(number)), said)).toBe(said);
    const predictor = await made.predictor({ inputShape: [1, 1] });
    expect(refusalOf(() => made.load(new Map(Object.entries(weights(number)))), said)).toBe(said);
    // Nothing of what was refused was taken.
    expect([...(await predictor.run([2]))]).toEqual([17]);
    // The logarithm of a share of 0.
    made.load(weights(-Infinity));
    expect([...(await predictor.run([2]))]).toEqual([-Infinity]);
    made.dispose();
  });
});

describe("weights in a Map", () => {
  const weights = new Map([
    ["head.weight", { shape: [1, 1], data: [7] }],
    ["head.bias", { shape: [1], data: [3] }],
  ]);

  it("are what a trainer starts from, as those in an object", async () => {
    const made = await trainer({ weights });
    const predictor = await made.predictor({ inputShape: [1, 1] });
    expect([...(await predictor.run([2]))]).toEqual([17]);
    made.dispose();
  });

  it("are loaded", async () => {
    const made = await trainer({});
    const predictor = await made.predictor({ inputShape: [1, 1] });
    made.load(weights);
    expect([...(await predictor.run([2]))]).toEqual([17]);
    made.dispose();
  });
});
