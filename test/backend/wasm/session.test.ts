import { describe, expect, it } from "vitest";
import { compileOptimized } from "../../../src/backend/wasm/flags-node.js";
import { wasm } from "../../../src/backend/wasm/index.js";
import { UserError } from "../../../src/errors.js";
import type { Buffer, Program, Statement, Variable, View } from "../../../src/program/program.js";
import { kernel, loop, workbench } from "./workbench.js";

const variable = (name: string, size: number, type: "float" | "index" = "float"): Variable => ({
  name,
  shape: [size],
  type,
});
const view = (buffer: number, rows: number, columns: number, step = 0): View => ({
  buffer,
  rows,
  columns,
  offset: 0,
  stride: columns,
  step,
});

/** x → temporary = 2x → y = temporary + 1, with y committed. */
function doubling(x: Variable, y: Variable, size: number) {
  const buffers: Buffer[] = [
    { id: 1, size, type: "float", name: "x", kind: "variable", variable: x },
    { id: 2, size, type: "float", name: "y", kind: "variable", variable: y },
    { id: 3, size, type: "float", name: "temporary", kind: "temporary" },
  ];
  const twice = kernel({
    kind: "chain",
    rows: 1,
    columns: size,
    loads: [view(1, 1, size)],
    code: [{ op: "add", args: [0, 0] }],
    stores: [{ value: 1, to: view(3, 1, size), flush: false }],
  });
  const plusOne = kernel({
    kind: "chain",
    rows: 1,
    columns: size,
    loads: [view(3, 1, size)],
    code: [
      { op: "constant", value: 1 },
      { op: "add", args: [0, 1] },
    ],
    stores: [{ value: 2, to: view(2, 1, size), flush: false }],
  });
  const program: Program = {
    name: "doubling",
    buffers,
    compute: [twice],
    guards: [view(3, 1, 1)],
    commit: [plusOne],
    plan: { offsets: new Map([[3, 16]]), size: size + 16 },
  };
  return program;
}

