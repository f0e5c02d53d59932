/** Training steps to measure: forward over [T, N], loss, full BPTT over the window, global-norm clip 5, Adam 2e-3, float32. */
export interface Workload {
  readonly name: string;
  readonly cell: "rnn" | "lstm" | "gru";
  /** One-hot characters in, softmax cross-entropy out. */
  readonly vocabulary?: number;
  /** Numbers in, one number out at every step, mean squared error. */
  readonly features?: number;
  readonly hidden: number;
  readonly layers: number;
  readonly batch: number;
  readonly time: number;
}

export const workloads: readonly Workload[] = [
  { name: "char-lstm-128", cell: "lstm", vocabulary: 65, hidden: 128, layers: 2, batch: 50, time: 50 },
  { name: "char-gru-128", cell: "gru", vocabulary: 65, hidden: 128, layers: 2, batch: 50, time: 50 },
  { name: "char-rnn-128", cell: "rnn", vocabulary: 65, hidden: 128, layers: 2, batch: 50, time: 50 },
  { name: "char-lstm-256", cell: "lstm", vocabulary: 65, hidden: 256, layers: 2, batch: 32, time: 64 },
  { name: "char-lstm-512", cell: "lstm", vocabulary: 65, hidden: 512, layers: 2, batch: 32, time: 64 },
  { name: "online-lstm-64", cell: "lstm", vocabulary: 65, hidden: 64, layers: 1, batch: 1, time: 100 },
  { name: "series-lstm-32", cell: "lstm", features: 1, hidden: 32, layers: 1, batch: 32, time: 24 },
  { name: "long-gru-128", cell: "gru", features: 2, hidden: 128, layers: 1, batch: 16, time: 1000 },
];
