import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type WebGpuSession, webgpu } from "../../../src/backend/webgpu/index.js";
import { UserError } from "../../../src/errors.js";
import { type Variable, variable } from "../../../src/graph/variable.js";
import type { Program, View } from "../../../src/program/program.js";
import { errorOf } from "../../refusal.js";
import { kernel, loop } from "./bench.js";
import { nullDevice, testDevice } from "./driver.js";

const device = await testDevice();
const backend = device && webgpu({ device });

const view = (buffer: number, columns: number, step = 0): View => ({
  buffer,
  rows: 1,
  columns,
  offset: 0,
  stride: columns,
  step,
});

/** x → temporary = 2x → y = temporary + 1, with y committed where temporary[0] is finite. */
function doubling(x: Variable, y: Variable, size: number, more: Partial<Program> = {}): Program {
  const whole = { kind: "chain", rows: 1, columns: size } as const;
  const one = { op: "constant", value: 1 } as const;
  return {
    name: "doubling",
    buffers: [
      { id: 0, size, type: "float", name: "x", kind: "variable", variable: x },
      { id: 1, size, type: "float", name: "y", kind: "variable", variable: y },
      { id: 2, size, type: "float", name: "temporary", kind: "temporary" },
    ],
    compute: [
      kernel({
        ...whole,
        loads: [view(0, size)],
        code: [{ op: "add", args: [0, 0] }],
        stores: [{ value: 1, to: view(2, size), flush: false }],
      }),
    ],
    guards: [view(2, 1)],
    commit: [
      kernel({
        ...whole,
        loads: [view(2, size)],
        code: [one, { op: "add", args: [0, 1] }],
        stores: [{ value: 2, to: view(1, size), flush: false }],
      }),
    ],
    plan: { offsets: new Map([[2, 16]]), size: size + 16 },
    ...more,
  };
}

afterEach(() => void vi.restoreAllMocks());

