/** Carrying out a window in segments: forward, keeping the states between segments; backward, running each forward again. */
import type { Executable, HostArray, Session } from "../backend/contract.js";
import { turn } from "../backend/turn.js";
import { randomKey } from "../graph/random.js";
import { sizeOf } from "../graph/shape.js";
import type { Variable } from "../graph/variable.js";
import type { ProgramOptions } from "../program/lower.js";
import { type BatchProgram, checkData, fillHost, hostFor, type Outcome, readNumber, writeNumber } from "./batches.js";
import type { BatchSource } from "./data.js";
import type { CheckBatch } from "./loss.js";
import type { Window } from "./programs.js";
import {
  backwardSegment,
  createSegmentVariables,
  forwardSegment,
  type SegmentOptions,
  type SegmentProgram,
  segmentsUpdate,
  validationSegment,
} from "./segment-programs.js";
import { type Segment, segmentsOf } from "./segments.js";
import type { UpdateOptions } from "./update.js";

type Common = Pick<SegmentOptions, "network" | "loss" | "variables">;

interface Compiled extends SegmentProgram {
  readonly executable: Executable;
}

/** A part of a window's numbers, as views. */
interface Feed {
  readonly inputs: HostArray;
  readonly targets: HostArray;
  readonly mask: HostArray | undefined;
}

/** What training and validation share: the data of each segment, and its run. */
async function createRunner(session: Session, source: BatchSource, segments: readonly Segment[], common: Common) {
  const { inputShape } = source;
  const [steps, rows] = [inputShape[0]!, inputShape[1]!];
  const variables = createSegmentVariables(rows);
  const host = hostFor(session, source);
  let check: CheckBatch = () => {};
  const counted = segments.reduce((sum, { size, counts }) => sum + (counts ? size : 0), 0);
  const compiled = new Map<string, Compiled>();
  const stillFlags = new Float64Array(rows);
  const firstFlags = source.carries ? host.flags : new Float64Array(rows).fill(1);
  const part = <A extends HostArray>(all: A, { start, size }: Segment): A =>
    all.subarray((all.length / steps) * start, (all.length / steps) * (start + size)) as A;
  const compile = async (
    role: string,
    size: number,
    training: boolean,
    make: (options: SegmentOptions) => SegmentProgram,
  ): Promise<Compiled> => {
    const key = `${role} ${size}`;
    const known = compiled.get(key);
    if (known) return known;
    const made = make({ ...common, segment: variables, shapes: source, training, size, counted });
    if (made.target) {
      checkData(source, { shape: made.targetShape, type: made.target.type }, common.loss);
      ({ check } = made);
    }
    const program = { ...made, executable: await session.compile(made.program) };
    compiled.set(key, program);
    return program;
  };
  let feeds: readonly Feed[] | undefined;
  const feedsFor = (atEnd: boolean): readonly Feed[] =>
    segments.map((segment) => ({
      inputs: part(host.inputs, segment),
      targets: atEnd ? host.targets : part(host.targets, segment),
      mask: host.mask && part(host.mask, segment),
    }));
  return {
    variables,
    fill: (from: BatchSource, index: number): void => fillHost(host, from, index, check),
    compile,
    /** Runs the program of segment `i`; `seed`: of the update. Gives what was refused. */
    async run(program: Compiled, i: number, seed: number): Promise<ProgramOptions | undefined> {
      feeds ??= feedsFor(program.atEnd);
      const { inputs, targets, mask } = feeds[i]!;
      session.write(program.input, inputs);
      if (program.mask) session.write(program.mask, mask!);
      if (program.target) session.write(program.target, targets);
      session.write(variables.reset, i === 0 ? firstFlags : stillFlags);
      writeNumber(session, variables.seed, randomKey(seed, segments[i]!.start + 1) | 0);
      program.executable.run();
      const outcome = await program.executable.settled();
      await turn();
      return outcome === "refused" ? program.program : undefined;
    },
  };
}

/** The mean over a window, put together from its segments. */
function createMean(session: Session, { loss, weight }: { readonly loss: Variable; readonly weight: Variable }) {
  let sum = 0;
  let weights: number | undefined;
  return {
    async add({ target, weighted }: SegmentProgram): Promise<void> {
      if (!target) return;
      sum += await readNumber(session, loss);
      if (weighted) weights = (weights ?? 0) + (await readNumber(session, weight));
    },
    /** 1 where nothing counts, or where parts are known to add up to 1. */
    weight: () => weights || 1,
    value: () => ({ loss: sum / (weights || 1), weight: weights }),
  };
}

export interface SegmentedTraining {
  /** A micro-batch whose gradients are treated as `update` says. */
  batch(update: UpdateOptions): Promise<BatchProgram>;
}

