/**
 * A table of what each cell learns of a task, at each length T; all with the same settings, none tuned by itself. Used by
 * adding.ts, copy.ts and own-cell.ts.
 */
import {
  type ArrayOptions,
  adam,
  arrayBatches,
  type Cell,
  createRng,
  createTrainer,
  gru,
  initializers,
  type Layer,
  type Loss,
  lstm,
  type Rng,
  rnn,
} from "throughtime";

const { chrono, zeroInit } = initializers;

/** A cell of `hidden` units for sequences of T steps. */
export type CellFor = (hidden: number, T: number) => Cell;

export const cells = {
  rnn: (hidden: number) => rnn(hidden),
  lstm: (hidden: number) => lstm(hidden),
  // Forget gates that start as if they had to remember for 1 … T steps (Tallec & Ollivier 2018).
  "lstm, chrono": (hidden: number, T: number) => lstm(hidden, { initial: { bias_ih: chrono(T), bias_hh: zeroInit } }),
  gru: (hidden: number) => gru(hidden),
};

export interface Task {
  readonly model: (cell: Cell) => Layer;
  readonly loss: Loss;
  readonly hidden: number;
  readonly examples: (count: number, T: number, rng: Rng) => ArrayOptions;
}

export interface TableOptions {
  /** By name. Default: those above. */
  readonly cells?: Readonly<Record<string, CellFor>>;
  readonly lengths: readonly number[];
  /** Updates, each on `batch` new examples. */
  readonly steps: number;
  readonly batch?: number;
  readonly seed?: number;
}

/** The loss on 500 held-out examples: table[cell][T]. Prints it as it goes. */
export async function cellsByLength(
  task: Task,
  options: TableOptions,
): Promise<Record<string, Record<number, number>>> {
  const { cells: compared = cells, lengths, steps, batch = 20, seed = 1 } = options;
  const table: Record<string, Record<number, number>> = {};
  console.log(`${"T =".padEnd(14)}${lengths.map((T) => `${T}`.padStart(8)).join("")}`);
  for (const [name, cell] of Object.entries<CellFor>(compared)) {
    const losses: Record<number, number> = {};
    for (const T of lengths) {
      const rng = createRng(seed);
      const validation = task.examples(500, T, rng);
      const data = arrayBatches({ ...task.examples(batch * steps, T, rng), validation });
      const trainer = await createTrainer(task.model(cell(task.hidden, T)), {
        loss: task.loss,
        optimizer: adam({ learningRate: 0.02 }),
        clip: { norm: 1 },
        batch,
        seed,
      });
      for await (const { validationLoss } of trainer.fit(data, { epochs: 1 })) losses[T] = validationLoss ?? NaN;
      trainer.dispose();
    }
    table[name] = losses;
    console.log(`${name.padEnd(14)}${lengths.map((T) => losses[T]!.toFixed(4).padStart(8)).join("")}`);
  }
  return table;
}