describe("a session of the wasm backend", () => {
  it("writes, runs, reads and looks into temporaries", async () => {
    const session = await wasm().createSession();
    const [x, y] = [variable("x", 5), variable("y", 5)];
    const executable = await session.compile(doubling(x, y, 5));
    session.write(x, [1, 2, 3, 4, 5]);
    session.write(x, [30, 40], 2);
    expect(executable.run()).toBe("done");
    expect(await executable.settled()).toBe("done");
    expect([...(await session.read(y))]).toEqual([3, 5, 61, 81, 11]);
    expect([...(await executable.peek(3))]).toEqual([2, 4, 60, 80, 10]);
    const into = new Float64Array(5);
    expect(session.readNow!(y, into)).toBe(into);
    expect([...into]).toEqual([3, 5, 61, 81, 11]);
  });

  it("commits nothing when a guard is not finite", async () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const session = await wasm().createSession();
      const [x, y] = [variable("x", 3), variable("y", 3)];
      const executable = await session.compile(doubling(x, y, 3));
      session.write(y, [7, 8, 9]);
      session.write(x, [bad, 1, 2]);
      expect(executable.run()).toBe("refused");
      expect(await executable.settled()).toBe("refused");
      expect([...session.readNow!(y)]).toEqual([7, 8, 9]);
      session.write(x, [1, 1, 2]);
      expect(executable.run()).toBe("done");
      expect([...session.readNow!(y)]).toEqual([3, 3, 5]);
    }
  });

  it("begins variables with zeros, keeps them through growth, and shares them between programs", async () => {
    const session = await wasm().createSession();
    const [x, y, z] = [variable("x", 4), variable("y", 4), variable("z", 300_000)];
    const first = await session.compile(doubling(x, y, 4));
    expect([...session.readNow!(y)]).toEqual([0, 0, 0, 0]);
    session.write(x, [1, 2, 3, 4]);
    expect(session.readNow!(z).every((value) => value === 0)).toBe(true); // grows
    const second = await session.compile(doubling(y, x, 4));
    first.run();
    second.run();
    expect([...session.readNow!(x)]).toEqual([7, 11, 15, 19]);
    await expect(first.peek(3)).rejects.toThrow(/not the last to run/);
  });

  it("begins a variable with its initial numbers", async () => {
    const session = await wasm().createSession();
    const x: Variable = { ...variable("x", 3), initial: [1, 2.5, -3] };
    const count: Variable = { ...variable("count", 2, "index"), initial: [7, -8] };
    expect([...session.readNow!(x)]).toEqual([1, 2.5, -3]);
    const y = variable("y", 3);
    const executable = await session.compile(doubling(x, y, 3));
    executable.run();
    expect([...session.readNow!(y)]).toEqual([3, 6, -5]);
    session.write(x, [9], 1);
    expect([...session.readNow!(x)]).toEqual([1, 9, -3]);
    expect([...session.readNow!(count)]).toEqual([7, -8]);
  });

  it("asks for initial numbers once, and not at all where they are written first", async () => {
    const session = await wasm({ threads: 1 }).createSession();
    const asked: string[] = [];
    const drawn = (name: string): Variable => ({
      ...variable(name, 3),
      initial: () => {
        asked.push(name);
        return [1, 2, 3];
      },
    });
    const [x, y, z] = [drawn("x"), drawn("y"), drawn("z")];
    // Written while it compiles: x whole, z in part.
    const compiling = session.compile(doubling(x, y, 3));
    session.write(x, [5, 6, 7]);
    session.write(z, [9], 1);
    const executable = await compiling;
    expect([...(await session.read(y))]).toEqual([1, 2, 3]);
    expect([...(await session.read(z))]).toEqual([1, 9, 3]);
    executable.run();
    expect([...(await session.read(x))]).toEqual([5, 6, 7]);
    expect([...(await session.read(y))]).toEqual([11, 13, 15]);
    expect(asked.sort()).toEqual(["y", "z"]);
    session.dispose();
  });

  it("asks again where drawing them failed", async () => {
    const session = await wasm({ threads: 1 }).createSession();
    let ready = false;
    const initial = (): number[] => {
      if (!ready) throw new Error("not yet");
      return [1, 2, 3];
    };
    const [x, y] = [{ ...variable("x", 3), initial }, variable("y", 3)];
    await expect(session.compile(doubling(x, y, 3))).rejects.toThrow("not yet");
    ready = true;
    (await session.compile(doubling(x, y, 3))).run();
    expect([...(await session.read(y))]).toEqual([3, 5, 7]);
    session.dispose();
  });

  it("reads and writes whole numbers", async () => {
    const session = await wasm().createSession();
    const index = variable("index", 3, "index");
    session.write(index, [1, -2, 2147483647]);
    expect(await session.read(index)).toEqual(Int32Array.from([1, -2, 2147483647]));
  });

  it("says what it holds", async () => {
    const session = await wasm().createSession();
    const [x, y] = [variable("x", 1000), variable("y", 1000)];
    await session.compile(doubling(x, y, 1000));
    const memory = session.memory();
    expect(memory.variables).toBe(8000);
    expect(memory.temporaries).toBe(4064);
    expect(memory.total).toBeGreaterThanOrEqual(65536);
  });

  it("refuses a plan that WebAssembly cannot address, with its figure, and stays usable", async () => {
    const session = await wasm().createSession();
    const [x, y] = [variable("x", 4), variable("y", 4)];
    const small = doubling(x, y, 4);
    const huge: Program = { ...small, name: "huge", plan: { offsets: new Map([[3, 16]]), size: 1.25 * 2 ** 30 } };
    const error = await session.compile(huge).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).toMatch(/"huge" needs 5120 MiB of memory, but WebAssembly can address 4096 MiB/);
    expect(session.memory().total).toBe(65536);
    const executable = await session.compile(small);
    expect(executable.run()).toBe("done");
    const big = variable("big", 2 ** 30);
    expect(() => session.write(big, [1])).toThrow(/"big" needs 4096 MiB/);
  });

  it("refuses views that leave their buffer, before anything runs", async () => {
    const session = await wasm().createSession();
    const program = doubling(variable("x", 4), variable("y", 4), 4);
    const outside = (to: View, steps?: number): Promise<unknown> => {
      const fill = kernel({ kind: "fill", value: 1, out: to });
      const statement: Statement = steps ? loop(steps, false, [fill]) : fill;
      return session.compile({ ...program, compute: [statement] });
    };
    await expect(outside(view(3, 1, 5))).rejects.toThrow(/reaches outside "temporary"/);
    await expect(outside({ ...view(3, 1, 4), offset: 1 })).rejects.toThrow(/reaches outside/);
    await expect(outside(view(3, 1, 2, 1), 4)).rejects.toThrow(/reaches outside/);
    await expect(outside({ ...view(3, 1, 1, -1), offset: 1 }, 3)).rejects.toThrow(/reaches outside/);
    await expect(outside(view(9, 1, 1))).rejects.toThrow(/no buffer 9/);
    await expect(outside(view(3, 0, 4))).rejects.toThrow(/an empty view of "temporary"/);
    await expect(outside(view(3, 1, 2, 1), 3)).resolves.toBeDefined();
  });

  it("names what does not fit into a variable", async () => {
    const session = await wasm().createSession();
    const x = variable("x", 4);
    expect(() => session.write(x, [1, 2], 3)).toThrow(/"x" holds 4 numbers: 2 from number 3 on do not fit/);
    expect(() => session.readNow!(x, new Float32Array(3))).toThrow(/4 numbers do not fit/);
  });

  it("throws once it is disposed", async () => {
    const session = await wasm().createSession();
    const [x, y] = [variable("x", 4), variable("y", 4)];
    const executable = await session.compile(doubling(x, y, 4));
    session.dispose();
    expect(() => executable.run()).toThrow(/disposed/);
    expect(() => session.write(x, [1])).toThrow(/disposed/);
    await expect(session.read(x)).rejects.toThrow(/disposed/);
    await expect(session.compile(doubling(x, y, 4))).rejects.toThrow(/disposed/);
  });

  it("measures time by kernel when asked to", async () => {
    const session = await wasm({ profile: true }).createSession();
    const program = doubling(variable("x", 4), variable("y", 4), 4);
    const executable = await session.compile(program);
    executable.run();
    executable.run();
    const labels = [...program.compute, ...program.commit].map((statement) => statement.label);
    expect(
      session
        .profile()
        .map((entry) => entry.label)
        .sort(),
    ).toEqual(labels.sort());
    expect(session.profile().every((entry) => entry.calls === 2 && entry.milliseconds >= 0)).toBe(true);
  });

  it("allocates nothing in a run", async () => {
    const session = await wasm().createSession();
    const [x, y] = [variable("x", 64), variable("y", 64)];
    const executable = await session.compile(doubling(x, y, 64));
    const into = new Float32Array(64);
    const step = () => {
      session.write(x, into);
      executable.run();
      session.readNow!(y, into);
    };
    const total = session.memory().total;
    // The compiler and the collector come and go; the median of many rounds is what a step itself leaves behind.
    const grown = Array.from({ length: 15 }, () => {
      const before = process.memoryUsage().heapUsed;
      for (let i = 0; i < 10_000; i++) step();
      return process.memoryUsage().heapUsed - before;
    });
    const bytesAStep = grown.sort((x, y) => x - y)[7]! / 10_000;
    expect(Math.abs(bytesAStep)).toBeLessThan(4);
    expect(session.memory().total).toBe(total);
  });

  it("compiles with a compiler of one's own, once for equal programs", async () => {
    const compiled: number[] = [];
    const backend = wasm({
      compile(bytes) {
        compiled.push(bytes.length);
        return compileOptimized(bytes);
      },
    });
    const [x, y] = [variable("x", 37), variable("y", 37)];
    const program = doubling(x, y, 37);
    for (let i = 0; i < 2; i++) {
      const session = await backend.createSession();
      const executable = await session.compile(program);
      session.write(x, new Float32Array(37).fill(1.5));
      executable.run();
      expect([...session.readNow!(y)]).toEqual(new Array(37).fill(4));
    }
    expect(compiled).toHaveLength(1);
  });

  it("fails where its compiler fails, and tries again", async () => {
    let failures = 0;
    const backend = wasm({
      compile(bytes) {
        if (failures++ === 0) throw new Error("no room for code");
        return WebAssembly.compile(bytes);
      },
    });
    const session = await backend.createSession();
    const program = doubling(variable("x", 41), variable("y", 41), 41);
    await expect(session.compile(program)).rejects.toThrow("no room for code");
    await expect(session.compile(program)).resolves.toBeDefined();
  });

  it("shares the text of equal kernels, and keeps others apart", async () => {
    const bench = workbench();
    const [a, b, c, d] = ["a", "b", "c", "d"].map((name) => bench.matrix(name, 3, 5)) as [View, View, View, View];
    const add = (x: View, y: View, out: View) =>
      kernel({
        kind: "chain",
        rows: 3,
        columns: 5,
        loads: [x, y],
        code: [{ op: "add", args: [0, 1] }],
        stores: [{ value: 2, to: out, flush: false }],
      });
    await bench.run([add(a, b, c), add(b, c, d), add(d, d, a), add(a, c, a)]);
  });
});
