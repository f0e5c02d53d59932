/** What is said when a device refuses a kernel or is lost, and what is left then: all else goes on. */
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Dispatch, Plan, Planned } from "../../../src/backend/webgpu/dispatch.js";
import { webgpu } from "../../../src/backend/webgpu/index.js";
import { UserError } from "../../../src/errors.js";
import { variable } from "../../../src/graph/variable.js";
import { errorOf } from "../../refusal.js";
import { createBench, kernel, loop } from "./bench.js";
import { nullDevice, testDevice, wrapped } from "./driver.js";
import { train, trainerOn } from "./small-trainer.js";

/** What becomes of every plan before a device sees it. */
const spoilt = vi.hoisted(() => ({ by: undefined as ((plan: Plan) => Plan) | undefined }));
vi.mock("../../../src/backend/webgpu/plan.js", async (original) => {
  const { planProgram } = await original<typeof import("../../../src/backend/webgpu/plan.js")>();
  return {
    planProgram(options: Parameters<typeof planProgram>[0]) {
      const plan = planProgram(options);
      return spoilt.by?.(plan) ?? plan;
    },
  };
});

afterEach(() => {
  spoilt.by = undefined;
});

/** The kernels of this label, each changed. */
const spoiling =
  (label: string, change: Partial<Dispatch> | ((dispatch: Dispatch) => Partial<Dispatch>)) =>
  (plan: Plan): Plan => {
    const spoil = (dispatch: Dispatch): Dispatch =>
      dispatch.label === label
        ? { ...dispatch, ...(typeof change === "function" ? change(dispatch) : change) }
        : dispatch;
    const each = (planned: Planned): Planned =>
      "loop" in planned ? { ...planned, body: planned.body.map(spoil) } : spoil(planned);
    return { ...plan, compute: plan.compute.map(each), commit: plan.commit.map(each) };
  };

const broken = ({ code }: Dispatch) => ({ code: `${code}\nfn broken() -> f32 { return nothing; }` });

describe("a kernel that the device refuses", () => {
  it.each([
    { what: "after a loop", stepwise: false, label: "dweight_hh" },
    { what: "that is a whole loop", stepwise: false, label: "lstm_l0: backward" },
    { what: "at each step of a loop", stepwise: true, label: "dh" },
    { what: "of the update", stepwise: false, label: "update" },
  ])("is named with its program where its text is wrong: $what", async ({ stepwise, label }) => {
    spoilt.by = spoiling(label, broken);
    const trainer = await trainerOn(await nullDevice(), { stepwise });
    expect((await errorOf(train(trainer, 1))).message).toMatch(
      new RegExp(
        `^the kernel "${label}" of the program "training step" does not compile: line \\d+: unresolved value 'nothing'$`,
      ),
    );
    trainer.dispose();
  });

  it.each(["dweight_hh", "lstm_l0: backward"])("is named where its dispatch is not valid: %s", async (label) => {
    spoilt.by = spoiling(label, { workgroups: [70_000, 1, 1] });
    const trainer = await trainerOn(await nullDevice());
    const { message } = await errorOf(train(trainer, 1));
    expect(message.split("\n")[0]).toMatch(
      new RegExp(
        `^the kernel "${label}" of the program "training step" is refused by WebGPU: Dispatch workgroup count X \\(70000\\) exceeds max`,
      ),
    );
    trainer.dispose();
  });

  it("leaves nothing of its program behind", async () => {
    const session = await webgpu({ device: await nullDevice() }).createSession();
    const bench = createBench(1);
    const program = bench.program([kernel({ kind: "fill", value: 1, out: bench.matrix("a", 1, 1) })]);
    const held = session.memory();
    spoilt.by = spoiling(program.compute[0]!.kind, { workgroups: [70_000, 1, 1] });
    expect((await errorOf(session.compile(program))).message).toMatch(/is refused by WebGPU/);
    expect(session.memory()).toEqual({ ...held, variables: 16 });
    session.dispose();
  });

  it("is named where the driver gives it up", async () => {
    const device = wrapped(await nullDevice(), {
      createComputePipelineAsync: () =>
        Promise.reject(Object.assign(new Error("VK_ERROR_UNKNOWN\nstack"), { reason: "internal" })),
    });
    const error = await errorOf(train(await trainerOn(device), 1));
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(
      /^the graphics driver cannot compile the kernel ".+" of the program "training step": VK_ERROR_UNKNOWN$/,
    );
  });
});

