/** Running a trained model: forward only, with the recurrent state carried from call to call where asked for. */
import type { Executable, HostArray, Session } from "../backend/contract.js";
import { checkOptions, UserError } from "../errors.js";
import { kept } from "../graph/maps.js";
import { checkTensor, type NamedTensor, type Shape, showShape, sizeOf } from "../graph/shape.js";
import type { ElementType } from "../graph/variable.js";
import { checkInput } from "../layers/check.js";
import { hoist } from "../program/hoist.js";
import { lower, type ProgramOptions } from "../program/lower.js";
import { canDraw, createDrawings, type Drawings, type From, MOST_DRAWS, type SamplingOptions } from "./drawing.js";
import type { Network } from "./network.js";
import { predictionStep } from "./prediction.js";
import type { TrainerVariables } from "./update.js";

/** What a predictor is to be made for. */
export interface PredictorOptions {
  /** [T, N, D], or [N, D] for a network without time; for index inputs D is 1. */
  readonly inputShape: Shape;
  /** Default "float"; "index" for a model that begins with an embedding or one-hot encoding. */
  readonly inputType?: ElementType;
  /** Keep the state from call to call. Default true for [T, N, D]. */
  readonly carry?: boolean;
  /** Whether calls give lengths. Default false. */
  readonly lengths?: boolean;
}

/**
 * A model that runs forward. It does one thing at a time: until an answer is there, a further call is refused with a UserError. Calls
 * after `dispose` are too.
 */
export interface Predictor {
  /** [T, N, ·], or [N, ·] for one output a sequence. */
  readonly outputShape: Shape;
  /**
   * The model's output for these inputs (row-major, time-major), in an array that the next call overwrites. `lengths`: the valid
   * steps of each row, 1 … T.
   * @throws UserError on inputs or lengths that are not those of its shape
   */
  run(inputs: ArrayLike<number>, lengths?: ArrayLike<number>): Promise<HostArray>;
  /** Undefined where the model does not give logits, of 512 classes at most, for one index. */
  readonly drawing?: Drawing;
  /** As `run`, where the backend can answer at once (processor backends); undefined elsewhere. */
  readonly runNow?: (inputs: ArrayLike<number>, lengths?: ArrayLike<number>) => HostArray;
  /** Back to the initial state, for all rows or for those flagged 1. */
  reset(rows?: ArrayLike<number>): void;
  /** The recurrent states after the last call, by name ("rnn.h_l0"), [N, ·]; none with `carry: false`. */
  states(): Promise<Record<string, NamedTensor>>;
  /** Goes on from these states, for all rows. @throws UserError on a name, shape or count of numbers that the model has not */
  setStates(states: Readonly<Record<string, NamedTensor>>): void;
  /**
   * Gives its programs and memory to the next predictor of the same options. Without it they are held until the trainer is disposed
   * of, so whoever makes predictors again and again disposes of each. A second call does nothing.
   */
  dispose(): void;
}

/** Drawing where the model runs. */
export interface Drawing {
  /** Classes that can be drawn before they are read. */
  readonly most: number;
  /**
   * Classes drawn one after another from the model's logits, the first after `id`, each the next one's input: one for each of
   * the `uniforms` (in [0, 1), `most` at most), read back together. The same that a `Sampler` draws with these options, up to the
   * rounding of 32-bit numbers; another value of an option compiles nothing.
   * @throws UserError where the logits are not finite
   */
  draw(id: number, uniforms: ArrayLike<number>, options?: SamplingOptions): Promise<HostArray>;
}

export type { NamedTensor };

/** What a predictor is made of: it goes to the next one of the same shape when it is given back. */
type Made = Omit<Predictor, "dispose">;

/** Those given back, by session and options. */
const free = new WeakMap<Session, Map<string, Made[]>>();

