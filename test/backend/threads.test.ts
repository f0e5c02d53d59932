/** Threads that share a batch: what they compute is what one computes, whatever the rows, the layers and the loss. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Backend, Executable, Session } from "../../src/backend/contract.js";
import { evaluate } from "../../src/backend/evaluate.js";
import { reference } from "../../src/backend/reference/index.js";
import { wasm } from "../../src/backend/wasm/index.js";
import { gru } from "../../src/cells/gru.js";
import { lstm } from "../../src/cells/lstm.js";
import { rnn } from "../../src/cells/rnn.js";
import { concat, current, dropped, matmul, softmax, sumAll, sumRows, tanh } from "../../src/graph/language.js";
import { batchVariable, type Variable, variable } from "../../src/graph/variable.js";
import {
  batchNorm,
  dense,
  dropout,
  embedding,
  type Layer,
  last,
  layerNorm,
  oneHotEncoding,
  recurrent,
  sequential,
} from "../../src/layers/index.js";
import { createRng } from "../../src/parameters/rng.js";
import type { TrainingData } from "../../src/train/data.js";
import type { Loss } from "../../src/train/loss.js";
import { crossEntropy, mse } from "../../src/train/losses.js";
import { adam } from "../../src/train/optimizers.js";
import { createTrainer, type TrainerOptions } from "../../src/train/trainer.js";

interface Task {
  readonly time: number;
  readonly rows: number;
  /** Columns of the input; 0: one index. */
  readonly features: number;
  /** Columns of the target; 0: one index below 5. */
  readonly outputs: number;
  readonly masked?: boolean;
  /** One target for each row, not for each step. */
  readonly lastOnly?: boolean;
  readonly carries?: boolean;
}

const CLASSES = 5;

function dataOf({
  time,
  rows,
  features,
  outputs,
  masked = false,
  lastOnly = false,
  carries = true,
}: Task): TrainingData {
  const steps = lastOnly ? 1 : time;
  return {
    train: () => ({
      inputShape: [time, rows, features || 1],
      inputType: features ? "float" : "index",
      targetShape: lastOnly ? [rows, outputs || 1] : [time, rows, outputs || 1],
      targetType: outputs ? "float" : "index",
      length: 100,
      carries,
      masked,
      fill(index, inputs, targets, mask) {
        const rng = createRng(index);
        const fill = (into: { [i: number]: number; readonly length: number }, columns: number): void => {
          for (let i = 0; i < into.length; i++) into[i] = columns ? rng.normal() : Math.floor(rng.uniform() * CLASSES);
        };
        fill(inputs, features);
        fill(targets, outputs);
        const lengths = Array.from({ length: rows }, () => 1 + Math.floor(rng.uniform() * steps));
        mask?.forEach((_, i) => {
          mask[i] = Math.floor(i / rows) < lengths[i % rows]! ? 1 : 0;
        });
        return index === 0;
      },
    }),
  };
}

/** Losses, norms and weights of three updates, with the number of threads that shared each program. */
async function trained(backend: Backend, model: Layer, loss: Loss, task: Task, more: Partial<TrainerOptions> = {}) {
  const threads: number[] = [];
  const watched: Backend = {
    ...backend,
    async createSession(): Promise<Session> {
      const session = await backend.createSession();
      return {
        ...session,
        async compile(source): Promise<Executable> {
          const executable = await session.compile(source);
          threads.push(executable.threads);
          return executable;
        },
      };
    },
  };
  const trainer = await createTrainer(model, {
    loss,
    optimizer: adam({ learningRate: 0.01 }),
    clip: { norm: 0.5 },
    bptt: { window: task.time },
    batch: task.rows,
    ...more,
    backend: watched,
  });
  try {
    const figures: number[] = [];
    for await (const { loss: value, gradientNorm } of trainer.fit(dataOf(task), { steps: 3 }))
      figures.push(value, gradientNorm);
    const checkpoint = await trainer.checkpoint();
    const rest = [checkpoint.parameters, checkpoint.optimizer, checkpoint.statistics, checkpoint.states];
    for (const group of rest) for (const tensor of Object.values(group)) figures.push(...Array.from(tensor.data));
    return { figures, threads };
  } finally {
    trainer.dispose();
  }
}

