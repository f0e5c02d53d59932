/**
 * What is measured, float32 throughout. "train": forward over [T, N], loss, full BPTT over the window, global-norm clip 5, Adam
 * 2e-3, the state carried from window to window. "sample": characters drawn one at a time, batch 1, each fed back.
 */
export interface Model {
  readonly cell: "rnn" | "lstm" | "gru";
  /** One-hot characters in, softmax cross-entropy out. */
  readonly vocabulary?: number;
  /** Numbers in, one number out at every step, mean squared error. */
  readonly features?: number;
  readonly hidden: number;
  readonly layers: number;
}

export interface Training extends Model {
  readonly kind: "train";
  readonly name: string;
  readonly batch: number;
  readonly time: number;
}

export interface Sampling extends Model {
  readonly kind: "sample";
  readonly name: string;
  readonly vocabulary: number;
  readonly characters: number;
}

export type Workload = Training | Sampling;

const characters = { kind: "train", vocabulary: 65, layers: 2 } as const;

export const workloads: readonly Workload[] = [
  { ...characters, name: "char-lstm-128", cell: "lstm", hidden: 128, batch: 50, time: 50 },
  { ...characters, name: "char-gru-128", cell: "gru", hidden: 128, batch: 50, time: 50 },
  { ...characters, name: "char-rnn-128", cell: "rnn", hidden: 128, batch: 50, time: 50 },
  { ...characters, name: "char-lstm-256", cell: "lstm", hidden: 256, batch: 32, time: 64 },
  { ...characters, name: "char-lstm-512", cell: "lstm", hidden: 512, batch: 32, time: 64 },
  { ...characters, name: "online-lstm-64", cell: "lstm", hidden: 64, layers: 1, batch: 1, time: 100 },
  { kind: "train", name: "series-lstm-32", cell: "lstm", features: 1, hidden: 32, layers: 1, batch: 32, time: 24 },
  { kind: "train", name: "long-gru-128", cell: "gru", features: 2, hidden: 128, layers: 1, batch: 16, time: 1000 },
  { kind: "sample", name: "sample-lstm-128", cell: "lstm", vocabulary: 65, hidden: 128, layers: 2, characters: 500 },
];

/** Measured only when they are named: for graphics processors. */
export const furtherWorkloads: readonly Workload[] = [
  { ...characters, name: "char-lstm-1024", cell: "lstm", hidden: 1024, batch: 128, time: 128 },
];

/** Steps of the recurrence (T·N), or characters, in one measured piece. */
export const stepsOf = (workload: Workload): number =>
  workload.kind === "train" ? workload.time * workload.batch : workload.characters;
