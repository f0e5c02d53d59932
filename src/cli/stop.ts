/** Ending early: Ctrl-C, a signal, or a reader of stdout that went away. */
import { constants } from "node:os";

/** How long the step or validation under way may take to end by itself. */
const GRACE_MS = 1500;

export interface Stop {
  /** Why to stop; undefined while there is no reason. */
  readonly reason: string | undefined;
  /** 130 after Ctrl-C, 143 after SIGTERM, as a shell would have it. */
  readonly exitCode: number;
  /** Gives what the iterator gives until there is a reason to stop; then it ends, in the middle of a long validation too. */
  until<T>(iterator: AsyncIterator<T, void, void>): AsyncGenerator<T, void, void>;
  /** Signals end the process again as they would without this. */
  release(): void;
}

/** From now on a first signal only sets `reason`; a second one ends the process at once. */
export function stopOnSignals(): Stop {
  let reason: string | undefined;
  let exitCode = 0;
  let stopped: (value: "stopped") => void;
  const late = new Promise<"stopped">((resolve) => {
    stopped = resolve;
  });
  const stop = (why: string, code: number): void => {
    if (reason !== undefined) process.exit(exitCode);
    reason = why;
    exitCode = code;
    setTimeout(() => stopped("stopped"), GRACE_MS).unref();
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  const onSignal = (signal: NodeJS.Signals): void => stop(signal, 128 + constants.signals[signal]);
  for (const signal of signals) process.on(signal, onSignal);
  const onError = (error: NodeJS.ErrnoException): void => {
    if (error.code === "EPIPE" && reason === undefined) stop("a closed pipe", 128 + constants.signals.SIGPIPE);
  };
  process.stdout.on("error", onError);

  return {
    get reason() {
      return reason;
    },
    get exitCode() {
      return exitCode;
    },
    async *until(iterator) {
      while (reason === undefined) {
        const step = iterator.next();
        const next = await Promise.race([step, late]);
        if (next === "stopped") step.catch(() => {}); // it ends when its trainer is gone
        if (next === "stopped" || next.done) return;
        yield next.value;
      }
    },
    release() {
      for (const signal of signals) process.off(signal, onSignal);
      process.stdout.off("error", onError);
    },
  };
}