/** All programs, however small, on so many threads. */
const shared = (threads: number): Backend => wasm({ threads, shareFrom: 0 });

const greatest = (numbers: readonly number[]): number =>
  numbers.reduce((largest, x) => Math.max(largest, Math.abs(x)), 0);

async function agree(model: Layer, loss: Loss, task: Task, more?: Partial<TrainerOptions>): Promise<void> {
  const expected = await trained(reference(), model, loss, task, more);
  const largest = greatest(expected.figures);
  for (const threads of [2, 3]) {
    const found = await trained(shared(threads), model, loss, task, more);
    expect(found.threads, "threads that share each program").toEqual(
      found.threads.map(() => Math.min(threads, task.rows)),
    );
    expect(found.figures.length).toBe(expected.figures.length);
    const error = greatest(found.figures.map((x, i) => x - expected.figures[i]!));
    expect(error, `${threads} threads`).toBeLessThanOrEqual(1e-4 * largest);
  }
}

const tagger = (inner: Record<string, Layer>): Layer =>
  sequential({ embed: embedding(CLASSES, 6), ...inner, head: dense(CLASSES) });
const indices: Task = { time: 6, rows: 7, features: 0, outputs: 0 };

describe("threads agree with the reference", () => {
  const cells = { rnn: rnn(9), lstm: lstm(9), gru: gru(9), "gru, reset before": gru(9, { reset: "before" }) };
  it.each(Object.entries(cells))("%s, two layers, dropout", async (_, cell) => {
    await agree(
      tagger({ rnn: recurrent(cell, { layers: 2, dropout: 0.3 }), drop: dropout(0.2) }),
      crossEntropy(),
      indices,
    );
  });
  it("one-hot characters", async () => {
    const model = sequential({ input: oneHotEncoding(CLASSES), rnn: recurrent(lstm(5)), head: dense(CLASSES) });
    await agree(model, crossEntropy(), indices);
  });
  it("both directions, variational dropout, lengths", async () => {
    const both = recurrent(gru(5), { bidirectional: true, variationalDropout: 0.3, residual: true, layerNorm: true });
    await agree(tagger({ rnn: both }), crossEntropy(), { ...indices, masked: true, carries: false });
  });
  it("batch norm: statistics of all rows", async () => {
    await agree(tagger({ norm: batchNorm(), rnn: recurrent(rnn(8)) }), crossEntropy(), indices);
    await agree(tagger({ norm: batchNorm(), rnn: recurrent(rnn(8)) }), crossEntropy(), { ...indices, masked: true });
  });
  it("class weights and ignored targets: the divisor is that of all rows", async () => {
    await agree(
      tagger({ rnn: recurrent(lstm(6)) }),
      crossEntropy({ classWeights: [1, 2, 0.5, 3, 1], ignoreIndex: 2 }),
      indices,
    );
  });
  it("numbers, a learned start, the last step", async () => {
    const model = sequential({
      rnn: recurrent(lstm(6), { initialState: "learned" }),
      norm: layerNorm(),
      last: last(),
      head: dense(2),
    });
    await agree(model, mse(), { time: 5, rows: 8, features: 3, outputs: 2, lastOnly: true, carries: false });
  });
  it("the input beside what is made of it", async () => {
    const beside: Layer = { kind: "beside", apply: (x) => concat([x, tanh(x), x]) };
    const model = sequential({ beside, rnn: recurrent(gru(5)), head: dense(2) });
    await agree(model, mse(), { time: 5, rows: 7, features: 3, outputs: 2 });
  });
  it("truncated windows and gathered gradients", async () => {
    const model = tagger({ rnn: recurrent(gru(6)) });
    await agree(model, crossEntropy(), indices, { bptt: { every: 2, through: 6 } });
    await agree(model, crossEntropy(), indices, { accumulate: 2 });
  });
  it("gradients of weights large enough for one worker to do another's", async () => {
    const model = tagger({ rnn: recurrent(lstm(80), { layers: 2 }) });
    const task = { ...indices, time: 24 };
    // Rows in equal parts and not; gathered gradients add to what is there.
    await agree(model, crossEntropy(), { ...task, rows: 6 });
    await agree(model, crossEntropy(), { ...task, rows: 5 });
    await agree(model, crossEntropy(), { ...task, rows: 6 }, { accumulate: 2 });
    await agree(tagger({ norm: batchNorm(), rnn: recurrent(gru(90)) }), crossEntropy(), { ...task, rows: 6 });
  });
  it("any sizes", async () => {
    const size = fc.integer({ min: 1, max: 9 });
    await fc.assert(
      fc.asyncProperty(size, fc.integer({ min: 2, max: 9 }), size, size, async (time, rows, hidden, features) => {
        const model = sequential({ rnn: recurrent(lstm(hidden)), head: dense(2) });
        await agree(model, mse(), { time, rows, features, outputs: 2 });
      }),
      { numRuns: 6, seed: 1 },
    );
  });
});

