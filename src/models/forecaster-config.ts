/** A forecaster's JSON, read without trusting it. */
import { fieldsOf, numberField, show } from "../data/check.js";
import type { CalendarFeature } from "../data/series/features.js";
import { transformFromJSON } from "../data/series/pipeline.js";
import type { TransformJSON } from "../data/series/transform.js";
import { UserError } from "../errors.js";
import type { Blend } from "./forecaster-blend.js";
import type { Units } from "./forecaster-encoder.js";
import type { NetworkOptions } from "./forecaster-network.js";
import type { Recipe } from "./forecaster-recipe.js";
import type { Decided, ForecasterConfig } from "./forecaster-state.js";
import { cellNames } from "./text-model.js";

const CYCLES: readonly CalendarFeature[] = ["month", "day-of-week", "day-of-year", "hour-of-day"];

/**
 * What `toJSON` of a forecaster wrote.
 * @throws UserError that names the field that is not what it writes
 */
export function forecasterConfig(json: unknown): ForecasterConfig {
  const fields = fieldsOf("A forecaster's configuration", json);
  if (fields.format !== "throughtime-forecaster")
    throw new UserError(
      `A forecaster's configuration has the format "throughtime-forecaster", but this one has ${show(fields.format)}.`,
    );
  if (fields.version !== 1)
    throw new UserError(`This throughtime reads forecasters of version 1, but this one has ${show(fields.version)}.`);
  const network = networkOf(fields.network);
  const recipe = recipeOf(fields.recipe);
  const series = seriesOf(fields.series);
  const covariateTransforms = listOf(
    "covariateTransforms",
    fields.covariateTransforms,
    series.covariateNames.length,
  ).map((transform) => transformFromJSON(transform).toJSON());
  if (recipe.lookback >= series.values.length)
    throw bad("recipe.lookback", `below the ${series.values.length} values of the series`, recipe.lookback);
  return {
    format: "throughtime-forecaster",
    version: 1,
    network,
    recipe,
    transform: transformOf(fields.transform),
    covariateTransforms,
    series,
    units: unitsOf(fields.units),
    blend: blendOf(fields.blend, network),
    trained: flag("trained", fields.trained),
  };
}

function networkOf(json: unknown): NetworkOptions {
  const fields = fieldsOf("network", json);
  const cell = cellNames.find((name) => name === fields.cell);
  if (cell === undefined) throw bad("network.cell", `one of ${cellNames.join(", ")}`, fields.cell);
  const levels = numbers("network.levels", fields.levels);
  const rising = levels.every((level, q) => level > (levels[q - 1] ?? 0) && level < 1);
  if (!rising || !levels.includes(0.5))
    throw bad("network.levels", "rising numbers between 0 and 1, 0.5 among them", fields.levels);
  return {
    cell,
    hidden: whole("network.hidden", fields.hidden),
    layers: whole("network.layers", fields.layers),
    members: whole("network.members", fields.members),
    horizon: whole("network.horizon", fields.horizon),
    dropout: within("network.dropout", fields.dropout, 0, 1),
    levels,
  };
}

function recipeOf(json: unknown): Recipe {
  const fields = fieldsOf("recipe", json);
  const smoothing = fieldsOf("recipe.smoothing", fields.smoothing);
  const share = (name: string): number => within(`recipe.smoothing.${name}`, smoothing[name], 0, 1);
  const calendar = listOf("recipe.calendar", fields.calendar).map((name) => {
    const known = CYCLES.find((cycle) => cycle === name);
    if (known === undefined) throw bad("recipe.calendar", `a list of ${CYCLES.join(", ")}`, name);
    return known;
  });
  return {
    log: flag("recipe.log", fields.log),
    season: whole("recipe.season", fields.season),
    bounded: flag("recipe.bounded", fields.bounded),
    floored: flag("recipe.floored", fields.floored),
    calendar,
    lookback: whole("recipe.lookback", fields.lookback),
    smoothing: {
      season: whole("recipe.smoothing.season", smoothing.season),
      levelRate: share("levelRate"),
      seasonRate: share("seasonRate"),
      growthShare: share("growthShare"),
    },
  };
}

function seriesOf(json: unknown): Decided["series"] {
  const fields = fieldsOf("series", json);
  const values = numbers("series.values", fields.values);
  if (values.length < 2) throw bad("series.values", "a list of at least 2 numbers", fields.values);
  const covariateNames = texts("series.covariateNames", fields.covariateNames);
  return {
    values,
    dates: fields.dates === null ? null : texts("series.dates", fields.dates, values.length),
    covariateNames,
    covariates: numbers("series.covariates", fields.covariates, values.length * covariateNames.length),
  };
}

/** Of one value each: a forecast is turned back without the rows before it. */
function transformOf(json: unknown): TransformJSON {
  const transform = transformFromJSON(json);
  if (transform.lost > 0) throw bad("transform", "one without differences", json);
  return transform.toJSON();
}

function unitsOf(json: unknown): Units {
  const fields = fieldsOf("units", json);
  return {
    input: within("units.input", fields.input, Number.MIN_VALUE, Infinity),
    target: within("units.target", fields.target, Number.MIN_VALUE, Infinity),
  };
}

function blendOf(json: unknown, { horizon, levels }: NetworkOptions): Blend {
  const fields = fieldsOf("blend", json);
  return {
    trust: within("blend.trust", fields.trust, 0, 1),
    spread: numbers("blend.spread", fields.spread, horizon),
    shape: numbers("blend.shape", fields.shape, levels.length),
    stretch: numbers("blend.stretch", fields.stretch, levels.length),
  };
}

const bad = (field: string, wanted: string, got: unknown): UserError =>
  new UserError(`The field ${field} of a forecaster's configuration must be ${wanted}, but is ${show(got)}.`);

function listOf(field: string, json: unknown, length?: number): readonly unknown[] {
  if (!Array.isArray(json) || (length !== undefined && json.length !== length))
    throw bad(field, length === undefined ? "a list" : `a list of ${length}`, json);
  return json;
}

const numbers = (field: string, json: unknown, length?: number): number[] =>
  listOf(field, json, length).map((value) => numberField(`A number in ${field}`, value));

function texts(field: string, json: unknown, length?: number): string[] {
  return listOf(field, json, length).map((text) => {
    if (typeof text !== "string") throw bad(field, "a list of texts", text);
    return text;
  });
}

function whole(field: string, json: unknown): number {
  const value = numberField(field, json);
  if (!Number.isSafeInteger(value) || value < 1) throw bad(field, "a whole number of at least 1", json);
  return value;
}

function within(field: string, json: unknown, least: number, most: number): number {
  const value = numberField(field, json);
  if (!(value >= least && value <= most)) throw bad(field, `from ${least} to ${most}`, json);
  return value;
}

function flag(field: string, json: unknown): boolean {
  if (typeof json !== "boolean") throw bad(field, "true or false", json);
  return json;
}
