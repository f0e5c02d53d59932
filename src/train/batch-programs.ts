/** The programs that a trainer needs for the shapes of its data, each compiled once: whole batches, or windows in segments. */
import type { Session } from "../backend/contract.js";
import { turn } from "../backend/turn.js";
import { kept } from "../graph/maps.js";
import type { Variable } from "../graph/variable.js";
import { type BatchProgram, checkData, wholeBatch } from "./batches.js";
import type { BatchSource } from "./data.js";
import type { validationStep } from "./evaluation.js";
import type { Loss } from "./loss.js";
import { type TrainingStep, trainingStep, type Window } from "./programs.js";
import type { Ahead } from "./several.js";
import type { UpdateOptions } from "./update.js";

export interface BatchProgramsOptions extends Omit<UpdateOptions, "first" | "last"> {
  readonly loss: Loss;
  readonly window: Window;
  /** Steps of a segment, or √T of them (true); false: windows are not cut. */
  readonly recompute: boolean | number;
}

export interface BatchPrograms {
  /** The states that are carried from window to window in training, by name; complete after the first `training`. */
  readonly states: ReadonlyMap<string, Variable>;
  /** Micro-batch `part` of an update, counted from 0; with `ahead` not waited for. */
  training(source: BatchSource, part: number, ahead?: Ahead): Promise<BatchProgram>;
  /** `step`: `evaluation.ts`'s, which its caller has loaded. */
  validation(source: BatchSource, step: typeof validationStep): Promise<BatchProgram>;
}

/** Loaded when it is used. */
const segments = () => import("./segmented.js");

export function createBatchPrograms(session: Session, options: BatchProgramsOptions): BatchPrograms {
  const { network, loss, variables, parts, recompute } = options;
  const common = { network, loss, variables };
  const states = new Map<string, Variable>();
  const made = new Map<string, Promise<unknown>>();
  const once = <P>(purpose: string, source: BatchSource, make: () => Promise<P>): Promise<P> => {
    const { inputShape, inputType, targetShape, carries, masked } = source;
    const key = [purpose, inputShape, inputType, targetShape, carries, masked].join(" ");
    return kept(made, key, () => {
      const program = make();
      // What was wrong may be mended by the next time.
      program.catch(() => made.delete(key));
      return program;
    }) as Promise<P>;
  };
  const whole = (source: BatchSource, step: TrainingStep): Promise<BatchProgram> => {
    checkData(source, step.feed.target, loss);
    return wholeBatch(session, source, step, variables.loss);
  };
  /** Steps of a segment; undefined where the batch is not cut. */
  const segmentOf = ({ inputShape }: BatchSource): number | undefined => {
    if (recompute === false || inputShape.length !== 3) return undefined;
    const steps = inputShape[0]!;
    const longest = recompute === true ? Math.ceil(Math.sqrt(steps)) : recompute;
    return longest < steps ? longest : undefined;
  };
  return {
    states,
    training(source, part, ahead) {
      const update = { ...options, first: part === 0, last: part === parts - 1 };
      const window = source.carries ? options.window : undefined;
      const segment = segmentOf(source);
      return once(`training ${update.first} ${update.last} ${ahead !== undefined}`, source, async () => {
        await turn();
        if (!segment) {
          const step = trainingStep({ ...update, shapes: source, training: true, window, states });
          return whole(source, ahead ? ahead.of(step) : step);
        }
        const { segmentedTraining } = await segments();
        const shared = await once("segments", source, () =>
          segmentedTraining(session, source, common, { longest: segment, window, states }),
        );
        return shared.batch(update);
      });
    },
    validation(source, step) {
      const segment = segmentOf(source);
      return once("validation", source, async () => {
        if (segment) return (await segments()).segmentedValidation(session, source, common, segment);
        return whole(source, step({ ...common, shapes: source, states: new Map() }));
      });
    },
  };
}
