/** A device that has no memory left: what is said, what is freed, and that all else goes on. */
import { describe, expect, it } from "vitest";
import { webgpu } from "../../../src/backend/webgpu/index.js";
import { UserError } from "../../../src/errors.js";
import { variable } from "../../../src/graph/variable.js";
import type { Checkpoint } from "../../../src/index.js";
import type { Program } from "../../../src/program/program.js";
import { errorOf } from "../../refusal.js";
import { createBench, kernel } from "./bench.js";
import { nullDevice, testDevice, wrapped } from "./driver.js";
import { train, trainerOn } from "./small-trainer.js";

const MIB = 2 ** 20;
const STORAGE = 0x80;
/** Dawn's device that does nothing still counts: it gives this much in all. */
const MEMORY_OF_NULL = 512 * MIB;

const gpu = await testDevice();

/** Whether the device gives so many bytes, in buffers of `each` at most; they are freed at once. */
async function gives(device: GPUDevice, bytes: number, each = 128 * MIB): Promise<boolean> {
  device.pushErrorScope("out-of-memory");
  const held = Array.from({ length: Math.ceil(bytes / each) }, (_, i) =>
    device.createBuffer({ size: Math.min(each, bytes - i * each), usage: STORAGE }),
  );
  const error = await device.popErrorScope();
  for (const buffer of held) buffer.destroy();
  return error === null;
}

/** A device that has no more than so many bytes for us: what is beyond them is asked for in a size that the driver refuses. */
function limited(device: GPUDevice, most: number) {
  const held = new Map<GPUBuffer, number>();
  const account = { most, held: () => [...held.values()].reduce((sum, size) => sum + size, 0) };
  const createBuffer = (descriptor: GPUBufferDescriptor): GPUBuffer => {
    const refused = account.held() + descriptor.size > account.most;
    const buffer = device.createBuffer(refused ? { ...descriptor, size: device.limits.maxBufferSize } : descriptor);
    if (refused) return buffer;
    held.set(buffer, descriptor.size);
    const destroy = buffer.destroy.bind(buffer);
    buffer.destroy = () => {
      held.delete(buffer);
      return destroy();
    };
    return buffer;
  };
  return { device: wrapped(device, { createBuffer }), account };
}