/** `revision`: a number that changes when a parameter or statistic does; what follows from them alone is computed once for each. */
export async function createPredictorOn(
  session: Session,
  network: Network,
  variables: TrainerVariables,
  options: PredictorOptions,
  revision: () => number,
): Promise<Predictor> {
  if (!Array.isArray(options?.inputShape))
    throw new UserError(`predictor: wants an inputShape, such as [1, 1, 3], not ${options?.inputShape}`);
  checkOptions("predictor", options, "inputShape inputType carry lengths");
  const { inputShape, inputType = "float", carry = inputShape.length === 3, lengths = false } = options;
  const key = [inputShape, inputType, carry, lengths].join(" ");
  const others = kept(
    kept(free, session, () => new Map<string, Made[]>()),
    key,
    () => [],
  );
  const made = others.pop() ?? (await make(session, network, variables, options, revision));
  let state: "ready" | "busy" | "disposed" = "ready";
  const check = (): void => {
    if (state === "disposed") throw new UserError("the predictor was disposed of");
    if (state === "busy")
      throw new UserError(
        "the predictor is still at work: await its answer before the next call, or make a second predictor",
      );
  };
  /** Until its answer is there, nothing else is asked for. */
  const answer = async <R>(ask: () => R | Promise<R>): Promise<R> => {
    check();
    state = "busy";
    try {
      return await ask();
    } finally {
      state = "ready";
    }
  };
  const { drawing, runNow } = made;
  return {
    outputShape: made.outputShape,
    ...(drawing && {
      drawing: { most: drawing.most, draw: (...given) => answer(() => drawing.draw(...given)) },
    }),
    runNow:
      runNow &&
      ((inputs, lengths) => {
        check();
        return runNow(inputs, lengths);
      }),
    run: (inputs, lengths) => answer(() => made.run(inputs, lengths)),
    reset(rows) {
      check();
      made.reset(rows);
    },
    states: () => answer(made.states),
    setStates(states) {
      check();
      made.setStates(states);
    },
    dispose() {
      if (state === "disposed") return;
      check();
      state = "disposed";
      made.reset();
      others.push(made);
    },
  };
}

