/** throughtime text train */
import { createHash } from "node:crypto";
import { totalmem } from "node:os";
import { type Command, Option } from "commander";
import type { BackendName } from "../backend/choose.js";
import { enableRelaxedSimd } from "../backend/wasm/flags-node.js";
import { createStreams } from "../data/streams.js";
import { bitsPerCharacter, readText, type TextData } from "../data/text.js";
import { textBatches } from "../data/text-batches.js";
import { UserError } from "../errors.js";
import { checkNames } from "../files/checkpoint.js";
import { readTextFile } from "../files/io-node.js";
import { loadTextRun, saveTextRun, type TextRun } from "../files/text-run-node.js";
import { type CellName, cellNames, countTextParameters, textModel } from "../models/text-model.js";
import { crossEntropy } from "../train/losses.js";
import { adam } from "../train/optimizers.js";
import { type Checkpoint, createTrainer, type Report, type Trainer } from "../train/trainer.js";
import { createDisplay, type Display, showCount } from "./display.js";
import { say } from "./failure.js";
import { checkFolder, folderFor } from "./folder.js";
import {
  above,
  backendOption,
  jsonOption,
  layerCount,
  reportEveryOf,
  reportEveryOption,
  share,
  threadsOption,
  v8FlagsOption,
  whole,
} from "./options.js";
import { stopOnSignals } from "./stop.js";

/** What makes a run the run it is: given again at a resume it must be the same. */
interface Settings {
  readonly cell: CellName;
  readonly hidden: number;
  readonly layers: number;
  readonly embedding: number;
  readonly dropout: number;
  readonly batch: number;
  readonly window: number;
  readonly recompute: boolean;
  readonly learningRate: number;
  readonly clipNorm: number;
  readonly validation: number;
  readonly seed: number;
  readonly backend: BackendName;
  readonly threads?: number;
}

interface Options extends Settings {
  readonly out?: string;
  readonly steps?: number;
  readonly epochs?: number;
  readonly resume?: boolean;
  readonly overwrite?: boolean;
  readonly reportEvery?: number;
  readonly json?: boolean;
  readonly v8Flags: boolean;
}

/** When training ends: after so many updates in all, or so many times through the text. */
type End = { readonly steps: number } | { readonly epochs: number };

const DEFAULT_STEPS = 2000;
const FIRST_SAVE_MS = 5_000;
const SAVE_EVERY_MS = 30_000;
/** A loss this many times that of guessing never comes back. */
const HOPELESS = 100;

