/** A program of someone else's, compiled against the built declarations with every check on: `npm run check:package`. */
import {
  adam,
  arrayBatches,
  createTrainer,
  crossEntropy,
  defineCell,
  dense,
  explain,
  initializers,
  last,
  linear,
  lstm,
  type Report,
  recurrent,
  sequential,
  series,
  sigmoid,
  split,
  type Trainer,
  tanh,
  UserError,
  type WebGpuOptions,
  wasm,
  webgpu,
} from "throughtime";
import { readSafetensors, readSeries, writeSafetensors } from "throughtime/node";

const minimal = (hidden: number) =>
  defineCell({
    name: "minimal gated unit",
    state: { h: hidden },
    parameters: (input) => ({ weight_ih: [2 * hidden, input], weight_hh: [2 * hidden, hidden], bias: [2 * hidden] }),
    initial: { bias: initializers.zeroInit },
    step(x, { h }, w) {
      const [forget, candidate] = split(linear(x, w.weight_ih, w.bias), 2);
      const [forgetH, candidateH] = split(linear(h, w.weight_hh), 2);
      const f = sigmoid(forget.add(forgetH));
      return { h: h.add(f.mul(tanh(candidate.add(candidateH.mul(f))).sub(h))) };
    },
  });

export async function train(options: WebGpuOptions): Promise<Report[]> {
  const data = arrayBatches({
    inputs: new Float32Array(4 * 3 * 2),
    inputShape: [3, 2],
    targets: [0, 1, 0, 1],
    targetShape: [1],
    targetType: "index",
  });
  const model = sequential({ lstm: recurrent(lstm(4)), own: recurrent(minimal(4)), last: last(), head: dense(2) });
  const trainer: Trainer = await createTrainer(model, {
    loss: crossEntropy(),
    optimizer: adam({ learningRate: 1e-3 }),
    batch: 2,
    backend: options.powerPreference ? webgpu(options) : wasm({ threads: 1 }),
  });
  const reports: Report[] = [];
  for await (const report of trainer.fit(data, { epochs: 1 })) reports.push(report);
  const parameters = await trainer.parameters();
  await writeSafetensors("weights.safetensors", new Map(), { model: explain(minimal(4)) });
  if (!(await readSafetensors("weights.safetensors")).tensors.has("head.weight")) throw new UserError("no weights");
  trainer.load(parameters);
  return reports;
}

/** The namespace's types, beside its functions. */
export function prepare(csv: string, table: series.Table): series.Series[] {
  const options: series.SeriesOptions = { column: "sales", dateColumn: "month" };
  const read: series.Series = readSeries(csv, options);
  const calendar: series.Calendar | undefined = read.calendar;
  if (!calendar) throw new UserError("no dates");
  const steps: series.TransformSpec[] = [series.log1p(), series.difference(), series.standardScaler()];
  const fitted: series.Transform = series.pipeline(steps).fit(read.values);
  return [{ ...read, values: fitted.transform(read.values) }, series.seriesFromTable(table, options)];
}
