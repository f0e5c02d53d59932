/** What is planned: plain values that say which kernels run, how often, and with what. */
import type { View } from "../../program/program.js";
import type { Locate, Shader } from "./wgsl/source.js";

/** One kernel on the device. */
export interface Dispatch {
  /** The program's kernel that it carries out, or a part of: "rnn.l0: gates". */
  readonly label: string;
  /** How, for people: "product 64×64, depth in 4 parts". */
  readonly how: string;
  /** Its text; dispatches of one text share a pipeline. */
  readonly code: string;
  readonly workgroups: readonly [number, number, number];
  /** Whole numbers (unsigned, 32 bits) that the text reads as `p`. */
  readonly parameters: readonly number[];
}

/** A loop, carried out as its dispatches for each index in turn. */
export interface RepeatedDispatches {
  readonly loop: string;
  /** Why it is not carried out whole, in one dispatch. */
  readonly why: string;
  readonly steps: number;
  readonly reverse: boolean;
  readonly body: readonly Dispatch[];
}

export type Planned = Dispatch | RepeatedDispatches;

export interface Plan {
  readonly compute: readonly Planned[];
  /** Says whether a guard is not finite, where there are guards. */
  readonly guard: Dispatch | undefined;
  readonly commit: readonly Planned[];
  /** Elements that the dispatches need beside the program's own temporaries. */
  readonly scratch: number;
  /** Numbers of 16 bits that they need beside the program's own. */
  readonly halves: number;
}

/** Numbers of buffers that no program has: scratch memory, weights in 16 bits, and from there downwards a workgroup's tiles. */
export const noProgramHas = { scratch: -1, halves: -2, firstTile: -3 } as const;

/** What the kernels' sizes are chosen from. */
export interface DeviceLimits {
  /** Invocations of a workgroup. */
  readonly invocations: number;
  /** Bytes of a workgroup's memory. */
  readonly workgroupStorage: number;
}

/** What a kernel is planned with. */
export interface Planning {
  readonly locate: Locate;
  readonly limits: DeviceLimits;
  /** The place, among the indices, of the flag that a commit minds. */
  readonly flag: number | undefined;
  /** Memory for what passes from one dispatch of a kernel to its next. */
  scratch(rows: number, columns: number): View;
  /** The same in 16 bits, for weights that a loop reads at every step; undefined where they stay as they are. */
  readonly halves: ((rows: number, columns: number) => View) | undefined;
}

/** A dispatch before it is said what it is for, and whether it is joined to others: its text is in parts. */
export interface KernelDispatch extends Omit<Dispatch, "label" | "code"> {
  readonly code: Shader;
}

/** The same when it is said what it is for. */
export interface PlannedKernel extends KernelDispatch {
  readonly label: string;
}
