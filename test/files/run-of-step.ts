import { type Run, type RunContents, runFile, runText } from "../../src/files/run-folder-node.js";
import { decodeSafetensors, encodeSafetensors, expectFloats } from "../../src/files/safetensors.js";

const filled = (count: number, value: number) =>
  ({ dtype: "F32", shape: [count], data: new Float32Array(count).fill(value) }) as const;

/** A run whose every piece tells the step it belongs to. */
export function runOfStep(step: number, count = 20_000): RunContents {
  return {
    config: { cell: "lstm", hidden: 128, step },
    files: {
      "vocabulary.json": JSON.stringify({ characters: ["a", "ß", "🙂"], step }),
      "weights.safetensors": encodeSafetensors({ weight: filled(count, step) }),
      "optimizer.safetensors": encodeSafetensors({ "m.weight": filled(count, step), "v.weight": filled(count, step) }),
      "trainer.json": JSON.stringify({ step, rng: [1, 2, 3] }),
    },
  };
}

/** The step that every piece of a run agrees on; throws where they differ. */
export function stepOf(run: Run): number {
  const steps = new Set<number>([
    (run.config as { step: number }).step,
    (JSON.parse(runText(run, "vocabulary.json")) as { step: number }).step,
    (JSON.parse(runText(run, "trainer.json")) as { step: number }).step,
    ...expectFloats(decodeSafetensors(runFile(run, "weights.safetensors")).tensors, "weight"),
    ...expectFloats(decodeSafetensors(runFile(run, "optimizer.safetensors")).tensors, "m.weight"),
    ...expectFloats(decodeSafetensors(runFile(run, "optimizer.safetensors")).tensors, "v.weight"),
  ]);
  if (steps.size !== 1) throw new Error(`pieces of different saves: ${[...steps].join(", ")}`);
  return [...steps][0]!;
}