describe.runIf(backend)("a session of the WebGPU backend", () => {
  const open = (): Promise<WebGpuSession> => backend!.createSession();

  it("writes, runs, reads and looks into temporaries, in the order of the calls", async () => {
    const session = await open();
    const [x, y] = [variable("x", [5]), variable("y", [5])];
    const executable = await session.compile(doubling(x, y, 5));
    session.write(x, [1, 2, 3, 4, 5]);
    session.write(x, [30, 40], 2);
    executable.run();
    const first = session.read(y);
    session.write(x, Float32Array.of(0, 0, 0, 0, 7));
    const written = session.read(x);
    executable.run();
    const into = new Float64Array(5);
    expect(await session.read(y, into)).toBe(into);
    expect([...into]).toEqual([1, 1, 1, 1, 15]);
    expect([...(await first)]).toEqual([3, 5, 61, 81, 11]);
    expect([...(await written)]).toEqual([0, 0, 0, 0, 7]);
    expect([...(await executable.peek(2))]).toEqual([0, 0, 0, 0, 14]);
    expect(await executable.settled()).toBe("done");
    session.dispose();
  });

  it("commits nothing when a guard is not finite, and says so when asked", async () => {
    const session = await open();
    const [x, y] = [variable("x", [3]), variable("y", [3])];
    const executable = await session.compile(doubling(x, y, 3));
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 3e38]) {
      session.write(y, [7, 8, 9]);
      session.write(x, [bad, 1, 2]);
      executable.run();
      expect(await executable.settled()).toBe("refused");
      expect([...(await session.read(y))]).toEqual([7, 8, 9]);
      session.write(x, [1, 1, 2]);
      executable.run();
      expect(await executable.settled()).toBe("done");
      expect([...(await session.read(y))]).toEqual([3, 3, 5]);
    }
    session.dispose();
  });

  it("skips every kind of kernel of a commit", async () => {
    const session = await open();
    const [x, ...results] = ["x", "product", "sum", "parts", "transposed", "filled"].map((name) =>
      variable(name, [name === "parts" ? 1 : 9]),
    ) as [Variable, ...Variable[]];
    const square = (buffer: number, rows = 3): View => ({ ...view(buffer, 3), rows });
    const long: Variable = { ...variable("long", [1, 5000]), initial: new Float32Array(5000).fill(1) };
    const all = [x, ...results, long];
    const program: Program = {
      name: "commits",
      buffers: all.map((made, id) => {
        const size = made.shape.reduce((product, length) => product * length);
        return { id, size, type: "float", name: made.name, kind: "variable", variable: made };
      }),
      compute: [],
      guards: [view(0, 1)],
      commit: [
        kernel({
          kind: "product",
          a: square(0),
          b: square(0),
          out: square(1),
          transposeA: false,
          transposeB: false,
          accumulate: false,
        }),
        kernel({ kind: "reduce", op: "sum", axis: "rows", square: false, input: square(0), out: square(2, 1) }),
        // By way of memory of its own.
        kernel({ kind: "reduce", op: "sum", axis: "all", square: false, input: view(6, 5000), out: view(3, 1) }),
        kernel({ kind: "transpose", input: square(0), out: square(4) }),
        kernel({ kind: "fill", value: 4, out: square(5) }),
      ],
      plan: { offsets: new Map(), size: 0 },
    };
    const executable = await session.compile(program);
    const read = async (): Promise<number[][]> =>
      (await Promise.all(results.map((result) => session.read(result)))).map((data) => [...data]);
    session.write(x, [Number.NaN, 2, 3, 4, 5, 6, 7, 8, 9]);
    executable.run();
    expect(await executable.settled()).toBe("refused");
    expect((await read()).flat().every((value) => value === 0)).toBe(true);
    session.write(x, [1], 0);
    executable.run();
    expect(await executable.settled()).toBe("done");
    expect(await read()).toEqual([
      [30, 36, 42, 66, 81, 96, 102, 126, 150],
      [12, 15, 18, 0, 0, 0, 0, 0, 0],
      [5000],
      [1, 4, 7, 2, 5, 8, 3, 6, 9],
      [4, 4, 4, 4, 4, 4, 4, 4, 4],
    ]);
    session.dispose();
  });

  it.each([
    [false, 1 + 1 + 1 + 1],
    [true, 1 + 2 * 5 + 1 + 1],
  ])(
    "is one submission a run, whatever the loops, and one for all that is read in a turn",
    async (stepwise, dispatches) => {
      const session = await webgpu({ device: device!, stepwise }).createSession();
      const [x, y] = [variable("x", [4]), variable("y", [4])];
      const plain = doubling(x, y, 4);
      const added = kernel({
        kind: "chain",
        rows: 1,
        columns: 4,
        loads: [view(0, 4), view(2, 4)],
        code: [{ op: "add", args: [0, 1] }],
        stores: [{ value: 2, to: view(2, 4), flush: false }],
      });
      const executable = await session.compile({
        ...plain,
        compute: [...plain.compute, loop(5, false, [added, added])],
      });
      expect(executable.dispatches).toBe(dispatches);
      session.write(x, [1, 2, 3, 4]);
      const submit = vi.spyOn(device!.queue, "submit");
      for (let i = 0; i < 3; i++) executable.run();
      expect(submit).toHaveBeenCalledTimes(3);
      const [result, numbers] = await Promise.all([executable.settled(), session.read(y), session.read(x)]);
      expect(submit).toHaveBeenCalledTimes(4);
      expect(result).toBe("done");
      expect([...numbers]).toEqual([13, 25, 37, 49]);
      session.dispose();
    },
  );

  it("begins variables with zeros or their initial numbers, keeps them through growth, and shares them", async () => {
    const session = await open();
    const x: Variable = { ...variable("x", [4]), initial: [1, 2.5, -3, 4] };
    const count: Variable = { ...variable("count", [2], "index"), initial: [7, -8] };
    const [y, large] = [variable("y", [4]), variable("large", [300_000])];
    const first = await session.compile(doubling(x, y, 4));
    expect([...(await session.read(y))]).toEqual([0, 0, 0, 0]);
    const before = session.read(x);
    expect((await session.read(large)).every((value) => value === 0)).toBe(true); // grows
    expect([...(await before)]).toEqual([1, 2.5, -3, 4]);
    expect([...(await session.read(count))]).toEqual([7, -8]);
    const second = await session.compile(doubling(y, x, 4));
    first.run();
    second.run();
    expect([...(await session.read(x))]).toEqual([7, 13, -9, 19]);
    await expect(first.peek(2)).rejects.toThrow(/not the last to run/);
    session.dispose();
  });

  it("says so where temporaries gave way to more, instead of showing others", async () => {
    const session = await open();
    const [x, y] = [variable("x", [4]), variable("y", [4])];
    const executable = await session.compile(doubling(x, y, 4));
    session.write(x, [1, 2, 3, 4]);
    executable.run();
    expect([...(await executable.peek(2))]).toEqual([2, 4, 6, 8]);
    await session.compile(doubling(x, variable("z", [4]), 4, { plan: { offsets: new Map([[2, 16]]), size: 2 ** 20 } }));
    await expect(executable.peek(2)).rejects.toThrow(
      'the program "doubling" ran before another was compiled: its temporaries are gone',
    );
    executable.run();
    expect([...(await executable.peek(2))]).toEqual([2, 4, 6, 8]);
    session.dispose();
  });

  it("reads and writes whole numbers", async () => {
    const session = await open();
    const index = variable("index", [3], "index");
    session.write(index, [1, -2, 2147483647]);
    expect(await session.read(index)).toEqual(Int32Array.from([1, -2, 2147483647]));
    expect(() => session.write(index, [1, 2], 2)).toThrow(/"index" holds 3 numbers: 2 from number 2 on do not fit/);
    session.dispose();
  });

  it("says what it holds, frees it, and refuses what comes after", async () => {
    const session = await open();
    const [x, y] = [variable("x", [1000]), variable("y", [1000])];
    const executable = await session.compile(doubling(x, y, 1000));
    const { variables, temporaries, total } = session.memory();
    expect([variables, temporaries]).toEqual([8000, 4064]);
    expect(total).toBeGreaterThanOrEqual(8000 + 4064);
    session.dispose();
    session.dispose();
    for (const call of [() => executable.run(), () => session.write(x, [1]), () => session.memory()])
      expect(call).toThrow(UserError);
    for (const call of [session.read(x), session.compile(doubling(x, y, 1000)), executable.settled()])
      expect((await errorOf(call)).message).toBe("this session is disposed: create a new one");
    // The device is the user's, and goes on.
    const next = await open();
    next.write(x, [5]);
    expect((await next.read(x))[0]).toBe(5);
    next.dispose();
  });

  it("ends with its device: all that is under way and all that comes is refused in one sentence", async () => {
    const lost = await testDevice();
    const session = await webgpu({ device: lost! }).createSession();
    const [x, y] = [variable("x", [3]), variable("y", [3])];
    const executable = await session.compile(doubling(x, y, 3));
    executable.run();
    const pending = errorOf(session.read(y));
    lost!.destroy();
    const sentence =
      /^the graphics device was lost at the program "doubling" \(.*\): make a new trainer and restore its last checkpoint$/;
    const errors = [await pending, await errorOf(session.read(x)), await errorOf(executable.settled())];
    for (const error of errors) {
      expect(error).toBeInstanceOf(UserError);
      expect(error.message).toMatch(sentence);
    }
    expect(() => executable.run()).toThrow(sentence);
    expect((await errorOf(webgpu({ device: lost! }).createSession())).message).toMatch(sentence);
    session.dispose();
  });

  it("has devices of its own: one for sessions side by side, ended with the last", async () => {
    const own = webgpu();
    const [one, other] = await Promise.all([own.createSession(), own.createSession()]);
    const x = variable("x", [2]);
    one.write(x, [1, 2]);
    one.dispose();
    other.write(x, [3, 4]);
    expect([...(await other.read(x))]).toEqual([3, 4]);
    other.dispose();
    const again = await own.createSession();
    expect([...(await again.read(x))]).toEqual([0, 0]);
    again.dispose();
  });
});

