import { UserError } from "../../errors.js";
import { fieldsOf, numberField, show } from "../check.js";
import { minMaxTransform, standardTransform } from "./scale.js";
import { fixedTransform, type Transform, type TransformSpec } from "./transform.js";

/**
 * Transforms one after the other, each fitted to what the ones before make of the training part:
 * `pipeline([log(), difference({ lag: 12 }), standardScaler()])`. The inverse undoes them from the last to the first;
 * `lost` is the sum of theirs.
 */
export function pipeline(steps: readonly TransformSpec[]): TransformSpec {
  return {
    fit(train) {
      const fitted: Transform[] = [];
      let values = train;
      for (const step of steps) {
        const transform = step.fit(values);
        values = transform.transform(values);
        fitted.push(transform);
      }
      return chain(fitted);
    },
  };
}

/** Reads back what a fitted transform's `toJSON` wrote. Throws a UserError on anything else. */
export function transformFromJSON(json: unknown): Transform {
  const fields = fieldsOf("A transform", json);
  const number = (key: string) => numberField(`The ${key} of the transform ${show(fields.kind)}`, fields[key]);
  const positive = (key: string) => {
    const value = number(key);
    if (!(value > 0)) {
      throw new UserError(`The ${key} of the transform ${show(fields.kind)} must be above 0, but is ${value}.`);
    }
    return value;
  };
  switch (fields.kind) {
    case "log":
    case "log1p":
      return fixedTransform({ kind: fields.kind });
    case "difference": {
      const lag = positive("lag");
      if (!Number.isInteger(lag)) {
        throw new UserError(`The lag of a difference must be a whole number, but is ${lag}.`);
      }
      return fixedTransform({ kind: "difference", lag });
    }
    case "standard":
      return standardTransform(number("mean"), positive("deviation"));
    case "min-max":
      return minMaxTransform(number("minimum"), positive("scale"), number("low"));
    case "pipeline":
      if (!Array.isArray(fields.steps)) {
        throw new UserError(`The steps of a pipeline must be a list, but are ${show(fields.steps)}.`);
      }
      return chain(fields.steps.map(transformFromJSON));
    default:
      throw new UserError(
        `A transform must be a log, log1p, difference, standard, min-max or pipeline, but is ${show(fields.kind)}.`,
      );
  }
}

function chain(steps: readonly Transform[]): Transform {
  const lost = steps.reduce((sum, step) => sum + step.lost, 0);
  return {
    lost,
    transform: (values) => steps.reduce<Float64Array>((z, step) => step.transform(z), values.slice()),
    inverse(transformed, history) {
      if (history.length < lost) {
        throw new UserError(
          `Undoing the pipeline needs the last ${lost} values of history, but there are ${history.length}.`,
        );
      }
      // Each step sees of history what the steps before it make of its last values: all it and those after it need.
      let known: Float64Array = history.slice(history.length - lost);
      const histories = steps.map((step) => {
        const seen = known;
        known = known.length > step.lost ? step.transform(known) : new Float64Array(0);
        return seen;
      });
      return steps.reduceRight<Float64Array>(
        (z, step, i) => step.inverse(z, histories[i] as Float64Array),
        transformed.slice(),
      );
    },
    toJSON: () => ({ kind: "pipeline", steps: steps.map((step) => step.toJSON()) }),
  };
}