export function addTextTrain(text: Command): void {
  text
    .command("train")
    .summary("train a character model on a text file")
    .description(
      "Trains a recurrent network to predict the next character of FILE (UTF-8) and saves it as a run folder.\n\n" +
        "Weights start as PyTorch's do; the optimiser is Adam. The text is read as parallel streams, with the state " +
        "carried from window to window (truncated BPTT). The folder is saved every 30 seconds, at the end, and on " +
        "Ctrl-C; what a crash leaves is the last save, whole.",
    )
    .argument("<FILE>", "the text")
    .option("-o, --out <DIR>", "the run folder (default: runs/ and the names of text and cell, as in runs/play-lstm)")
    .addOption(new Option("--cell <name>", "the recurrent cell").choices(cellNames).default("lstm"))
    .option("--hidden <n>", "features of each layer", whole(1), 128)
    .option("--layers <n>", "recurrent layers", layerCount, 2)
    .option("--embedding <n>", "features learned for each character; 0: one-hot", whole(0), 0)
    .option("--dropout <p>", "dropout on each layer's output", share, 0)
    .option("--batch <n>", "streams side by side", whole(1), 50)
    .option("--window <n>", "characters the gradient goes back", whole(1), 50)
    .option(
      "--recompute",
      "for long windows: forward values are computed again on the way back instead of kept, in segments of the window's " +
        "square root: a small part of the memory for up to a third more time",
      false,
    )
    .addOption(
      new Option("--steps <n>", `stop after this many updates in all (default: ${DEFAULT_STEPS})`)
        .argParser(whole(1))
        .conflicts("epochs"),
    )
    .addOption(new Option("--epochs <n>", "or after this many times through the text").argParser(whole(1)))
    .option("--learning-rate <rate>", "of Adam", above(0), 0.002)
    .option(
      "--clip-norm <norm>",
      "the gradient's global norm is kept below it; 0: not clipped",
      above(0, { orEqual: true }),
      5,
    )
    .option("--validation <share>", "the last part of the text, kept for validation", share, 0.1)
    .option("--seed <n>", "of weights and dropout", whole(0), 1)
    .addOption(backendOption())
    .addOption(threadsOption())
    .option("--resume", "go on with the run in the folder, bit for bit as if it had never stopped")
    .option("--overwrite", "replace a run that is in the folder already, damaged or not")
    .addOption(reportEveryOption())
    .addOption(jsonOption("one JSON object a line for each report"))
    .addOption(v8FlagsOption())
    .addHelpText(
      "after",
      `
Examples:
  throughtime text train play.txt
  throughtime text train play.txt --cell gru --hidden 256 --dropout 0.3 --epochs 30 --out runs/gru
  throughtime text train play.txt --resume --steps 5000     train the same run for longer
  throughtime text train play.txt --json | jq .bitsPerCharacter

With --json each report is one line
  {"step","loss","validationLoss","bitsPerCharacter","gradientNorm","learningRate","charactersPerSecond"}
with losses in nats a character, validationLoss where it was computed, and bitsPerCharacter of validationLoss
where there is one, else of loss. A report comes after each update, or with --report-every n at each n-th step, where
validation takes place (every 100 updates or more), and at the end of an epoch and of the run: step counts all updates, loss
is the mean of those since the report before, gradientNorm and learningRate are the last one's.`,
    )
    .action((file: string, options: Options, command: Command) => train(file, options, command));
}

