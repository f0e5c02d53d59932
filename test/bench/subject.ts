/** The toolkit at work on a workload, by the same public way that a user takes. */

import type { Backend, Executable, ProfileEntry } from "../../src/backend/contract.js";
import { type WasmBackend, wasm } from "../../src/backend/wasm/index.js";
import type { WasmSession } from "../../src/backend/wasm/session.js";
import {
  type WebGpuBackend,
  type WebGpuExecutable,
  type WebGpuSession,
  webgpu,
} from "../../src/backend/webgpu/index.js";
import { generate } from "../../src/data/generate.js";
import { createVocabulary } from "../../src/data/vocabulary.js";
import type { Program } from "../../src/index.js";
import { crossEntropy, mse } from "../../src/train/losses.js";
import { adam } from "../../src/train/optimizers.js";
import { createTrainer, type Trainer } from "../../src/train/trainer.js";
import { modelOf, windowOf } from "./model.js";
import type { BenchBackend } from "./options.js";
import type { Sampling, Training, Workload } from "./workloads.js";

export interface Subject {
  readonly threads: number;
  /** Milliseconds from nothing to the first run: tracing, planning, compiling. */
  readonly ready: number;
  /** Milliseconds of the first step, which V8 may run in code that is not optimised yet. */
  readonly first: number;
  /** Milliseconds of each of the pieces done within these seconds, at least one; of a mean piece, where several go together. */
  measure(seconds: number): Promise<number[]>;
  readonly together: number;
  /** Empty unless asked for. */
  profile(): ProfileEntry[];
  /** Dispatches of a run of the program that was compiled last; undefined where there are none. */
  dispatches(): number | undefined;
  /** What the session has compiled. */
  readonly programs: readonly Program[];
  dispose(): void;
}

export interface SubjectOptions {
  /** Default "wasm". */
  readonly backend?: BenchBackend | undefined;
  readonly threads?: number | undefined;
  readonly profile?: boolean;
}

/** Updates between two reports, and milliseconds of the first update up to which they are grouped. */
const TOGETHER = 10;
const LONG = 500;

/** V8 optimises what proves busy in the background: until then a piece is slower than all later ones. */
const WARM_UP = { pieces: 3, seconds: 0.7 };

export async function createSubject(workload: Workload, options: SubjectOptions = {}): Promise<Subject> {
  const began = performance.now();
  const { profile, threads } = options;
  const { backend, seen } = watched(
    options.backend === "webgpu" ? webgpu({ profile: profile ?? false }) : wasm({ profile, threads }),
  );
  const trainer = await createTrainer(modelOf(workload), {
    loss: workload.vocabulary ? crossEntropy() : mse(),
    optimizer: adam({ learningRate: 2e-3 }),
    clip: { norm: 5 },
    ...(workload.kind === "train" ? { bptt: { window: workload.time }, batch: workload.batch } : {}),
    backend,
  });
  let steps = workload.kind === "train" ? training(trainer, workload) : undefined;
  let piece = steps ? () => steps!.next() : await sampling(trainer, workload as Sampling);
  await piece();
  const first = performance.now() - seen.firstRun;
  // What is not waited for is measured in groups, where a group does not take long.
  let together = 1;
  if (backend.name === "webgpu" && workload.kind === "train" && first < LONG) {
    together = TOGETHER;
    await steps!.return();
    steps = training(trainer, workload, together);
    piece = () => steps!.next();
    await piece();
  }
  const measure = async (seconds: number, least = 1): Promise<number[]> => {
    const times: number[] = [];
    const end = performance.now() + seconds * 1000;
    for (let now = performance.now(); times.length < least || now < end; ) {
      await piece();
      const after = performance.now();
      times.push((after - now) / together);
      now = after;
    }
    return times;
  };
  await measure(WARM_UP.seconds, WARM_UP.pieces);
  return {
    threads: seen.threads(),
    ready: seen.firstRun - began,
    first,
    measure,
    together,
    profile: () => seen.session!.profile(),
    dispatches: () => seen.dispatches,
    programs: seen.programs,
    dispose: () => trainer.dispose(),
  };
}

/** Training without end, so many steps a report. */
const training = (trainer: Trainer, workload: Training, reportEvery = 1): ReturnType<Trainer["fit"]> =>
  trainer.fit(windowOf(workload), { steps: Number.MAX_SAFE_INTEGER, reportEvery });

/** A text of so many characters. */
async function sampling(trainer: Trainer, { vocabulary: size, characters }: Sampling): Promise<() => Promise<void>> {
  const vocabulary = createVocabulary(String.fromCharCode(...Array.from({ length: size }, (_, i) => 48 + i)));
  const predictor = await trainer.predictor({ inputShape: [1, 1, 1], inputType: "index" });
  return async () => {
    let written = 0;
    for await (const character of generate(predictor, vocabulary, { length: characters })) written += character.length;
    if (written !== characters) throw new Error(`${written} characters instead of ${characters}`);
  };
}

type Seeable = WasmBackend | WebGpuBackend;

interface Seen {
  session: WasmSession | WebGpuSession | undefined;
  dispatches: number | undefined;
  readonly programs: Program[];
  /** When the first program began to run. */
  firstRun: number;
  /** That run the program compiled last. */
  threads(): number;
}

/** A backend that lets us see its session, what is compiled, and when the first run begins. */
function watched(plain: Seeable): { backend: Backend; seen: Seen } {
  const seen: Seen = {
    session: undefined,
    dispatches: undefined,
    programs: [],
    firstRun: 0,
    threads() {
      const { shard } = seen.programs.at(-1)!;
      return shard ? Math.min(seen.session!.threads ?? 1, shard.of) : 1;
    },
  };
  return {
    seen,
    backend: {
      ...plain,
      async createSession() {
        const session = await plain.createSession();
        seen.session = session;
        return {
          ...session,
          async compile(program) {
            const executable: Executable | WebGpuExecutable = await session.compile(program);
            seen.programs.push(executable.program);
            seen.dispatches = "dispatches" in executable ? (executable as WebGpuExecutable).dispatches : undefined;
            const run = (): ReturnType<typeof executable.run> => {
              seen.firstRun ||= performance.now();
              return executable.run();
            };
            return { ...executable, run };
          },
        };
      },
    },
  };
}
