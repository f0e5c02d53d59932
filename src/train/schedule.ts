/** What a learning-rate schedule is. */
export interface Schedule {
  /** "cosine": for messages and run folders. */
  readonly name: string;
  /**
   * The learning rate for update number `step` (from 0) when the optimiser's own is `base`. `metric`: the validation losses seen
   * so far, for schedules that react to them (plateau).
   */
  readonly rate: (step: number, base: number, metrics: readonly number[]) => number;
}