describe("what cannot be", () => {
  it("is refused with its figure: a plan that the device does not reach", async () => {
    const session = await webgpu({ device: await nullDevice() }).createSession();
    const [x, y] = [variable("x", [4]), variable("y", [4])];
    const small = doubling(x, y, 4);
    const huge = doubling(x, y, 4, { name: "huge", plan: { offsets: new Map([[2, 16]]), size: 2 ** 28 } });
    const error = await errorOf(session.compile(huge));
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(
      /^the program "huge" needs 1024 MiB for temporaries, but this graphics device reaches \d+ MiB at once$/,
    );
    const big = variable("big", [2 ** 28]);
    expect(() => session.write(big, [1])).toThrow(/"big" needs 1024 MiB for variables/);
    await session.compile(small);
    session.dispose();
  });

  it("names the program and the kernel where WGSL is refused", async () => {
    const session = await webgpu({ device: await nullDevice() }).createSession();
    const program = doubling(variable("x", [4]), variable("y", [4]), 4);
    const [chain] = program.compute;
    const broken = { ...chain, label: "gates", code: [{ op: "tanh", args: [17] }] } as never;
    expect((await errorOf(session.compile({ ...program, compute: [broken] }))).message).toMatch(
      /^the kernel "gates" of the program "doubling" does not compile: line \d+: .*undefined/,
    );
    session.dispose();
  });

  const command = fileURLToPath(new URL("../../../src/cli/main.ts", import.meta.url));
  const run = (env: Record<string, string>, ...node: string[]) =>
    spawnSync(process.execPath, ["--import", "tsx", ...node, command, "check", "--backend", "webgpu"], {
      env: { ...process.env, ...env },
      encoding: "utf8",
    });

  it("is said in a sentence by the command: no driver", () => {
    const { status, stderr } = run({ VK_ICD_FILENAMES: "/nowhere.json", VK_DRIVER_FILES: "/nowhere.json" });
    expect(stderr).toMatch(/^error: WebGPU found no graphics adapter: install the card's driver; .*$/m);
    expect(stderr).not.toMatch(/^ +at .*\.ts/m);
    expect(status).not.toBe(0);
  });

  it("is said in a sentence by the command: no package", () => {
    const missing = `import { register } from "node:module"; register("data:text/javascript," + encodeURIComponent(\`
      export function resolve(name, context, next) {
        if (name !== "webgpu") return next(name, context);
        throw Object.assign(new Error("Cannot find package 'webgpu' imported from x"), { code: "ERR_MODULE_NOT_FOUND" });
      }\`));`;
    const { status, stderr } = run({}, "--import", `data:text/javascript,${encodeURIComponent(missing)}`);
    expect(stderr).toMatch(/^error: in Node the backend webgpu needs the package "webgpu": npm install webgpu$/m);
    expect(status).not.toBe(0);
  });
});