describe("what is the same for all threads", () => {
  const fill = (size: number, of: (i: number) => number): Float64Array =>
    Float64Array.from({ length: size }, (_, i) => of(i));
  const x = batchVariable("x", [4, 8]);
  const rows = [x, fill(32, (i) => i + 1)] as const;

  it("is drawn as one thread draws it, beside what each draws for its own rows", async () => {
    const w = variable("w", [2, 8]);
    const seed = { ...variable("seed", [1], "index"), initial: [5] };
    const drop = (from: Variable, key: number) => dropped(current(from), 0.5, current(seed), key);
    const outputs = { y: matmul(drop(x, 1), drop(w, 2), { transposeB: true }) };
    const feeds = [rows, [w, fill(16, (i) => i + 1)] as const];
    expect(Array.from((await evaluate(shared(2), outputs, feeds)).y)).toEqual(
      Array.from((await evaluate(reference(), outputs, feeds)).y),
    );
  });

  it("is written by each of them and added up by none", async () => {
    const w = variable("w", [1000, 67]);
    const outputs = { y: sumAll(current(x)), sums: sumRows(current(w)), soft: softmax(current(w)) };
    const feeds = [rows, [w, fill(1000 * 67, (i) => (i % 13) - 5)] as const];
    const expected = await evaluate(wasm({ threads: 1 }), outputs, feeds);
    for (let i = 0; i < 3; i++) {
      const found = await evaluate(shared(2), outputs, feeds);
      expect(found.sums).toEqual(expected.sums);
      expect(found.soft).toEqual(expected.soft);
    }
  });

  it("counts up once a run", async () => {
    const [count, y] = [variable("count", [1000, 100]), variable("y", [1])];
    const session = await shared(2).createSession();
    const executable = await session.compile({
      name: "counting",
      results: [
        { variable: count, tensor: current(count).add(1) },
        { variable: y, tensor: sumAll(current(x)) },
      ],
    });
    for (let i = 0; i < 20; i++) executable.run();
    expect(new Set(await session.read(count))).toEqual(new Set([20]));
    session.dispose();
  });
});

describe("a session with threads", () => {
  const model = tagger({ rnn: recurrent(lstm(8)) });
  it("gives the same run for one number of threads, bit for bit", async () => {
    const one = await trained(shared(2), model, crossEntropy(), indices);
    const other = await trained(shared(2), model, crossEntropy(), indices);
    expect(other.figures).toEqual(one.figures);
  });
  it("gives the same run whoever did what", async () => {
    const large = tagger({ rnn: recurrent(lstm(80), { layers: 2 }) });
    const task = { ...indices, time: 24, rows: 6 };
    const one = await trained(shared(3), large, crossEntropy(), task);
    for (let i = 0; i < 3; i++)
      expect((await trained(shared(3), large, crossEntropy(), task)).figures).toEqual(one.figures);
  });
  it("leaves a batch of one row, and small programs, to one thread", async () => {
    expect((await trained(shared(2), model, crossEntropy(), { ...indices, rows: 1 })).threads).toEqual([1]);
    expect((await trained(wasm({ threads: 2 }), model, crossEntropy(), indices)).threads).toEqual([1]);
  });
  it("refuses threads that are no number of threads", async () => {
    expect(() => wasm({ threads: 0 })).toThrow(
      'threads, unless they are "auto", must be a whole number of at least 1, not 0',
    );
    expect(() => wasm({ threads: 1.5 })).toThrow(/not 1\.5/);
    await expect(createTrainer(model, { loss: mse(), optimizer: adam(), backend: wasm(), threads: 2 })).rejects.toThrow(
      /wasm\({ threads }\)/,
    );
  });
});
