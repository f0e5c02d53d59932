/**
 * Workers that run compiled programs beside the calling thread, in Node and in browsers, over one shared memory. They wait
 * in shared memory for the next job; only to be given a module do they go back to their event loop.
 *
 * The calling thread is worker 0 where it may block (Node, or inside a worker of the user's). In a page it may not: all
 * the work is done by workers, and the page stays responsive.
 */
import { kept } from "../../../graph/maps.js";
import type { RunParameters } from "../module.js";
import { startThread } from "./start.js";
import { disposed, mayBlock, type Thread } from "./thread.js";

/** What one worker needs to run a program. */
export interface Part {
  readonly module: WebAssembly.Module;
  readonly parameters: RunParameters;
}

export interface Crew {
  /** Whether a run is over when it returns: the calling thread is one of the workers. */
  readonly immediate: boolean;
  /** Starts what threads `workers` workers want, ahead of `load`. */
  begin(workers: number): void;
  /** Readies a program for the first `parts.length` workers; gives its number. */
  load(parts: readonly Part[], mark?: (index: number) => void): Promise<number>;
  /** Runs a program on its workers: what its code returned, at once where the calling thread is one of them. */
  run(program: number): number | Promise<number>;
  dispose(): void;
}

/** 32-bit words that the workers watch: the number of the job (odd while it is being given out), and its program. */
const JOB = 0;
const PROGRAM = 1;
/** How often they have been given a module, or let go on without one. */
const READY = 2;
/** The job of going back to the event loop, where a message waits. */
const LISTEN = -1;

/**
 * What a worker does, as text, so that there is no file to locate. Two hundred looks take a few microseconds; a worker
 * that has looked for about 0.1 ms in vain goes to sleep.
 */
const workerSource = `
const programs = new Map();
let words, job = 0, memory, self_;
const work = () => {
  for (;;) {
    let looks = 0;
    const began = performance.now();
    while (Atomics.load(words, ${JOB}) === job)
      if (++looks % 200 === 0 && performance.now() - began > 0.1) Atomics.wait(words, ${JOB}, job);
    let program;
    do {
      job = Atomics.load(words, ${JOB});
      program = Atomics.load(words, ${PROGRAM});
    } while (job & 1 || Atomics.load(words, ${JOB}) !== job);
    if (program === ${LISTEN}) return;
    const run = programs.get(program);
    if (!run) continue;
    const result = run();
    if (self_.reports) self_.post({ result });
  }
};
const receive = (post, data) => {
  let refusal;
  if (data.leave) {
    programs.clear();
    memory = words = undefined;
    return;
  }
  if (data.memory) {
    memory = data.memory;
    words = new Int32Array(memory.buffer, data.control, 3);
    self_ = { post, reports: data.reports };
  } else if (data.module) {
    const { program, module, parameters: p } = data;
    try {
      const { run } = new WebAssembly.Instance(module, { host: { memory, mark() {} } }).exports;
      programs.set(program, () => run(p.worker, p.firstRow, p.arena, p.partials, p.common));
    } catch (error) {
      refusal = String(error);
    }
  }
  job = Atomics.load(words, ${JOB});
  if (!data.memory) {
    Atomics.add(words, ${READY}, 1);
    Atomics.notify(words, ${READY});
  }
  post({ refusal });
  work();
};
`;

interface Message {
  /** Why it cannot run the program that it was given. */
  readonly refusal?: string;
  readonly result?: number;
}

interface Hand {
  readonly thread: Thread;
  fail(error: unknown): void;
  /** Settles what waits for an answer. */
  answer: { resolve(message: Message): void; reject(error: unknown): void } | undefined;
}

/** Threads whose session is over, for the next one: starting one takes Node some 40 ms. */
const idle = new Set<Hand>();
/** Milliseconds until such a thread ends. */
const PATIENCE = 2000;
/** Looks at a thread that does not come back, and milliseconds between them: a thread takes well below one for a program. */
const [LOOKS, PAUSE] = [100, 100];

function leave(hand: Hand): void {
  hand.thread.post({ leave: true });
  hand.fail = () => idle.delete(hand);
  idle.add(hand);
  const end = setTimeout(() => idle.delete(hand) && hand.thread.terminate(), PATIENCE);
  (end as { unref?(): void }).unref?.();
}

/**
 * Threads are started when a program first wants them. `control`: the address of CREW_BYTES zeros. Without shared memory
 * the calling thread does all the work.
 */
