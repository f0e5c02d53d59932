/**
 * Time of a training step on this machine.
 *
 *   npm run bench [-- --only NAME,… --json --seconds 4]
 */
import { parseArgs } from "node:util";
import { enableRelaxedSimd } from "../../src/backend/wasm/flags-node.js";
import { wasm } from "../../src/backend/wasm/index.js";
import { dense, oneHotEncoding, recurrent, sequential } from "../../src/layers/index.js";
import { cellNamed } from "../../src/models/text-model.js";
import { createRng } from "../../src/parameters/rng.js";
import type { TrainingData } from "../../src/train/data.js";
import { crossEntropy, mse } from "../../src/train/losses.js";
import { adam } from "../../src/train/optimizers.js";
import { createTrainer } from "../../src/train/trainer.js";
import { type Workload, workloads } from "./workloads.js";

const { values } = parseArgs({
  options: { only: { type: "string" }, json: { type: "boolean" }, seconds: { type: "string", default: "4" } },
});
const names = values.only?.split(",");
const unknown = names?.find((name) => !workloads.some((workload) => workload.name === name));
if (unknown) throw new Error(`no workload "${unknown}"; there are ${workloads.map(({ name }) => name).join(", ")}`);

/** One window of random numbers, given again and again, its state carried. */
function windowOf({ vocabulary, features = 1, batch, time }: Workload): TrainingData {
  const rng = createRng(1);
  const draw = (): number => (vocabulary ? Math.floor(rng.uniform() * vocabulary) : rng.normal());
  const shape = [time, batch, vocabulary ? 1 : features];
  const type = vocabulary ? "index" : "float";
  const inputs = Float64Array.from({ length: time * batch * shape[2]! }, draw);
  const targets = Float64Array.from({ length: time * batch }, draw);
  return {
    train: () => ({
      inputShape: shape,
      inputType: type,
      targetShape: [time, batch, 1],
      targetType: type,
      length: 1e9,
      carries: true,
      masked: false,
      fill(index, intoInputs, intoTargets) {
        intoInputs.set(inputs);
        intoTargets.set(targets);
        return index === 0;
      },
    }),
  };
}

async function measure(
  workload: Workload,
  seconds: number,
): Promise<{ readonly ms: number; readonly compile: number }> {
  const { vocabulary, cell, hidden, layers, batch, time } = workload;
  const rnn = recurrent(cellNamed(cell, hidden), { layers });
  const model = vocabulary
    ? sequential({ input: oneHotEncoding(vocabulary), rnn, head: dense(vocabulary) })
    : sequential({ rnn, head: dense(1) });
  const began = performance.now();
  const trainer = await createTrainer(model, {
    loss: vocabulary ? crossEntropy() : mse(),
    optimizer: adam({ learningRate: 2e-3 }),
    clip: { norm: 5 },
    bptt: { window: time },
    batch,
    backend: wasm(),
  });
  const times: number[] = [];
  let compile = 0;
  let last = began;
  let end = Number.POSITIVE_INFINITY;
  for await (const { step } of trainer.fit(windowOf(workload), { steps: 1e9 })) {
    const now = performance.now();
    if (step === 1) compile = now - began;
    // The first steps warm up; what they take is not counted.
    if (step === 3) end = now + seconds * 1000;
    if (step > 3) times.push(now - last);
    if (now > end && times.length >= 5) break;
    last = performance.now();
  }
  trainer.dispose();
  times.sort((a, b) => a - b);
  return { ms: times[times.length >> 1]!, compile };
}

enableRelaxedSimd();
if (!values.json)
  console.log(
    `${"workload".padEnd(18)}${"ms a step".padStart(12)}${"steps of time × rows a second".padStart(32)}${"first step, ms".padStart(18)}`,
  );
for (const workload of workloads) {
  if (names && !names.includes(workload.name)) continue;
  const { ms, compile } = await measure(workload, Number(values.seconds));
  const rate = (workload.batch * workload.time * 1000) / ms;
  if (values.json)
    console.log(
      JSON.stringify({
        peer: "throughtime-wasm",
        threads: 1,
        workload: workload.name,
        ms: Number(ms.toFixed(3)),
        steps_per_s: Number(rate.toFixed(1)),
      }),
    );
  else
    console.log(
      `${workload.name.padEnd(18)}${ms.toFixed(2).padStart(12)}${Math.round(rate).toLocaleString("en-US").padStart(32)}${compile.toFixed(0).padStart(18)}`,
    );
}
