/**
 * How many steps of a whole loop one dispatch takes. Windows resets a device that is at one dispatch for two seconds, and a browser's
 * watchdog ends its graphics process; an estimate that errs on the slow side keeps far from either.
 */
import { BYTES } from "../constants.js";
import type { TiledKernel, TiledLoop } from "./tiles.js";

/**
 * A weak device as it is taken to be, by reasoning and not by measurement: graphics on a ten-year-old laptop's processor attain some
 * 20 of their 300 to 400 GFLOP/s in kernels like these, and 20 GB/s from the cache that their cores share. A single workgroup has a
 * fourth of it, and waits some microseconds at each barrier however little there is to do.
 */
const WEAK = {
  /** Workgroups side by side. */
  workgroups: 4,
  /** Of one of them, in a second: additions and multiplications, bytes of weights. */
  arithmetic: 5e9,
  bytes: 5e9,
  /** Seconds from one barrier to the next at least. */
  barrier: 1e-5,
} as const;
/** Of a dispatch on such a device: a fortieth of what Windows bears with. */
const MOST_SECONDS = 0.05;
/** What an element of anything but a product is taken to cost for each load, instruction and store: some are an exponential. */
const POINTWISE = 10;

export interface LoopSize {
  /** Rows of the batch, and of a workgroup. */
  readonly rows: number;
  readonly perGroup: number;
  /** Whether weights are of 16 bits. */
  readonly halves: boolean;
}

/** Steps of each dispatch, nearly the same for all: at least one, at most all of them. */
export function stepsAtOnce(steps: number, loop: TiledLoop, size: LoopSize): number {
  const most = Math.max(1, Math.floor(MOST_SECONDS / secondsOfStep(loop, size)));
  return Math.ceil(steps / Math.ceil(steps / most));
}

function secondsOfStep({ body }: TiledLoop, { rows, perGroup, halves }: LoopSize): number {
  const rounds = Math.ceil(Math.ceil(rows / perGroup) / WEAK.workgroups);
  const seconds = body.map(({ kernel }) =>
    Math.max((perGroup * arithmeticOf(kernel)) / WEAK.arithmetic, bytesOf(kernel, halves) / WEAK.bytes),
  );
  return body.length * WEAK.barrier + rounds * seconds.reduce((sum, each) => sum + each, 0);
}

/** Of one row. */
function arithmeticOf(kernel: TiledKernel["kernel"]): number {
  switch (kernel.kind) {
    case "product":
      return 2 * kernel.b.rows * kernel.b.columns;
    case "chain":
      return POINTWISE * kernel.columns * (kernel.loads.length + kernel.code.length + kernel.stores.length);
    case "gather":
      return POINTWISE * kernel.out.columns;
    case "reduce":
    case "softmax":
      return POINTWISE * kernel.input.columns;
  }
}

/** What a workgroup reads of the weights. */
const bytesOf = (kernel: TiledKernel["kernel"], halves: boolean): number =>
  kernel.kind === "product" ? kernel.b.rows * kernel.b.columns * (halves ? BYTES / 2 : BYTES) : 0;
