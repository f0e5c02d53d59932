/** throughtime text sample */
import type { Command } from "commander";
import type { BackendName } from "../backend/choose.js";
import { enableRelaxedSimd } from "../backend/wasm/flags-node.js";
import { loadTextRun } from "../files/text-run-node.js";
import { above, backendOption, probability, v8FlagsOption, whole } from "./options.js";

interface Options {
  readonly prompt?: string;
  readonly length: number;
  readonly temperature: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly seed?: number;
  readonly backend: BackendName;
  readonly v8Flags: boolean;
}

export function addTextSample(text: Command): void {
  text
    .command("sample")
    .summary("let a trained model write")
    .description("Writes with the model of a run folder: the prompt, and what the model adds to it, as it comes.")
    .argument("<DIR>", "the run folder")
    .option("-p, --prompt <TEXT>", "what the model goes on from; its characters must be known to the model")
    .option("-n, --length <n>", "characters to write", whole(0), 500)
    .option(
      "--temperature <t>",
      "below 1 bolder, above 1 wilder, 0 always the likeliest",
      above(0, { orEqual: true }),
      0.8,
    )
    .option("--top-k <k>", "draw from the k likeliest characters only", whole(1))
    .option("--top-p <p>", "draw from the fewest likeliest that reach this share", probability)
    .option("--seed <n>", "the same seed gives the same text (default: another one each time)", whole(0))
    .addOption(backendOption())
    .addOption(v8FlagsOption())
    .addHelpText(
      "after",
      `
Examples:
  throughtime text sample runs/play-lstm
  throughtime text sample runs/play-lstm --prompt "NELL:" --length 2000 --seed 7
  throughtime text sample runs/play-lstm --temperature 1.1 --top-p 0.9`,
    )
    .action((dir: string, options: Options) => sample(dir, options));
}

async function sample(dir: string, options: Options): Promise<void> {
  const { backend, v8Flags, seed = Math.floor(Math.random() * 2 ** 32), ...how } = options;
  if (v8Flags) enableRelaxedSimd();
  const run = await loadTextRun(dir);
  if (how.prompt) run.vocabulary.encode(how.prompt); // refused before anything is written
  const writer = await run.writer({ backend });
  let last = "";
  const write = (text: string): void => {
    if (text) last = text;
    process.stdout.write(text);
  };
  write(how.prompt ?? "");
  for await (const character of writer.generate({ ...how, seed })) {
    write(character);
  }
  if (!last.endsWith("\n")) write("\n");
  writer.dispose();
}