export function createCrew(memory: WebAssembly.Memory, control: number): Crew {
  const callerWorks = memory.buffer instanceof ArrayBuffer || mayBlock();
  const words = new Int32Array(memory.buffer, control, 3);
  /** Of worker i, once it is ready; no entry for the calling thread. */
  const hands = new Map<number, Promise<Hand>>();
  const known: Hand[] = []; // begun
  const own = new Map<number, () => number>();
  const teams: number[] = [];
  let queue: Promise<unknown> = Promise.resolve();
  /** What READY will be when all are back at waiting for jobs. */
  let told = 0;
  /** Why there will be no answer any more. */
  let failure: unknown;

  const startJob = (program: number): void => {
    Atomics.add(words, JOB, 1);
    Atomics.store(words, PROGRAM, program);
    Atomics.add(words, JOB, 1);
    Atomics.notify(words, JOB);
  };

  const answerOf = (hand: Hand): Promise<Message> =>
    new Promise((resolve, reject) => {
      hand.answer = { resolve, reject };
    });

  const answered = (hand: Hand): Hand["answer"] => {
    const { answer } = hand;
    hand.answer = undefined;
    return answer;
  };

  const fail = (error: unknown): void => {
    failure = error;
    for (const hand of Object.values(known)) answered(hand)?.reject(error);
  };

  /** Sends a message and waits until it has been acted on. */
  const tell = (hand: Hand, message: unknown): Promise<Message> => {
    const answer = answerOf(hand);
    hand.thread.hold(true);
    hand.thread.post(message);
    return answer.finally(() => hand.thread.hold(false));
  };

  /** Waits until all are back at waiting for jobs. This thread blocks, so that no message says that one never comes. */
  const gather = (): void => {
    let looks = 0;
    for (let ready = Atomics.load(words, READY); ready !== told; ready = Atomics.load(words, READY)) {
      if (Atomics.wait(words, READY, ready, PAUSE) !== "timed-out" || ++looks < LOOKS) continue;
      fail(new Error("a thread no longer answers: create a new session"));
      throw failure;
    }
  };

  const started = (): Hand => {
    const hand: Hand = {
      thread: startThread(
        workerSource,
        (message) => answered(hand)?.resolve(message as Message),
        (error) => hand.fail(error),
      ),
      fail,
      answer: undefined,
    };
    return hand;
  };

  const handOf = (worker: number): Promise<Hand> =>
    kept(hands, worker, async () => {
      if (failure) throw failure;
      const [waiting] = idle;
      const hand = waiting ?? started();
      idle.delete(hand);
      hand.fail = fail;
      known[worker] = hand;
      await tell(hand, { memory, control, reports: !callerWorks && worker === 0 });
      return hand;
    });

  const othersOf = (workers: number): number[] => [...new Array(workers).keys()].slice(callerWorks ? 1 : 0);

  const load: Crew["load"] = async (parts, mark) => {
    const program = teams.length;
    teams.push(parts.length);
    const others = othersOf(parts.length);
    if (callerWorks) {
      const { module, parameters } = parts[0]!;
      // At once, as the module was compiled: in the background it would wait for what the engine is optimising.
      const instance = new WebAssembly.Instance(module, { host: mark ? { memory, mark } : { memory } });
      const run = instance.exports.run as (...parameters: number[]) => number;
      const { worker, firstRow, arena, partials, common } = parameters;
      own.set(program, () => run(worker, firstRow, arena, partials, common));
    }
    if (others.length === 0) return program;
    others.forEach(handOf);
    const workers = [...hands.keys()];
    const all = await Promise.all(hands.values());
    // All of them leave their waiting, and the message, even an empty one, sends them back.
    startJob(LISTEN);
    told += all.length;
    const messageTo = (worker: number): unknown => (others.includes(worker) ? { program, ...parts[worker]! } : {});
    const answers = await Promise.all(all.map((hand, i) => tell(hand, messageTo(workers[i]!))));
    const refused = answers.findIndex(({ refusal }) => refusal !== undefined);
    if (refused >= 0)
      throw new Error(
        `thread ${workers[refused]! + 1} of ${parts.length} could not take a program: ${answers[refused]!.refusal}`,
      );
    return program;
  };

  return {
    immediate: callerWorks,
    begin(workers) {
      // What goes wrong is said by `load`.
      for (const worker of othersOf(workers)) handOf(worker).catch(() => undefined);
    },
    load(parts, mark) {
      const loaded = queue.then(() => load(parts, mark));
      queue = loaded.catch(() => undefined);
      return loaded;
    },
    run(program) {
      if (failure) throw failure;
      if (!callerWorks) {
        const answer = answerOf(known[0]!);
        startJob(program);
        return answer.then(({ result }) => result!);
      }
      if (teams[program]! > 1) {
        // Another program is being loaded meanwhile: a job would be lost on whoever listens.
        gather();
        startJob(program);
      }
      return own.get(program)!();
    },
    dispose() {
      // A browser lets a worker that is not in its event loop go on for two seconds.
      if (known.length > 0) startJob(LISTEN);
      for (const hand of Object.values(known)) {
        if (callerWorks && !hand.answer && !failure) leave(hand);
        else hand.thread.terminate();
      }
      fail(disposed());
      known.length = 0;
      hands.clear();
    },
  };
}