async function train(file: string, given: Options, command: Command): Promise<void> {
  const relaxedSimd = given.v8Flags && enableRelaxedSimd();
  const content = await readTextFile(file);
  const sha256 = createHash("sha256").update(content).digest("hex");
  const dir = given.out ?? folderFor(file, given.cell);
  const before = given.resume ? await loadTextRun(dir) : undefined;
  if (before && before.training.sha256 === undefined)
    throw new UserError(`the run ${dir} cannot be resumed: it was not made by throughtime text train.`);
  const replaceDamaged = given.overwrite ?? false;
  await checkFolder(
    dir,
    replaceDamaged || before !== undefined,
    "--resume goes on with it, --overwrite replaces it, and --out names another folder",
  );
  const settings = before ? settingsOf(before, given, command) : given;
  if (before && before.training.sha256 !== sha256)
    throw new UserError(`the run ${dir} cannot be resumed with ${file}: it was trained on another text.`);
  const checkpoint = before?.checkpoint();
  const end: End = endOf(given) ?? (before && endOf(before.training as Partial<Options>)) ?? { steps: DEFAULT_STEPS };

  const text = readText(content, {
    name: file,
    validation: settings.validation,
    window: settings.window,
    ...(before ? { vocabulary: before.vocabulary } : {}),
  });
  const { cell, hidden, layers, embedding, dropout, batch, window, recompute } = settings;
  const { learningRate, clipNorm, validation, seed, backend } = settings;
  const model = { cell, hidden, layers, embedding, dropout };
  const parameters = checkSize(settings, text);
  const optimizer = adam({ learningRate });
  const trainer = await createTrainer(textModel({ ...model, vocabularySize: text.vocabulary.size }), {
    loss: crossEntropy(),
    optimizer,
    clip: clipNorm > 0 ? { norm: clipNorm } : {},
    bptt: { window, recompute },
    batch,
    seed,
    backend,
    threads: settings.threads,
  });
  const updatesAnEpoch = createStreams(text.train, { batch, window }).windows;
  const from = checkpoint?.progress.step ?? 0;
  const total = "steps" in end ? end.steps : end.epochs * updatesAnEpoch;
  const display = createDisplay({
    json: given.json ?? false,
    from,
    total,
    unit: "characters/s",
    showLoss: (loss) => `${loss.toFixed(3)} (${bitsPerCharacter(loss).toFixed(2)} bits/character)`,
  });
  if (checkpoint) {
    const slots = Object.keys(checkpoint.parameters).flatMap((name) =>
      Object.keys(optimizer.slots).map((slot) => `${name}.${slot}`),
    );
    checkNames(slots, checkpoint.optimizer, `${dir}/optimizer.safetensors`);
    trainer.restore(checkpoint);
  }
  if (from >= total) {
    const option = "steps" in end ? "--steps" : "--epochs";
    say(`the run ${dir} has made its ${from} updates already; ${option} with a larger number trains it further.`);
    trainer.dispose();
    return;
  }
  display.say(
    `${file}: ${showCount(text.train.length + text.validation.length)} characters, ${text.vocabulary.size} different. ` +
      `${cell}, ${layers === 1 ? "1 layer" : `${layers} layers`} of ${hidden}: ${showCount(parameters)} parameters, on ${trainer.backend.name}${trainer.threads > 1 ? `, ${trainer.threads} threads` : ""}.` +
      `${from > 0 ? ` Goes on after step ${from}.` : ""}`,
  );
  noteArithmetic(before, trainer, relaxedSimd);
  const training = {
    text: file,
    sha256,
    batch,
    window,
    recompute,
    learningRate,
    clipNorm,
    validation,
    seed,
    backend: trainer.backend.name,
    threads: trainer.threads,
    relaxedSimd,
    ...end,
  };
  const save = (checkpoint: Checkpoint): Promise<void> =>
    saveTextRun(dir, { model, vocabulary: text.vocabulary, checkpoint, training }, { replaceDamaged });
  const validateEvery = Math.max(100, 50 * Math.ceil((4 * text.validation.length) / (batch * window) / 50));
  const check = (): void => {
    if (checkpoint) checkNames(trainer.network.parameters.keys(), checkpoint.parameters, `${dir}/weights.safetensors`);
  };
  const guessing = Math.log(text.vocabulary.size);
  await run(trainer, text, {
    end,
    validateEvery,
    reportEvery: reportEveryOf(given, backend),
    save,
    check,
    display,
    dir,
    guessing,
  });
}

interface RunOptions {
  readonly end: End;
  readonly validateEvery: number;
  readonly reportEvery: number;
  readonly save: (checkpoint: Checkpoint) => Promise<void>;
  /** Once the model is known: whether the weights that it went on from were its own. */
  readonly check: () => void;
  readonly display: Display;
  readonly dir: string;
  /** The loss of a model that has learned nothing. */
  readonly guessing: number;
}

async function run(trainer: Trainer, text: TextData, options: RunOptions): Promise<void> {
  const { end, validateEvery, reportEvery, save, check, display, dir, guessing } = options;
  const stop = stopOnSignals();
  let saveAt = performance.now() + FIRST_SAVE_MS;
  const from = trainer.progress.step;
  let saved = from;
  let checked = false;
  try {
    for await (const report of stop.until(trainer.fit(textBatches(text), { ...end, validateEvery, reportEvery }))) {
      display.report({ ...report, speed: report.elementsPerSecond }, jsonOf(report));
      if (!checked) check();
      checked = true;
      if (report.loss > HOPELESS * guessing)
        throw new UserError(
          `step ${report.step}: the loss is ${report.loss.toPrecision(3)}, where guessing gives ${guessing.toFixed(2)}: ` +
            `the learning rate ${report.learningRate} is too large${saved > from ? `; ${dir} holds step ${saved}` : ""}.`,
        );
      if (performance.now() < saveAt) continue;
      await save(await trainer.checkpoint());
      saved = report.step;
      saveAt = performance.now() + SAVE_EVERY_MS;
    }
    const { step } = trainer.progress;
    const checkpoint = step > saved ? await trainer.checkpoint() : undefined;
    trainer.dispose(); // a validation may still be under way
    if (checkpoint) await save(checkpoint);
    display.end();
    if (stop.reason === undefined) {
      display.say(`Saved in ${dir}. To let it write: throughtime text sample ${dir}`);
    } else {
      say(
        step > 0
          ? `stopped by ${stop.reason} after step ${step}: saved in ${dir}, and --resume goes on from there.`
          : `stopped by ${stop.reason} before the first step: nothing was saved.`,
      );
      process.exitCode = stop.exitCode;
    }
  } finally {
    display.end();
    stop.release();
    trainer.dispose();
  }
}

