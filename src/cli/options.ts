/** What options may hold. A value out of range is a usage error that names the option. */
import { InvalidArgumentError, Option } from "commander";
import type { BackendName } from "../backend/choose.js";

const numberFrom = (text: string): number => (text.trim() === "" ? Number.NaN : Number(text));

/** A whole number from `least` on, to `most` where there is such. */
export const whole =
  (least: number, most = Infinity) =>
  (text: string): number => {
    const value = numberFrom(text);
    if (!Number.isSafeInteger(value) || value < least || value > most)
      throw new InvalidArgumentError(
        `It must be a whole number ${most < Infinity ? `from ${least} to ${most}` : `of at least ${least}`}.`,
      );
    return value;
  };

/** Recurrent layers. Making a step of 1000 ready takes a quarter of a minute, and more than twice as long for twice as many. */
export const layerCount = whole(1, 1000);

/** A finite number above `least`, or from it on. */
export const above =
  (least: number, { orEqual = false } = {}) =>
  (text: string): number => {
    const value = numberFrom(text);
    if (!Number.isFinite(value) || !(orEqual ? value >= least : value > least))
      throw new InvalidArgumentError(`It must be a number ${orEqual ? "of at least" : "above"} ${least}.`);
    return value;
  };

/** At least 0 and below 1. */
export const share = (text: string): number => {
  const value = numberFrom(text);
  if (!(value >= 0 && value < 1)) throw new InvalidArgumentError("It must be a number of at least 0 and below 1.");
  return value;
};

/** Above 0, at most 1. */
export const probability = (text: string): number => {
  const value = numberFrom(text);
  if (!(value > 0 && value <= 1)) throw new InvalidArgumentError("It must be a number above 0 and at most 1.");
  return value;
};

export const backendOption = (): Option =>
  new Option(
    "--backend <name>",
    "what computes: auto is wasm where WebAssembly has SIMD; webgpu needs the package webgpu and a graphics driver",
  )
    .choices(["auto", "wasm", "webgpu", "reference"] satisfies BackendName[])
    .default("auto");

export const threadsOption = (): Option =>
  new Option(
    "--threads <n>",
    "threads that share each batch, on wasm; one number gives the same run again (default: one for each processor)",
  ).argParser(whole(1));

export const v8FlagsOption = (): Option =>
  new Option(
    "--no-v8-flags",
    "leave V8's flags alone: on Node 20 and 21 relaxed SIMD hides behind one, and without it a step takes nearly twice as long",
  );

export const reportEveryOption = (): Option =>
  new Option(
    "--report-every <n>",
    "updates between two reports; what is reported is read back, which a graphics processor takes its time for (default: 1, on webgpu 10)",
  ).argParser(whole(1));

/** Updates between two reports. */
export const reportEveryOf = (given: { readonly reportEvery?: number }, backend: BackendName): number =>
  given.reportEvery ?? (backend === "webgpu" ? 10 : 1);

export const jsonOption = (what: string): Option => new Option("--json", `${what}; nothing else goes to stdout`);
