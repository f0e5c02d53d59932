import { afterEach, expect, test, vi } from "vitest";
import { reportFailure } from "../../src/cli/failure.js";
import { UserError } from "../../src/errors.js";
import { temporaryFolder } from "../files/temporary-folder.js";
import { throughtime } from "./command.js";

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

test("--help of every command says its options and gives examples", async () => {
  const cwd = await temporaryFolder();
  const commands: Record<string, string[]> = {
    "": ["text", "series", "explain", "check"],
    "text train": [
      ..."out cell hidden layers embedding dropout batch window recompute steps epochs learning-rate clip-norm validation seed backend resume report-every json".split(
        " ",
      ),
      "default: 2000",
    ],
    "text sample": ["prompt", "length", "temperature", "top-k", "top-p", "seed"],
    "series train": ["column", "horizon", "lookback", "season", "out", "report-every", "json"],
    "series forecast": ["horizon", "known", "json"],
    "series backtest": ["column", "horizon", "folds", "season", "json"],
    explain: ["rnn", "lstm", "gru"],
    check: ["backend"],
  };
  const answers = await Promise.all(
    Object.keys(commands).map((command) => throughtime([...command.split(" ").filter(Boolean), "--help"], { cwd })),
  );
  for (const [i, [command, words]] of Object.entries(commands).entries()) {
    const { code, stdout, stderr } = answers[i]!;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain(`Usage: throughtime ${command}`.trim());
    expect(stdout).toContain("\nExamples:\n  throughtime ");
    for (const word of words) expect(stdout, command).toContain(word);
  }
});

test("wrong usage is exit code 2, and names the option and what was given", async () => {
  const cwd = await temporaryFolder();
  const cases: [string[], string][] = [
    [
      ["text", "train", "x.txt", "--hidden", "0"],
      "'--hidden <n>' argument '0' is invalid. It must be a whole number of at least 1.",
    ],
    [
      ["text", "train", "x.txt", "--learning-rate", "fast"],
      "'--learning-rate <rate>' argument 'fast' is invalid. It must be a number above 0.",
    ],
    [
      ["text", "train", "x.txt", "--dropout", "1"],
      "'--dropout <p>' argument '1' is invalid. It must be a number of at least 0 and below 1.",
    ],
    [
      ["text", "train", "x.txt", "--steps", "1", "--epochs", "1"],
      "'--steps <n>' cannot be used with option '--epochs <n>'",
    ],
    [
      ["text", "train", "x.txt", "--report-every", "0"],
      "'--report-every <n>' argument '0' is invalid. It must be a whole number of at least 1.",
    ],
    [
      ["series", "train", "x.csv", "-c", "y", "--report-every", "often"],
      "'--report-every <n>' argument 'often' is invalid. It must be a whole number of at least 1.",
    ],
    [
      ["text", "train", "x.txt", "--hidden", "2", "--layers", "100000"],
      "'--layers <n>' argument '100000' is invalid. It must be a whole number from 1 to 1000.",
    ],
    [
      ["series", "backtest", "x.csv", "-c", "y", "--layers", "0"],
      "'--layers <n>' argument '0' is invalid. It must be a whole number from 1 to 1000.",
    ],
    [["text", "train"], "missing required argument 'FILE'"],
    [
      ["text", "sample", "x", "--top-p", "0"],
      "'--top-p <p>' argument '0' is invalid. It must be a number above 0 and at most 1.",
    ],
    [["explain", "lstn"], "Allowed choices are rnn, lstm, gru."],
    [["trian"], "unknown command 'trian'"],
  ];
  const answers = await Promise.all(cases.map(([args]) => throughtime(args, { cwd })));
  for (const [i, [args, words]] of cases.entries()) {
    const { code, stdout, stderr } = answers[i]!;
    expect({ code, stdout }, args.join(" ")).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/^error: /);
    expect(stderr).toContain(words);
  }
});

test("explain prints equations; check prints a table of cells that all pass", async () => {
  const cwd = await temporaryFolder();
  const [version, lstm, check] = await Promise.all([
    throughtime(["--version"], { cwd, fromSource: true }),
    throughtime(["explain", "lstm", "--hidden", "8", "--input", "3"], { cwd }),
    throughtime(["check"], { cwd }),
  ]);
  expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  expect(lstm.code).toBe(0);
  expect(lstm.stdout).toContain("D = 3 input features, H = 8");
  expect(lstm.stdout).toMatch(/c′ += f∘c \+ i∘g/);
  for (const word of ["FORWARD", "BACKWARD", "before the loop", "inside", "after the loop"])
    expect(lstm.stdout).toContain(word);
  expect(check).toMatchObject({ code: 0, stderr: "" });
  const rows = check.stdout.split("\n").filter((line) => line.endsWith("passed"));
  expect(rows.map((row) => row.slice(0, 32).trim())).toEqual([
    "rnn tanh",
    "rnn relu",
    "rnn without bias",
    "lstm",
    "lstm without bias",
    "lstm, projection",
    "lstm, peepholes",
    "lstm, projection and peepholes",
    "gru, reset after",
    "gru, reset before",
    "gru without bias",
  ]);
});

test("what a person can mend is one line; what they cannot says how to report it; the stack only where asked for", () => {
  const lines: string[] = [];
  vi.spyOn(process.stderr, "write").mockImplementation((text) => lines.push(String(text)) > 0);
  const told = (error: unknown): { code: number; text: string } => {
    lines.length = 0;
    return { code: reportFailure(error, "1.2.3"), text: lines.join("") };
  };
  vi.stubEnv("THROUGHTIME_DEBUG", undefined);
  expect(told(new UserError("no such\n  file"))).toEqual({ code: 1, text: "error: no such file\n" });
  const inside = told(new TypeError("x is undefined"));
  expect(inside.code).toBe(1);
  expect(inside.text).toMatch(
    /^error: something went wrong inside throughtime: x is undefined\n.*report.*throughtime 1\.2\.3.*THROUGHTIME_DEBUG=1.*\n$/,
  );
  expect(told(new RangeError("Array buffer allocation failed")).text).toMatch(
    /^error: there is not enough memory[^\n]*\n$/,
  );
  vi.stubEnv("THROUGHTIME_DEBUG", "1");
  expect(told(new TypeError("x is undefined")).text).toContain("help.test.ts");
});
