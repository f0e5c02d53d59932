/**
 * What a process of its own takes until the first training step of char-lstm-128 begins, and until that of a model of other shapes and
 * of one of the same shapes that follow it there, as one line of JSON, in milliseconds. JavaScript, and of the built package, since
 * that is what users load: node test/bench/first-step.mjs DIST THREADS
 */
import { pathToFileURL } from "node:url";

const [dist, threads] = process.argv.slice(2);
const [vocabulary, batch, time] = [65, 50, 50];

let since = performance.now();
let took = {};
const lap = (stage) => {
  const now = performance.now();
  took[stage] = (took[stage] ?? 0) + now - since;
  since = now;
};

const { adam, createTrainer, crossEntropy, dense, lstm, oneHotEncoding, recurrent, sequential, wasm } = await import(
  pathToFileURL(`${dist}/index.js`).href
);
lap("import");
const { enableRelaxedSimd } = await import(pathToFileURL(`${dist}/node.js`).href);
enableRelaxedSimd();

/** The function, and the time that it takes as a stage of its own within another. */
const timed =
  (stage, within, act) =>
  (...given) => {
    lap(within);
    const result = act(...given);
    lap(stage);
    return result;
  };
const COMPILING = "lowering and compiling";

/** The model, with the time that drawing its weights takes apart. */
const watched = (context) => ({
  ...context,
  parameter: (name, size, draw) => context.parameter(name, size, timed("drawing weights", COMPILING, draw)),
  within: (name) => watched(context.within(name)),
});
const withDrawingApart = (layer) => ({ ...layer, apply: (input, context) => layer.apply(input, watched(context)) });

// What Node loads for threads, and the start of each.
const builtin = process.getBuiltinModule.bind(process);
const threadModule = () => {
  const { Worker } = timed("starting threads", COMPILING, builtin)("node:worker_threads");
  const start = timed("starting threads", COMPILING, (...given) => new Worker(...given));
  return {
    Worker: class {
      constructor(...given) {
        // biome-ignore lint/correctness/noConstructorReturn: a worker of Node's, whose start is timed
        return start(...given);
      }
    },
  };
};
process.getBuiltinModule = (name) => (name === "node:worker_threads" ? threadModule() : builtin(name));

const steps = { length: time * batch };
const inputs = Int32Array.from(steps, (_, i) => (7 * i) % vocabulary);
const targets = Int32Array.from(steps, (_, i) => (11 * i) % vocabulary);
const shape = [time, batch, 1];
const data = {
  train: () => ({
    inputShape: shape,
    inputType: "index",
    targetShape: shape,
    targetType: "index",
    length: 2,
    carries: true,
    masked: false,
    fill(index, intoInputs, intoTargets) {
      lap(COMPILING);
      intoInputs.set(inputs);
      intoTargets.set(targets);
      return index === 0;
    },
  }),
};
const plain = wasm({ threads: Number(threads) });
const backend = {
  ...plain,
  async createSession() {
    const session = await plain.createSession();
    const compile = (program) => {
      lap("tracing");
      return session.compile(program);
    };
    return { ...session, compile };
  },
};

lap("unmeasured");
/** Adds to `took` what a model takes until its first step is over. */
async function train(hidden) {
  const trainer = await createTrainer(
    withDrawingApart(
      sequential({
        input: oneHotEncoding(vocabulary),
        rnn: recurrent(lstm(hidden), { layers: 2 }),
        head: dense(vocabulary),
      }),
    ),
    {
      loss: crossEntropy(),
      optimizer: adam({ learningRate: 2e-3 }),
      clip: { norm: 5 },
      bptt: { window: time },
      batch,
      backend,
    },
  );
  lap("createTrainer");
  for await (const _ of trainer.fit(data, { steps: 1 })) lap("first step");
  trainer.dispose();
}
await train(128);

/** Until the first step begins. */
async function timeToTrain(hidden) {
  took = {};
  since = performance.now();
  await train(hidden);
  return Object.entries(took).reduce((sum, [stage, time]) => (stage === "first step" ? sum : sum + time), 0);
}
const first = took;
const another = await timeToTrain(96);
const again = await timeToTrain(96);
console.log(JSON.stringify({ ...first, another, again }));
