/** A device that has no memory left: what is said, what is freed, and that all else goes on. */
import { describe, expect, it } from "vitest";
import { webgpu } from "../../../src/backend/webgpu/index.js";
import { UserError } from "../../../src/errors.js";
import { variable } from "../../../src/graph/variable.js";
import {
  adam,
  type Checkpoint,
  createTrainer,
  crossEntropy,
  readText,
  type Trainer,
  textBatches,
  textModel,
} from "../../../src/index.js";
import type { Program } from "../../../src/program/program.js";
import { createBench, kernel } from "./bench.js";
import { nullDevice, testDevice, wrapped } from "./driver.js";

const MIB = 2 ** 20;
const STORAGE = 0x80;
/** Dawn's device that does nothing still counts: it gives this much in all. */
const MEMORY_OF_NULL = 512 * MIB;

const gpu = await testDevice();
const text = readText("time flows backward and on. ".repeat(20), { validation: 0 });

const trainerOn = (device: GPUDevice, batch = 4, hidden = 8): Promise<Trainer> =>
  createTrainer(textModel({ vocabularySize: text.vocabulary.size, cell: "lstm", hidden, layers: 1 }), {
    loss: crossEntropy(),
    optimizer: adam({ learningRate: 0.01 }),
    bptt: { window: 6 },
    batch,
    backend: webgpu({ device }),
  });

async function train(trainer: Trainer, steps: number): Promise<number[]> {
  const losses: number[] = [];
  for await (const { loss } of trainer.fit(textBatches(text), { steps })) losses.push(loss);
  return losses;
}

const errorOf = (action: Promise<unknown>): Promise<Error> =>
  action.then(
    () => expect.fail("it was not refused"),
    (error: Error) => error,
  );

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
    const trainer = await trainerOn(device, 4, 1400);
    const error = await errorOf(train(trainer, 1));
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(
      /^the program "training step" needs 1\d\d MiB of the graphics device \(9\d MiB for variables, 6\d MiB for temporaries, 1 MiB for whole numbers\), which has no 9\d MiB left for variables: a smaller model, batch or window needs less, and so does bptt.recompute$/,
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

    const refused = await trainerOn(device, 64);
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