describe("a device whose memory others have", () => {
  const occupy = (device: GPUDevice, count: number): GPUBuffer[] =>
    Array.from({ length: count }, () => device.createBuffer({ size: 64 * MIB, usage: STORAGE }));

  it("refuses a trainer in one sentence that says what it needs, and has all of it back afterwards", async () => {
    const device = await nullDevice();
    const others = occupy(device, 7);
    const trainer = await trainerOn(device, { hidden: 1400 });
    const error = await errorOf(train(trainer, 1));
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(
      /^the program "training step" needs 1\d\d MiB of the graphics device \(9\d MiB for variables, 3\d MiB for temporaries, 1 MiB for whole numbers\), which has no 9\d MiB left for variables: a smaller model, batch or window needs less, and so does bptt.recompute$/,
    );
    for (const buffer of others) buffer.destroy();
    expect(await gives(device, MEMORY_OF_NULL)).toBe(false);
    trainer.dispose();
    expect(await gives(device, MEMORY_OF_NULL)).toBe(true);
  });

  it("refuses what is only found missing when all but the last of it was there", async () => {
    const device = await nullDevice();
    const others = occupy(device, 6);
    const session = await webgpu({ device }).createSession();
    const held = session.memory().total;
    const [x, y] = [variable("x", [17 * MIB]), variable("y", [8 * MIB])];
    const buffers = [x, y].map((made, id) => ({
      id,
      size: made.shape[0]!,
      type: "float" as const,
      name: made.name,
      kind: "variable" as const,
      variable: made,
    }));
    const plan = { offsets: new Map(), size: 16 * MIB };
    const program: Program = { name: "large", buffers, compute: [], guards: [], commit: [], plan };
    expect((await errorOf(session.compile(program))).message).toMatch(
      /^the program "large" needs 165 MiB of .* \(100 MiB for variables, 64 MiB .*no 64 MiB left for temporaries: /,
    );
    // What was there of it is given back, and the session is as it was.
    expect(session.memory().total).toBe(held);
    others.pop()!.destroy();
    await session.compile(program);
    session.dispose();
    for (const buffer of others) buffer.destroy();
    expect(await gives(device, MEMORY_OF_NULL)).toBe(true);
  });
});

/** A device, and the buffers and sets of queries that it has given and that are not given back. */
function watched(device: GPUDevice, parts: object = {}) {
  const held = new Set<GPUBuffer | GPUQuerySet>();
  const given: GPUBuffer[] = [];
  const holding = <T extends GPUBuffer | GPUQuerySet>(made: T): T => {
    const destroy = made.destroy.bind(made);
    made.destroy = () => {
      held.delete(made);
      return destroy();
    };
    held.add(made);
    return made;
  };
  const createBuffer = (descriptor: GPUBufferDescriptor): GPUBuffer => {
    const made = holding(device.createBuffer(descriptor));
    given.push(made);
    return made;
  };
  const createQuerySet = (descriptor: GPUQuerySetDescriptor): GPUQuerySet => holding(device.createQuerySet(descriptor));
  return { device: wrapped(device, { createBuffer, createQuerySet, ...parts }), held, given };
}

const largestRead = (given: readonly GPUBuffer[]): number =>
  given.reduce((most, { label, size }) => (label === "numbers to be read" ? Math.max(most, size) : most), 0);

describe.runIf(gpu)("numbers that are read", () => {
  it("take no more memory than they are, if they are many, and none afterwards", async () => {
    const { device, given } = watched(gpu!);
    const session = await webgpu({ device }).createSession();
    const many = variable("many", [5 * MIB]);
    session.write(many, Float32Array.of(3), 5 * MIB - 1);
    const { total } = session.memory();
    expect((await session.read(many)).at(-1)).toBe(3);
    expect(largestRead(given)).toBe(20 * MIB);
    expect(session.memory().total).toBe(total);
    session.dispose();
  });

  it("come in parts, where a buffer does not hold all that is read in a turn", async () => {
    const plain = gpu!;
    const most = 40 * MIB;
    const limits = new Proxy(plain.limits, {
      get: (target, name) =>
        name === "maxBufferSize" || name === "maxStorageBufferBindingSize"
          ? most
          : target[name as keyof GPUSupportedLimits],
    });
    const { device, given } = watched(plain, { limits });
    const session = await webgpu({ device }).createSession();
    const [a, b] = [variable("a", [4.5 * MIB]), variable("b", [5.25 * MIB])];
    session.write(a, Float32Array.of(3), 4.5 * MIB - 1);
    session.write(b, Float32Array.of(4), 5.25 * MIB - 1);
    const read = await Promise.all([a, b, a].map((each) => session.read(each)));
    expect(read.map((numbers) => numbers.at(-1))).toEqual([3, 4, 3]);
    expect(largestRead(given)).toBeLessThanOrEqual(most);
    session.dispose();
  });
});

describe("a session that is disposed of while it compiles", () => {
  it("gives all back, whenever that is", async () => {
    const ends = new Set<string>();
    for (let turns = 0; turns < 40; turns++) {
      const { device, held } = watched(await nullDevice());
      const session = await webgpu({ device, profile: true }).createSession();
      const bench = createBench(1);
      const program = bench.program([kernel({ kind: "fill", value: 3, out: bench.matrix("filled", 1, 5) })]);
      const compiled = session.compile(program).then(
        () => "compiled",
        ({ message }: Error) => message,
      );
      for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
      session.dispose();
      ends.add(await compiled);
      expect(
        [...held].map(({ label }) => label),
        `after ${turns} turns`,
      ).toEqual([]);
    }
    expect([...ends].sort()).toEqual(["compiled", "this session is disposed: create a new one"]);
  });
});

/** SwiftShader has less for a buffer than it says. */
const refuses = gpu !== undefined && !(await gives(gpu, gpu.limits.maxBufferSize, gpu.limits.maxBufferSize));

describe.runIf(refuses)("a driver that refuses memory", () => {
  it("leaves a session as it was, and the device to others", async () => {
    const bench = createBench(1);
    const out = bench.matrix("filled", 1, 5);
    const program = bench.program([kernel({ kind: "fill", value: 3, out })]);
    const filled = program.buffers[0]!.variable!;
    const session = await webgpu({ device: gpu! }).createSession();
    const executable = await session.compile(program);
    session.write(filled, [1, 2, 3, 4, 5, 6, 7, 8]);

    const bytes = gpu!.limits.maxBufferSize;
    const huge = { ...program, name: "huge", plan: { offsets: new Map(), size: bytes / 4 } };
    const figure = `${bytes / MIB} MiB`;
    expect((await errorOf(session.compile(huge))).message).toMatch(
      new RegExp(`^the program "huge" needs .*, ${figure} for temporaries, .* has no ${figure} left for temporaries: `),
    );
    executable.run();
    expect([...(await session.read(filled))]).toEqual([3, 3, 3, 3, 3, 6, 7, 8]);
    session.dispose();

    const trainer = await trainerOn(gpu!);
    expect((await train(trainer, 3)).every(Number.isFinite)).toBe(true);
    trainer.dispose();
  });

  it("lets training go on where another program found no room, from a checkpoint too", async () => {
    const whole = await trainerOn(gpu!);
    const uninterrupted = await train(whole, 6);
    whole.dispose();

    const { device, account } = limited(gpu!, 64 * MIB);
    const trainer = await trainerOn(device);
    const losses = await train(trainer, 2);
    // Enough for a checkpoint to be read.
    account.most = account.held() + MIB / 16;
    const error = await errorOf(trainer.predictor({ inputShape: [500, 64, 1], inputType: "index" }));
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(/^the program ".*" needs \d+ MiB of the graphics device .* left for /);
    losses.push(...(await train(trainer, 4)));
    const saved: Checkpoint = await trainer.checkpoint();
    losses.push(...(await train(trainer, 6)));
    expect(losses).toEqual(uninterrupted);
    trainer.dispose();
    expect(account.held()).toBe(0);

    const refused = await trainerOn(device, { batch: 64 });
    account.most = account.held();
    expect((await errorOf(train(refused, 1))).message).toMatch(/^the program "training step" needs /);
    refused.dispose();
    expect(account.held()).toBe(0);

    account.most = 64 * MIB;
    const another = await trainerOn(device);
    another.restore(saved);
    expect(await train(another, 6)).toEqual(uninterrupted.slice(4));
    another.dispose();
    expect(account.held()).toBe(0);
  });

  it("says so too where a variable comes by itself, or numbers are read", async () => {
    const { device, account } = limited(gpu!, 64 * MIB);
    const session = await webgpu({ device }).createSession();
    const [small, large] = [variable("small", [MIB]), variable("large", [8 * MIB])];
    session.write(small, Float32Array.of(7));
    await session.read(variable("other", [1]));
    account.most = account.held();
    const reading = await errorOf(session.read(small));
    expect(reading).toBeInstanceOf(UserError);
    expect(reading.message).toBe("the graphics device has no 4 MiB left to read numbers from it");
    account.most = 64 * MIB;
    expect((await session.read(small))[0]).toBe(7);

    account.most = account.held();
    session.write(large, Float32Array.of(8));
    const error = await errorOf(session.read(large));
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toBe("the graphics device has no 37 MiB left for variables");
    expect(() => session.write(small, [1])).toThrow(error.message);
    session.dispose();
    expect(account.held()).toBe(0);
    const next = await webgpu({ device }).createSession();
    next.write(small, Float32Array.of(9));
    expect((await next.read(small))[0]).toBe(9);
    next.dispose();
  });
});