async function make(
  session: Session,
  network: Network,
  variables: TrainerVariables,
  options: PredictorOptions,
  revision: () => number,
): Promise<Made> {
  const { inputShape, inputType = "float", lengths: masked = false } = options;
  const step = predictionStep(network, variables, {
    inputShape,
    inputType,
    carries: options.carry ?? inputShape.length === 3,
    masked,
  });
  const rows = inputShape[inputShape.length - 2]!;
  // Threads share rows and do all of it anew; for a single row, or thread, the weights are made ready once.
  const alone = rows === 1 || (session.threads ?? 1) === 1;
  const weights = new Set([...network.parameters.values(), ...network.statistics.values()]);
  const readied = async (program: ProgramOptions): Promise<() => readonly Executable[]> => {
    if (!alone) {
      const always = [await session.compile(program)];
      return () => always;
    }
    const { prepare, run } = hoist(lower(program), (variable) => weights.has(variable));
    const preparation = prepare && (await session.compile(prepare));
    const always = [await session.compile(run)];
    const withPreparation = preparation ? [preparation, ...always] : always;
    let prepared: number | undefined;
    return () => {
      if (prepared === revision()) return always;
      prepared = revision();
      return withPreparation;
    };
  };
  /** What is to be run, in this order. */
  const due = await readied(step.program);
  const out = new (session.backend.precision === "float64" ? Float64Array : Float32Array)(sizeOf(step.output.shape));
  const flags = new Float64Array(rows).fill(1);
  const mask = new Float64Array(masked ? inputShape[0]! * rows : 0);
  let resets = true;
  const writeReset = (): void => {
    if (step.states.size > 0) session.write(step.reset, flags);
  };
  const feed = (inputs: ArrayLike<number>, lengths?: ArrayLike<number>): void => {
    if (inputs.length !== sizeOf(inputShape))
      throw new UserError(
        `the predictor takes inputs of shape ${showShape(inputShape)}, ${sizeOf(inputShape)} numbers, not ${inputs.length}`,
      );
    if (lengths && !masked) throw new UserError("the predictor was made without lengths: true, so it takes no lengths");
    if (masked) {
      if (lengths?.length !== rows)
        throw new UserError(
          `the predictor wants the lengths of its ${rows} rows, not ${lengths ? lengths.length : "none"}`,
        );
      for (let n = 0; n < rows; n++)
        if (!(Number.isInteger(lengths[n]) && lengths[n]! >= 1 && lengths[n]! <= inputShape[0]!))
          throw new UserError(
            `the length of row ${n} must be a whole number from 1 to ${inputShape[0]}, not ${lengths[n]}`,
          );
      for (let i = 0; i < mask.length; i++) mask[i] = Math.floor(i / rows) < lengths[i % rows]! ? 1 : 0;
      session.write(step.mask!, mask);
    }
    checkInput(step.x, inputs, mask);
    session.write(step.input, inputs);
    if (resets) writeReset();
  };
  const carryOn = (): void => {
    if (!resets) return;
    flags.fill(0);
    writeReset();
    resets = false;
  };
  const { readNow } = session;
  const runNow =
    readNow &&
    ((inputs: ArrayLike<number>, lengths?: ArrayLike<number>): HostArray => {
      feed(inputs, lengths);
      for (const each of due()) each.run();
      carryOn();
      return readNow(step.output, out);
    });
  const drawings = canDraw(step.input, step.output.shape) ? createDrawings(step) : undefined;
  const readiedDrawings = new Map<From, ReturnType<typeof readied>>();
  const drawWith = async ({ drawn, settings, how, program }: Drawings, ...given: Parameters<Drawing["draw"]>) => {
    const [id, uniforms, options = {}] = given;
    const { from, settings: settingsOf } = how(options);
    const due = await kept(readiedDrawings, from, () => readied(program(from)));
    feed([id]);
    let latest: Executable | undefined;
    for (let turn = 0; turn < uniforms.length; turn++) {
      session.write(settings, settingsOf(uniforms[turn]!, turn));
      for (const each of due()) {
        each.run();
        latest = each;
      }
      if (turn === 0) carryOn();
    }
    const classes = await session.read(drawn);
    // A refused run leaves everything as it is, so that all later ones are refused too.
    if ((await latest?.settled()) === "refused")
      throw new UserError("Nothing can be drawn: the logits are not finite.");
    return classes.subarray(0, uniforms.length);
  };
  return {
    outputShape: step.output.shape,
    ...(drawings ? { drawing: { most: MOST_DRAWS, draw: (...given) => drawWith(drawings, ...given) } } : {}),
    runNow,
    async run(inputs, lengths) {
      if (runNow) return runNow(inputs, lengths);
      feed(inputs, lengths);
      for (const each of due()) {
        each.run();
        await each.settled();
      }
      carryOn();
      return session.read(step.output, out);
    },
    reset(which) {
      for (let n = 0; n < rows; n++) if (!which || which[n]) flags[n] = 1;
      resets = true;
    },
    async states() {
      const entries = [...step.states].map(
        async ([name, state]) => [name, { shape: state.shape, data: await session.read(state) }] as const,
      );
      return Object.fromEntries(await Promise.all(entries));
    },
    setStates(states) {
      for (const [name, tensor] of Object.entries(states)) {
        const state = step.states.get(name);
        if (!state)
          throw new UserError(
            `the predictor carries no state "${name}"; it carries ${[...step.states.keys()].join(", ") || "none"}`,
          );
        checkTensor(`state "${name}"`, state.shape, tensor);
      }
      for (const [name, { data }] of Object.entries(states)) session.write(step.states.get(name)!, data);
      flags.fill(0);
      writeReset();
      resets = false;
    },
  };
}
