/** What is asked of a device that it may refuse: it answers later, and only whoever has asked for the answer hears it. */
import { UserError } from "../../errors.js";
import type { Device } from "./device.js";

export interface Attempt<T> {
  /** Of no use where it was refused. */
  readonly made: T;
  /** What the device says against it: that it has no memory left, or that it is not valid. */
  readonly outOfMemory: string | undefined;
  readonly invalid: string | undefined;
}

/** `make` is over when it returns. @throws why the device has failed, where it answers no more */
export async function attempt<T>(device: Device, make: () => T): Promise<Attempt<T>> {
  const { gpu } = device;
  gpu.pushErrorScope("validation");
  gpu.pushErrorScope("out-of-memory");
  let made: T;
  let answers: Promise<(GPUError | null)[]>;
  try {
    made = make();
  } finally {
    answers = Promise.all([gpu.popErrorScope(), gpu.popErrorScope()]);
    // Where `make` has thrown, nobody waits for them.
    answers.catch(() => undefined);
  }
  const [outOfMemory, invalid] = await answers.catch(async (error) => {
    throw await device.explain(error);
  });
  return { made, outOfMemory: outOfMemory?.message, invalid: invalid?.message };
}

/** The same, what is refused being thrown. `name`: of what is made. @throws UserError where there is no memory left */
export async function checked<T>(device: Device, name: string, make: () => T): Promise<T> {
  const { made, outOfMemory, invalid } = await attempt(device, make);
  if (outOfMemory !== undefined)
    throw new UserError(`${name} does not fit into the memory that the graphics device has left`);
  if (invalid !== undefined) throw new Error(`${name} is refused by WebGPU: ${invalid}`);
  return made;
}