const jsonOf = ({ step, loss, validationLoss, gradientNorm, learningRate, elementsPerSecond }: Report): object => ({
  step,
  loss,
  ...(validationLoss === undefined ? {} : { validationLoss }),
  bitsPerCharacter: bitsPerCharacter(validationLoss ?? loss),
  gradientNorm,
  learningRate,
  charactersPerSecond: Math.round(elementsPerSecond),
});

const endOf = ({ steps, epochs }: Partial<Options>): End | undefined =>
  steps !== undefined ? { steps } : epochs !== undefined ? { epochs } : undefined;

/** The settings of the run that is resumed. @throws UserError on an option that was given and says otherwise */
function settingsOf(before: TextRun, given: Options, command: Command): Settings {
  const saved = { recompute: false, ...before.training, ...before.model } as unknown as Record<keyof Settings, unknown>;
  for (const option of command.options) {
    const key = option.attributeName() as keyof Settings;
    if (!(key in saved) || key === ("steps" as string) || key === ("epochs" as string)) continue;
    if (command.getOptionValueSource(key) !== "cli" || given[key] === saved[key]) continue;
    if (key === "backend" && given.backend === "auto") continue;
    throw new UserError(
      saved[key] === false
        ? `the run ${before.dir} was trained without ${option.long}, so it cannot be resumed with it.`
        : `the run ${before.dir} was trained with ${option.long} ${String(saved[key])}, so it cannot be resumed with ${given[key]}.`,
    );
  }
  for (const key of ["batch", "window", "learningRate", "clipNorm", "validation", "seed"] as const)
    if (typeof saved[key] !== "number") throw new UserError(`${before.dir}/run.json is damaged: it has no "${key}".`);
  return saved as unknown as Settings;
}

/** Refuses a model too large for memory before its weights are drawn. Gives the number of parameters. */
function checkSize(settings: Settings, text: TextData): number {
  const parameters = countTextParameters({ ...settings, vocabularySize: text.vocabulary.size });
  const bytes = parameters * 3 * (settings.backend === "reference" ? 8 : 4);
  // A graphics device says itself what it has.
  const onProcessor = settings.backend === "wasm" || settings.backend === "auto";
  const limit = onProcessor ? Math.min(totalmem(), 2 ** 32) : totalmem();
  if (bytes > limit)
    throw new UserError(
      `a model of ${showCount(parameters)} parameters needs ${showCount(bytes / 2 ** 20)} MiB with Adam's two moments, ` +
        `and there are ${showCount(limit / 2 ** 20)}: take a smaller --hidden or fewer --layers.`,
    );
  return parameters;
}

function noteArithmetic(before: TextRun | undefined, trainer: Trainer, relaxedSimd: boolean): void {
  if (!before || trainer.backend.name !== "wasm" || before.training.relaxedSimd === relaxedSimd) return;
  say(
    `note: this run was begun ${relaxedSimd ? "without" : "with"} relaxed SIMD and goes on ${relaxedSimd ? "with" : "without"} it: ` +
      "the last digits will differ from an uninterrupted run.",
  );
}
