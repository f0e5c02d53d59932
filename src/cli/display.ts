/** How a training run shows itself: JSON lines, a progress bar on a terminal, plain lines elsewhere. */
import { SingleBar } from "cli-progress";

export interface Line {
  /** Updates so far. */
  readonly step: number;
  readonly loss: number;
  readonly validationLoss?: number | undefined;
  readonly gradientNorm: number;
  /** Characters, or windows, a second. */
  readonly speed: number;
}

export interface Display {
  /** One update, or the latest of several. `json`: what stands on its line with --json. */
  report(line: Line, json: object): void;
  /** A sentence for a person; with --json there is none. */
  say(text: string): void;
  /** Ends the bar. */
  end(): void;
}

export interface DisplayOptions {
  readonly json: boolean;
  /** Where the run starts and will end, in updates. */
  readonly from: number;
  readonly total: number;
  /** "characters/s". */
  readonly unit: string;
  /** How a loss reads: "1.702 (2.46 bits/character)". Default: four digits. */
  readonly showLoss?: (loss: number) => string;
}

const PLAIN_LINES = 20;
const LONGEST_SILENCE_MS = 15_000;

export function createDisplay(options: DisplayOptions): Display {
  if (options.json) return jsonLines();
  return process.stdout.isTTY ? progressBar(options) : plainLines(options);
}

function jsonLines(): Display {
  return {
    report: (_, json) => void process.stdout.write(`${JSON.stringify(json)}\n`),
    say: () => {},
    end: () => {},
  };
}

function plainLines({ from, total, unit, showLoss = showNumber }: DisplayOptions): Display {
  const every = Math.max(1, Math.min(100, Math.ceil((total - from) / PLAIN_LINES)));
  let last = 0;
  let before = from;
  return {
    report({ step, loss, validationLoss, gradientNorm, speed }) {
      const due = before === from || Math.floor(step / every) > Math.floor(before / every) || step === total;
      before = step;
      if (!due && validationLoss === undefined && performance.now() - last < LONGEST_SILENCE_MS) return;
      last = performance.now();
      const validation = validationLoss === undefined ? "" : `  validation ${showLoss(validationLoss)}`;
      process.stdout.write(
        `step ${String(step).padStart(String(total).length)}/${total}  loss ${showNumber(loss)}${validation}  ` +
          `gradient norm ${showNumber(gradientNorm)}  ${showCount(speed)} ${unit}\n`,
      );
    },
    say: (text) => void process.stdout.write(`${text}\n`),
    end: () => {},
  };
}

function progressBar({ from, total, unit }: DisplayOptions): Display {
  const bar = new SingleBar({
    format: `{bar} {value}/{total}  loss {loss}{validation}  gradient norm {norm}  {speed} ${unit}  {eta_formatted}`,
    stream: process.stdout,
    barsize: Math.max(6, Math.min(30, (process.stdout.columns ?? 80) - 96)), // what is left beside the numbers
    barCompleteChar: "█",
    barIncompleteChar: "░",
    hideCursor: true,
    etaBuffer: 50,
    fps: 8,
  });
  const payload = { loss: "…", validation: "", norm: "…", speed: "…" };
  let speed: number | undefined;
  let started = false;
  return {
    report(line) {
      if (!started) bar.start(total, from, payload);
      started = true;
      speed = speed === undefined ? line.speed : 0.95 * speed + 0.05 * line.speed;
      if (line.validationLoss !== undefined) payload.validation = `, validation ${showNumber(line.validationLoss)}`;
      Object.assign(payload, {
        loss: showNumber(line.loss),
        norm: showNumber(line.gradientNorm),
        speed: showCount(speed),
      });
      bar.update(line.step, payload);
    },
    say(text) {
      if (started) bar.stop();
      started = false;
      process.stdout.write(`${text}\n`);
    },
    end() {
      if (started) bar.stop();
      started = false;
    },
  };
}

const showNumber = (value: number): string => (Math.abs(value) >= 1000 ? value.toExponential(2) : value.toFixed(3));
/** 12,345 */
export const showCount = (value: number): string => Math.round(value).toLocaleString("en-US");
