/** The run folder of a forecaster: what it decided about its series, and its weights. */
import type { BackendName } from "../backend/choose.js";
import type { Backend } from "../backend/contract.js";
import { UserError } from "../errors.js";
import { type Forecaster, restoreForecaster } from "../models/forecaster.js";
import type { NamedTensor } from "../train/trainer.js";
import { checkNames, encodeTensors, readWeights } from "./checkpoint.js";
import { loadRun, runText, type SaveOptions, saveRun } from "./run-folder-node.js";

export interface SeriesRun {
  readonly dir: string;
  readonly forecaster: Forecaster;
  /** What it was trained on and how, as plain JSON. */
  readonly training: Readonly<Record<string, unknown>>;
  /** Once the forecaster has forecast: whether the weights were those of its network. @throws UserError where they were not */
  checkWeights(): Promise<void>;
}

const KIND = "series";
const FORECASTER = "forecaster.json";

/** Saves a forecaster; see `saveRun` for the options, and for what a crash or a full disk leaves. */
export async function saveSeriesRun(
  dir: string,
  forecaster: Forecaster,
  training: Readonly<Record<string, unknown>> = {},
  options: SaveOptions = {},
): Promise<void> {
  const files = {
    [FORECASTER]: `${JSON.stringify(forecaster.toJSON())}\n`,
    "weights.safetensors": encodeTensors(await forecaster.weights()),
  };
  await saveRun(dir, { config: { kind: KIND, training }, files }, options);
}

/**
 * Loads a forecaster.
 * @throws UserError where the folder is no run, or one of another kind, or damaged
 */
export async function loadSeriesRun(
  dir: string,
  options: { readonly backend?: Backend | BackendName } = {},
): Promise<SeriesRun> {
  const run = await loadRun(dir);
  const { kind, training } = (run.config ?? {}) as Record<string, unknown>;
  if (kind !== KIND)
    throw new UserError(`${dir} is no series run but one of kind ${JSON.stringify(kind) ?? "unknown"}.`);
  const source = `${dir}/${run.checkpoint}`;
  const weights = readWeights(run.files, source);
  const forecaster = await restoreForecaster(parse(runText(run, FORECASTER), source), weights, options);
  return {
    dir,
    forecaster,
    training: (training ?? {}) as Record<string, unknown>,
    async checkWeights() {
      const known: Readonly<Record<string, NamedTensor>> = await forecaster.weights();
      // A network that is not trusted at all is never built.
      if (Object.keys(known).length > 0) checkNames(Object.keys(known), weights, `${source}/weights.safetensors`);
    },
  };
}

/** JSON, whatever it holds: what it must hold is checked where it is used. */
function parse(text: string, source: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UserError(`${source}/${FORECASTER} is damaged: it is not valid JSON.`);
  }
}