const gpu = await testDevice();

describe.runIf(gpu)("after a kernel was refused", () => {
  it("training goes on where another program was meant, and from the last checkpoint on the same device", async () => {
    const whole = await trainerOn(gpu!);
    const uninterrupted = await train(whole, 6);
    whole.dispose();

    const trainer = await trainerOn(gpu!);
    const losses = await train(trainer, 2);
    const saved = await trainer.checkpoint();
    spoilt.by = spoiling("layer head (dense): matmul", broken);
    const predictor = trainer.predictor({ inputShape: [1, 1, 1], inputType: "index" });
    expect((await errorOf(predictor)).message).toMatch(/^the kernel "layer head \(dense\): matmul" of the program "/);
    losses.push(...(await train(trainer, 4)));
    trainer.dispose();
    expect(losses).toEqual(uninterrupted.slice(0, 4));

    const refused = await trainerOn(gpu!);
    refused.restore(saved);
    spoilt.by = spoiling("dweight_hh", { workgroups: [70_000, 1, 1] });
    expect((await errorOf(train(refused, 6))).message).toMatch(
      /"dweight_hh" of the program "training step" is refused/,
    );
    refused.dispose();

    spoilt.by = undefined;
    const another = await trainerOn(gpu!);
    another.restore(saved);
    expect(await train(another, 6)).toEqual(uninterrupted.slice(2));
    another.dispose();
  });
});

describe("a device that is lost", () => {
  it("is said to be lost at a program, and that nobody knows at which kernel, the heaviest being named", async () => {
    const { device, lose } = await losable();
    const session = await webgpu({ device }).createSession();
    const bench = createBench(1);
    const [a, b, c] = [bench.matrix("a", 4, 4), bench.matrix("b", 4, 4), bench.matrix("c", 4, 4)];
    const product = kernel({ kind: "product", a, b, out: c, transposeA: false, transposeB: false, accumulate: false });
    const executable = await session.compile(
      bench.program([{ ...product, label: "once" }, loop(3, false, [{ ...product, label: "thrice" }])]),
    );
    executable.run();
    await lose({ reason: "unknown", message: "VK_ERROR_DEVICE_LOST\n  at somewhere" });
    expect(() => executable.run()).toThrow(
      new UserError(
        'the graphics device was lost at the program "made by hand" (unknown: VK_ERROR_DEVICE_LOST; which of the program\'s 2 dispatches was running the driver does not say, the most arithmetic is in "loop"): make a new trainer and restore its last checkpoint',
      ),
    );
    session.dispose();
  });

  it("is said to be lost at no program where all runs were over", async () => {
    const { device, lose } = await losable();
    const session = await webgpu({ device }).createSession();
    const x = variable("x", [1]);
    const bench = createBench(1);
    const executable = await session.compile(
      bench.program([kernel({ kind: "fill", value: 1, out: bench.matrix("a", 1, 1) })]),
    );
    executable.run();
    await session.read(x);
    await lose({ reason: "unknown", message: "it was reset" });
    expect((await errorOf(session.read(x))).message).toBe(
      "the graphics device was lost (unknown: it was reset): make a new trainer and restore its last checkpoint",
    );
    session.dispose();
  });

  it.runIf(gpu)("destroyed in the middle of a run, names the program and leaves the checkpoint as it was", async () => {
    const device = (await testDevice())!;
    const trainer = await trainerOn(device);
    await train(trainer, 2);
    const saved = await trainer.checkpoint();
    const before = JSON.stringify(saved);
    const { queue } = device;
    const submit = queue.submit.bind(queue);
    vi.spyOn(queue, "submit").mockImplementationOnce((buffers) => {
      submit(buffers);
      device.destroy();
    });
    const error = await errorOf(train(trainer, 50));
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(
      /^the graphics device was lost at the program "training step" \(destroyed: [^;]*\): make/,
    );
    expect(JSON.stringify(saved)).toBe(before);
    trainer.dispose();
  });
});

/** A device that is said to be lost when the test says so. */
async function losable() {
  let lose!: (info: Pick<GPUDeviceLostInfo, "reason" | "message">) => void;
  const lost = new Promise((resolve) => {
    lose = resolve;
  });
  const device = wrapped(await nullDevice(), { lost });
  return {
    device,
    lose: async (info: Parameters<typeof lose>[0]) => {
      lose(info);
      await lost;
    },
  };
}
