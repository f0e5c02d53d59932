export * from "./clip.js";
export type { BatchOptions, BatchSource, TrainingData } from "./data.js";
export { NonFiniteError } from "./diagnose.js";
export type { Loss } from "./loss.js";
export * from "./losses.js";
export { createNetwork, type Network, type Weights } from "./network.js";
export type { Optimizer } from "./optimizer.js";
export * from "./optimizers.js";
export type { NamedTensor, Predictor, PredictorOptions } from "./predictor.js";
export type { Schedule } from "./schedule.js";
export * as schedules from "./schedules.js";
export {
  type Bptt,
  type Checkpoint,
  createTrainer,
  type FitOptions,
  type Progress,
  type Report,
  type Trainer,
  type TrainerOptions,
} from "./trainer.js";
export type { Clip } from "./update.js";