export interface SegmentedOptions {
  /** The most steps of a segment. */
  readonly longest: number;
  readonly window: Window | undefined;
  /** At the start of the next window, by name; they change only when the update was made. */
  readonly states: Map<string, Variable>;
}

/** Training of windows in segments. */
export async function segmentedTraining(
  session: Session,
  source: BatchSource,
  common: Common,
  { longest, window, states: carried }: SegmentedOptions,
): Promise<SegmentedTraining> {
  const segments = segmentsOf(source.inputShape[0]!, longest, window);
  const runner = await createRunner(session, source, segments, common);
  const { variables } = runner;
  const final = segments.length - 1;
  const backward: (Compiled | undefined)[] = [];
  for (const [i, { size, counts, reached }] of segments.entries()) {
    const last = i === final;
    backward.push(
      reached
        ? await runner.compile(`backward ${last} ${counts}`, size, true, (options) =>
            backwardSegment({ ...options, counts, last }),
          )
        : undefined,
    );
  }
  const names = [...variables.states.keys()];
  const forward: Compiled[] = [];
  if (names.length > 0)
    for (const { size } of segments.slice(0, -1))
      forward.push(await runner.compile("forward", size, true, forwardSegment));
  // The states before each segment, and after the last one.
  const kept = names.map((name) => {
    const state = variables.states.get(name)!;
    const size = sizeOf(state.shape);
    const numbers = session.backend.precision === "float64" ? Float64Array : Float32Array;
    const all = new numbers((segments.length + 1) * size);
    const own = source.carries ? (carried.get(name) ?? { ...state }) : undefined;
    if (own) carried.set(name, own);
    return {
      state,
      own,
      before: segments.map((_, i) => all.subarray(i * size, (i + 1) * size)),
      after: all.subarray(-size),
    };
  });
  const next = 1 + segments.findIndex((segment) => segment.carries);

  /** The forward program overwrites its state at each step; the backward one keeps all, so that the first that went wrong is found. */
  const everyStep = async (i: number, seed: number): Promise<ProgramOptions> => {
    const whole =
      backward[i] ??
      (await runner.compile("backward false false", segments[i]!.size, true, (options) =>
        backwardSegment({ ...options, counts: false, last: false }),
      ));
    await runner.run(whole, i, seed);
    // Gradients too: for those of the weights every step is kept. The next window begins all of them anew.
    return { ...whole.program, results: whole.program.commit! };
  };

  const pass = async (from: BatchSource, index: number, seed: number): Promise<Outcome> => {
    runner.fill(from, index);
    for (const { state, own, before } of kept) {
      if (own) await session.read(own, before[0]!);
      session.write(state, before[0]!);
    }
    for (const [i, program] of forward.entries()) {
      const refused = await runner.run(program, i, seed);
      if (refused) return { refused: await everyStep(i, seed), start: segments[i]!.start };
      for (const { state, before } of kept) await session.read(state, before[i + 1]!);
    }
    const mean = createMean(session, variables);
    for (let i = final; i >= 0; i--) {
      const program = backward[i];
      if (!program) break;
      if (i < final) for (const { state, before } of kept) session.write(state, before[i]!);
      const refused = await runner.run(program, i, seed);
      if (refused) return { refused, start: segments[i]!.start };
      if (i === final) for (const { state, after } of kept) await session.read(state, after);
      await mean.add(program);
    }
    writeNumber(session, variables.totalWeight, mean.weight());
    return mean.value();
  };

  return {
    async batch(update) {
      const program = segmentsUpdate(update, variables, backward[final]!.weighted);
      const executable = await session.compile(program);
      return {
        async run(from, index, seed) {
          const outcome = await pass(from, index, seed);
          if ("refused" in outcome) return outcome;
          executable.run();
          if ((await executable.settled()) === "refused") return { refused: program, start: 0 };
          for (const { own, before, after } of kept) if (own) session.write(own, before[next] ?? after);
          return outcome;
        },
      };
    },
  };
}

/** Validation of windows in segments. */
export async function segmentedValidation(
  session: Session,
  source: BatchSource,
  common: Common,
  longest: number,
): Promise<BatchProgram> {
  const segments = segmentsOf(source.inputShape[0]!, longest, undefined);
  const runner = await createRunner(session, source, segments, common);
  const programs: Compiled[] = [];
  for (const [i, { size, counts }] of segments.entries()) {
    const last = i === segments.length - 1;
    programs.push(
      await runner.compile(`validation ${last}`, size, false, (options) =>
        validationSegment({ ...options, counts, last }),
      ),
    );
  }
  return {
    async run(from, index, seed) {
      runner.fill(from, index);
      const mean = createMean(session, runner.variables);
      for (const [i, program] of programs.entries()) {
        await runner.run(program, i, seed);
        await mean.add(program);
      }
      return mean.value();
    },
  };
}
