/** Threads come and go with their session, and a process ends without waiting for them. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it, vi } from "vitest";
import type { Session } from "../../../src/backend/contract.js";
import { wasm } from "../../../src/backend/wasm/index.js";
import { createWasmSession } from "../../../src/backend/wasm/session.js";
import { current, matmul, sumAll } from "../../../src/graph/language.js";
import { gradients } from "../../../src/graph/sweep.js";
import { batchVariable, variable } from "../../../src/graph/variable.js";
import type { ProgramOptions } from "../../../src/program/lower.js";
import { PageWorker } from "./page-worker.js";

const [x, w, dw] = [batchVariable("x", [6, 3]), variable("w", [3, 2]), variable("dw", [3, 2])];

/** dw of Σ(x·w)²: a sum over rows that two threads have. */
function step(): ProgramOptions {
  const weights = current(w);
  const y = matmul(current(x), weights);
  const [gradient] = gradients(sumAll(y.mul(y)), [weights]);
  return { name: "step", results: [{ variable: dw, tensor: gradient! }] };
}

async function started(threads = 3): Promise<Session> {
  const session = await wasm({ threads, shareFrom: 0 }).createSession();
  session.write(x, [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  session.write(w, [1, 0, 0, 1, 1, 1]);
  return session;
}

it("runs the same program again and again, each time on the rows as they are", async () => {
  const session = await started();
  const executable = await session.compile(step());
  expect(executable.threads).toBe(3);
  executable.run();
  const first = Array.from(await session.read(dw));
  for (let i = 0; i < 200; i++) executable.run();
  expect(Array.from(await session.read(dw))).toEqual(first);
  session.write(x, new Float32Array(18));
  executable.run();
  expect(Array.from(await session.read(dw))).toEqual([0, 0, 0, 0, 0, 0]);
  session.dispose();
});

it("compiles further programs while its threads wait", async () => {
  const session = await started();
  const [one, other] = await Promise.all([session.compile(step()), session.compile(step())]);
  one.run();
  const first = Array.from(await session.read(dw));
  other.run();
  expect(Array.from(await session.read(dw))).toEqual(first);
  session.dispose();
});

it("keeps memory and programs in a worker where memory cannot be shared", async () => {
  vi.stubGlobal("Worker", PageWorker);
  const backend = wasm();
  const options = { relaxed: false, revectorized: false, threads: 1, remote: true };
  const session = await createWasmSession(backend, options);
  expect(session.readNow).toBeUndefined();
  session.write(x, [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  session.write(w, [1, 0, 0, 1, 1, 1]);
  const executable = await session.compile(step());
  executable.run();
  expect(await executable.settled()).toBe("done");
  const here = await started(1);
  (await here.compile(step())).run();
  expect(await session.read(dw)).toEqual(await here.read(dw));
  // Asked for without waiting, all is done in order.
  executable.run();
  session.write(x, new Float32Array(18));
  const before = session.read(dw);
  executable.run();
  expect(Array.from(await before)).toEqual(Array.from(await here.read(dw)));
  expect(Array.from(await session.read(dw))).toEqual([0, 0, 0, 0, 0, 0]);
  session.dispose();
  here.dispose();
  vi.unstubAllGlobals();
});

const threadsNow = (): number => readdirSync("/proc/self/task").length;

it.runIf(process.platform === "linux")("ends its threads when it is disposed of", async () => {
  const before = threadsNow();
  for (let i = 0; i < 5; i++) {
    const session = await started();
    (await session.compile(step())).run();
    session.dispose();
  }
  await expect.poll(threadsNow, { timeout: 5000 }).toBeLessThanOrEqual(before + 1);
});

it("takes over the threads of a session that is disposed of, and only those", async () => {
  const threads = process.getBuiltinModule("node:worker_threads");
  const { Worker } = threads;
  let begun = 0;
  threads.Worker = class extends Worker {
    constructor(...options: ConstructorParameters<typeof Worker>) {
      super(...options);
      begun++;
    }
  };
  try {
    const dwOf = async (session: Session): Promise<number[]> => {
      (await session.compile(step())).run();
      return Array.from(await session.read(dw));
    };
    const alive = await started();
    const expected = await dwOf(alive);
    begun = 0; // some of an earlier session's were perhaps taken over
    const first = await started();
    expect(await dwOf(first)).toEqual(expected);
    first.dispose();
    const many = begun;
    const second = await started();
    expect(await dwOf(second)).toEqual(expected);
    expect(begun).toBe(many);
    const third = await started();
    expect(await dwOf(third)).toEqual(expected);
    expect(begun).toBe(many + 2);
    for (const session of [alive, second]) expect(await dwOf(session)).toEqual(expected);
    for (const session of [alive, second, third]) session.dispose();
  } finally {
    threads.Worker = Worker;
  }
});

const index = fileURLToPath(new URL("../../../src/index.ts", import.meta.url));

/** Runs a script of its own process, which a thread that waits for ever does not take with it. */
function inProcess(script: string): { readonly stdout: string; readonly status: number | null } {
  const { stdout, status } = spawnSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], {
    encoding: "utf8",
    timeout: 30_000,
  });
  return { stdout: stdout.trim(), status };
}

/** Programs of a session with threads, and a run of one that says whether it gave the sum of so many twos. */
const programs = (threads: number): string => `
  import { current, sumAll, variable, wasm } from ${JSON.stringify(index)};
  const session = await wasm({ threads: ${threads}, shareFrom: 0 }).createSession();
  const compile = async (rows) => {
    const x = { ...variable("x", [rows, 4]), batch: true };
    const y = variable("y", [1]);
    const executable = await session.compile({ name: "sum", results: [{ variable: y, tensor: sumAll(current(x)) }] });
    const run = (value) => {
      session.write(x, new Float32Array(rows * 4).fill(value));
      executable.run();
      return session.readNow(y)[0] === rows * 4 * value;
    };
    return { run, threads: executable.threads };
  };
`;

it.each([1, 3])(
  "runs a program while another one is compiled, on %i threads",
  (threads) => {
    const script = `${programs(threads)}
    const { run } = await compile(6);
    let right = true;
    for (let rows = 7; rows < 12; rows++) {
      let over = false;
      const other = compile(rows).finally(() => { over = true; });
      for (let value = 1; !over; value++) {
        right &&= run(value);
        await new Promise(setImmediate);
      }
      right &&= (await other).run(3) && run(4);
    }
    console.log(right);
    session.dispose();
  `;
    expect(inProcess(script)).toEqual({ stdout: "true", status: 0 });
  },
  40_000,
);

it("runs programs for fewer and for all threads in turn, however late a thread looks", () => {
  // Between the number of the job and its program, where that is the first one.
  const late = `
    const real = globalThis.Atomics;
    let [last, seen] = [0, 0];
    const Atomics = Object.create(real, { load: { value(words, i) {
      const value = real.load(words, i);
      if (i !== 0) return value;
      seen = value === last ? seen + 1 : 0;
      last = value;
      if (seen === 1 && real.load(words, 1) === 0) for (const until = performance.now() + 5; performance.now() < until; );
      return value;
    } } });
  `;
  const script = `
    import threads from "node:worker_threads";
    let begun = 0;
    const { Worker } = threads;
    threads.Worker = class extends Worker {
      constructor(source, options) {
        super(begun++ ? ${JSON.stringify(late)} + source : source, options);
      }
    };
    ${programs(3).trim()}
    const [few, all] = [await compile(2), await compile(6)];
    console.log(few.threads, all.threads);
    let right = true;
    for (let i = 1; right && i < 50; i++) {
      right &&= few.run(i);
      for (const until = performance.now() + 2; performance.now() < until; );
      right &&= all.run(i) && all.run(i + 1);
    }
    console.log(right);
    session.dispose();
  `;
  expect(inProcess(script)).toEqual({ stdout: "2 3\ntrue", status: 0 });
}, 40_000);

/** Makes one worker after the other begin with these lines. */
const spoiled = (...beginnings: string[]): string => `
  import workers from "node:worker_threads";
  const ends = [];
  const { Worker } = workers;
  workers.Worker = class extends Worker {
    constructor(source, options) {
      super((${JSON.stringify(beginnings)}[ends.length] ?? "") + source, options);
      ends.push(new Promise((resolve) => this.once("exit", resolve)));
    }
  };
  const disposedOf = async () => {
    session.dispose();
    await Promise.all(ends);
    console.log("no thread is left");
  };
`;

/** What a worker does at its second program. */
const atSecondProgram = (act: string): string => `
  const real = globalThis.WebAssembly;
  let instances = 0;
  const WebAssembly = { Instance: class {
    constructor(...given) {
      if (++instances === 2) {
        for (const until = performance.now() + 50; performance.now() < until; );
        ${act}
      }
      return new real.Instance(...given);
    }
  } };
`;

/** Runs the first program again and again while a second is compiled; then says what became of that. */
const runWhileSecondFails = `
  const { run } = await compile(6);
  let outcome;
  const second = compile(7).then(() => "compiled", (error) => error.message).then((said) => { outcome = said; });
  let right = true;
  const tryToRun = (value) => {
    try {
      right &&= run(value);
    } catch (error) {
      console.log("run:", error.message);
      return false;
    }
    return true;
  };
  for (let value = 1; outcome === undefined && tryToRun(value); value++) await new Promise(setImmediate);
  await second;
  console.log(outcome);
`;

it("goes on where a thread cannot take a program, which is an error", () => {
  const script = `
    ${spoiled("", atSecondProgram('throw new RangeError("no memory for an instance");'))}
    ${programs(3)}
    ${runWhileSecondFails}
    const third = await compile(8);
    console.log(right && run(2) && third.run(3) && run(4), third.threads);
    session.dispose();
  `;
  expect(inProcess(script)).toEqual({
    stdout: "thread 3 of 3 could not take a program: RangeError: no memory for an instance\ntrue 3",
    status: 0,
  });
}, 40_000);

it("does not wait for ever for a thread that is gone", () => {
  const script = `
    ${spoiled("", atSecondProgram("process.exit();"))}
    Atomics.wait = () => "timed-out";
    ${programs(3)}
    ${runWhileSecondFails}
    await disposedOf();
  `;
  const { stdout, status } = inProcess(script);
  expect(stdout.split("\n")).toEqual([
    "run: a thread no longer answers: create a new session",
    "a thread no longer answers: create a new session",
    "no thread is left",
  ]);
  expect(status).toBe(0);
}, 40_000);

/** A worker that starts when the other one has failed already. */
const slow = "for (const until = performance.now() + 300; performance.now() < until; );";

it.each([
  ["await disposedOf();", "no thread is left"],
  ["", "the session is left alone"],
])(
  "says that a thread could not be started, and lets the process end (%s)",
  (end, said) => {
    const script = `
    ${spoiled(slow, 'throw new Error("no memory for a thread");')}
    ${programs(3)}
    const refused = () => compile(6).catch((error) => error.message);
    console.log(await refused());
    console.log(await refused());
    ${end || `console.log(${JSON.stringify(said)});`}
  `;
    expect(inProcess(script)).toEqual({ stdout: `no memory for a thread\nno memory for a thread\n${said}`, status: 0 });
  },
  40_000,
);

it("lets the process end although nobody disposed of the session", () => {
  const script = `
    ${programs(2)}
    const { run, threads } = await compile(4);
    console.log(run(1), "threads", threads);
  `;
  expect(inProcess(script)).toEqual({ stdout: "true threads 2", status: 0 });
}, 40_000);
