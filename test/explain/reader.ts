/**
 * Reads what `explain` prints as a person would, and computes it: the printed equations are carried out step by step, forward and
 * backward, on plain arrays. Whatever is printed wrong, left out or in the wrong order gives other numbers.
 */

/** A number, a vector, or a matrix (of rows). */
export type Value = number | number[] | number[][];
type Scope = Map<string, Value>;

export interface Printed {
  readonly sizes: ReadonlyMap<string, number>;
  readonly forward: Sections;
  readonly backward: Sections;
}
export interface Sections {
  readonly before: readonly Equation[];
  readonly inside: readonly Equation[];
  readonly after: readonly Equation[];
}
export interface Equation {
  readonly left: string;
  readonly right: string;
  readonly shape: string;
}

/** The sections of an explanation. */
export function read(text: string): Printed {
  const rows = text.split("\n");
  const sizes = new Map([...rows[1]!.matchAll(/(\w) = (\d+)/g)].map(([, letter, size]) => [letter!, Number(size)]));
  const part = (title: string, name: string): Equation[] => {
    const start = rows.findIndex((row) => row.startsWith(title));
    const from = rows.findIndex((row, i) => i > start && row.startsWith(`  ${name}`));
    const equations: Equation[] = [];
    for (const row of rows.slice(from + 1)) {
      if (!row.startsWith("    ")) break;
      const [, left = "", right = "", shape = ""] = /^ {4}(?:(\S+) += )?(.*?)(?: {2,}(\[[^\]]*\]))?$/.exec(row)!;
      if (!left && !shape)
        equations.push({ ...equations.pop()!, right: `${equations.at(-1)?.right ?? ""} ${row.trim()}` });
      else equations.push({ left, right: right.trim(), shape });
    }
    return equations;
  };
  const sections = (title: string): Sections => ({
    before: part(title, "before the loop"),
    inside: part(title, "inside"),
    after: part(title, "after the loop"),
  });
  return { sizes, forward: sections("FORWARD"), backward: sections("BACKWARD") };
}

export interface Run {
  /** [T][N] vectors. */
  readonly x: readonly (readonly number[][])[];
  readonly dy: readonly (readonly number[][])[];
  /** By state, [N] vectors. */
  readonly initial: Readonly<Record<string, readonly number[][]>>;
  readonly parameters: Readonly<Record<string, Value>>;
  readonly output: string;
}

export interface Computed {
  /** [T][N]. */
  readonly output: number[][][];
  readonly gradients: ReadonlyMap<string, Value | number[][][]>;
}

/** Carries the equations out. */
export function compute(printed: Printed, { x, dy, initial, parameters, output }: Run): Computed {
  const states = Object.keys(initial);
  const [T, N] = [x.length, x[0]!.length];
  const outer: Scope = new Map(Object.entries(parameters));
  const scopes: Scope[][] = [];
  const outputs: number[][][] = [];
  for (let t = 0; t < T; t++) {
    scopes.push([]);
    outputs.push([]);
    for (let n = 0; n < N; n++) {
      const scope: Scope = new Map([...outer, ["x", [...x[t]![n]!]]]);
      for (const state of states)
        scope.set(state, t === 0 ? [...initial[state]![n]!] : scopes[t - 1]![n]!.get(`${state}′`)!);
      for (const equation of [...printed.forward.before, ...printed.forward.inside, ...printed.forward.after])
        if (equation.left) scope.set(equation.left, evaluate(equation, scope, printed.sizes));
      scopes[t]!.push(scope);
      outputs[t]!.push(scope.get(`${output}′`) as number[]);
    }
  }
  for (let t = T - 1; t >= 0; t--)
    for (let n = 0; n < N; n++) {
      const scope = scopes[t]![n]!;
      scope.set("dy", [...dy[t]![n]!]);
      for (const state of states) {
        const later = scopes[t + 1]?.[n]?.get(`d${state}`);
        scope.set(`d${state}ₜ₊₁`, later ?? (scope.get(state) as number[]).map(() => 0));
      }
      for (const equation of [...printed.backward.before, ...printed.backward.inside])
        if (equation.left && !equation.right.includes("Σₜ"))
          scope.set(equation.left, evaluate(equation, scope, printed.sizes));
    }
  const all = scopes.flat();
  const gradients = new Map<string, Value | number[][][]>();
  for (const equation of [...printed.backward.inside, ...printed.backward.after]) {
    const { left, right } = equation;
    if (right.includes("Σₜ")) {
      const value = evaluate(equation, all[0]!, printed.sizes, all);
      for (const scope of all) scope.set(left, value);
      const rows = /^(.+)\[\d*[A-Z]?:.*\]$/.exec(left);
      if (rows) gradients.set(rows[1]!, [...((gradients.get(rows[1]!) as number[][]) ?? []), ...(value as number[][])]);
      else gradients.set(left, value);
    } else {
      for (const scope of all) scope.set(left, evaluate(equation, scope, printed.sizes));
      const perStep = /^\[(T, )?N/.test(equation.shape);
      const values = scopes.map((step) => step.map((scope) => scope.get(left) as number[]));
      gradients.set(left, perStep ? values : values[0]![0]!);
    }
  }
  return { output: outputs, gradients };
}

// ── formulas

/** The value of a formula. `all`: what Σₜ runs over. */
function evaluate(
  { right: text, shape }: Equation,
  scope: Scope,
  sizes: ReadonlyMap<string, number>,
  all: readonly Scope[] = [],
): Value {
  const tokens = text.match(/Σₜ|Σⱼ|log softmax|d?[A-Za-zδσ][\w′₀-₉ₜ₊]*|\d+(?:\.\d+)?(?:e−?\d+)?[A-Z]?|[^\s]/gu) ?? [];
  let at = 0;
  const peek = (): string | undefined => tokens[at];
  const take = (expected?: string): string => {
    const token = tokens[at++];
    if (token === undefined || (expected !== undefined && token !== expected))
      throw new Error(`${text}: ${token} where ${expected ?? "something"} should be`);
    return token;
  };
  const size = (token: string): number => {
    const [, count, letter] = /^(\d*)([A-Z]?)$/.exec(token)!;
    return letter ? Number(count || 1) * sizes.get(letter)! : Number(count);
  };

  /** Columns of the result, where a zero has to fill up what is left. */
  const columns = size(/(\w+)\]$/.exec(shape)?.[1] ?? "0");

  const comparison = (here: Scope): Value => {
    const left = sum(here);
    const sign = peek();
    if (!sign || !"<>≤≥=≠".includes(sign)) return left;
    take();
    const tests: Record<string, (a: number, b: number) => boolean> = {
      "<": (a, b) => a < b,
      ">": (a, b) => a > b,
      "≤": (a, b) => a <= b,
      "≥": (a, b) => a >= b,
      "=": (a, b) => a === b,
      "≠": (a, b) => a !== b,
    };
    const right = sum(here);
    if (peek() !== "?") return zip(left, right, (a, b) => (tests[sign]!(a, b) ? 1 : 0));
    take("?");
    const yes = sum(here);
    take(":");
    const no = sum(here);
    const holds = zip(left, right, (a, b) => (tests[sign]!(a, b) ? 1 : 0));
    return zip(
      zip(holds, yes, (c, v) => c * v),
      zip(holds, no, (c, v) => (1 - c) * v),
      (a, b) => a + b,
    );
  };
  const sum = (here: Scope): Value => {
    let value = term(here);
    for (let sign = peek(); sign === "+" || sign === "−"; sign = peek()) {
      take();
      const next = term(here);
      value = zip(value, next, sign === "+" ? (a, b) => a + b : (a, b) => a - b);
    }
    return value;
  };
  const term = (here: Scope): Value => {
    if (peek() === "−") {
      take();
      return map(hadamard(here), (a) => -a);
    }
    if (peek() === "Σⱼ") {
      take();
      return (hadamard(here) as number[]).reduce((total, each) => total + each, 0);
    }
    if (peek() !== "Σₜ") return hadamard(here);
    take();
    if (all.length === 0) throw new Error(`${text}: a sum over time inside a step`);
    const start = at;
    return all
      .map((each) => {
        at = start;
        return hadamard(each);
      })
      .reduce((total, each) => zip(total, each, (a, b) => a + b));
  };
  const hadamard = (here: Scope): Value => {
    let value = product(here);
    for (let sign = peek(); sign === "∘" || sign === "/"; sign = peek()) {
      take();
      const next = product(here);
      value = zip(value, next, sign === "∘" ? (a, b) => a * b : (a, b) => a / b);
    }
    return value;
  };
  const product = (here: Scope): Value => {
    let value = postfix(here);
    while (peek() === "·") {
      take();
      value = times(value, postfix(here));
    }
    return value;
  };
  const postfix = (here: Scope): Value => {
    let value = atom(here);
    for (;;) {
      if (peek() === "ᵀ") {
        take();
        value = transposed(value);
      } else if (peek() === "²") {
        take();
        value = map(value, (a) => a * a);
      } else if (peek() === "[" && isRange()) {
        take("[");
        const columns = peek() === ":" && tokens[at + 1] === ",";
        if (columns) at += 2;
        const from = size(take());
        take(":");
        const to = size(take());
        take("]");
        value = columns ? (value as number[][]).map((row) => row.slice(from, to)) : (value as number[]).slice(from, to);
      } else return value;
    }
  };
  const isRange = (): boolean => tokens[at + 2] === ":" || (tokens[at + 1] === ":" && tokens[at + 2] === ",");
  const atom = (here: Scope): Value => {
    const token = take();
    if (token === "(") {
      const value = comparison(here);
      take(")");
      return value;
    }
    if (token === "[") {
      const parts = [comparison(here)];
      while (peek() === ",") {
        take();
        parts.push(comparison(here));
      }
      take("]");
      return parts.length === 1 ? parts[0]! : together(parts, columns);
    }
    if (token === "√") return map(postfix(here), Math.sqrt);
    if (token === "|") {
      const value = sum(here);
      take("|");
      return map(value, Math.abs);
    }
    if (peek() === "(" && token in functions) {
      take("(");
      const args = [comparison(here)];
      while (peek() === ",") {
        take();
        args.push(comparison(here));
      }
      take(")");
      return functions[token]!(...args);
    }
    if (/^\d/.test(token)) return /[A-Z]$/.test(token) ? size(token) : Number(token.replace("−", "-"));
    const value = here.get(token) ?? (sizes.has(token) ? sizes.get(token) : undefined);
    if (value === undefined) throw new Error(`${text}: ${token} is not known yet`);
    return value;
  };
  const value = comparison(scope);
  if (at !== tokens.length) throw new Error(`${text}: ${tokens.slice(at).join(" ")} is left over`);
  return value;
}

/** Vectors one above the other, matrices side by side; one zero among them takes what is left of `columns`. */
function together(parts: readonly Value[], columns: number): Value {
  const widthOf = (part: Value): number =>
    typeof part === "number" ? 0 : typeof part[0] === "number" ? part.length : (part[0] as number[]).length;
  const missing = columns - parts.reduce((sum: number, part) => sum + widthOf(part), 0);
  const matrix = parts.find((part) => typeof part !== "number" && typeof part[0] !== "number") as
    | number[][]
    | undefined;
  const filled = (part: Value): number[] =>
    typeof part === "number" ? new Array<number>(missing).fill(part) : (part as number[]);
  if (!matrix) return parts.flatMap(filled);
  return matrix.map((_, r) =>
    parts.flatMap((part) => (typeof part === "number" ? filled(part) : (part as number[][])[r]!)),
  );
}

const functions: Record<string, (...args: Value[]) => Value> = {
  σ: (a) => map(a!, (x) => 1 / (1 + Math.exp(-x))),
  tanh: (a) => map(a!, Math.tanh),
  exp: (a) => map(a!, Math.exp),
  log: (a) => map(a!, Math.log),
  max: (a, b) => (b === undefined ? Math.max(...(a as number[])) : zip(a!, b, Math.max)),
  min: (a, b) => zip(a!, b!, Math.min),
  mean: (a) => (a as number[]).reduce((total, each) => total + each, 0) / (a as number[]).length,
  softmax: (a) => {
    const powers = (a as number[]).map(Math.exp);
    const total = powers.reduce((sum, each) => sum + each, 0);
    return powers.map((each) => each / total);
  },
};

function map(value: Value, of: (a: number) => number): Value {
  if (typeof value === "number") return of(value);
  return (value as (number | number[])[]).map((each) => map(each, of)) as Value;
}

function zip(a: Value, b: Value, of: (a: number, b: number) => number): Value {
  if (typeof a === "number" && typeof b === "number") return of(a, b);
  if (typeof a === "number") return map(b, (each) => of(a, each));
  if (typeof b === "number") return map(a, (each) => of(each, b));
  const [left, right] = [a as Value[], b as Value[]];
  if (left.length === 1 && right.length > 1) return right.map((each) => zip(left[0]!, each, of)) as Value;
  if (right.length === 1 && left.length > 1) return left.map((each) => zip(each, right[0]!, of)) as Value;
  if (left.length !== right.length) throw new Error(`${left.length} elements beside ${right.length}`);
  return left.map((each, i) => zip(each, right[i]!, of)) as Value;
}

/** A vector counts as a column; turned round it is a matrix of one row. */
function transposed(value: Value): Value {
  if (typeof value === "number") return value;
  if (typeof value[0] === "number") return [value as number[]];
  const rows = value as number[][];
  return rows[0]!.map((_, c) => rows.map((row) => row[c]!));
}

function times(a: Value, b: Value): Value {
  if (typeof a === "number") return map(b, (each) => a * each);
  if (typeof b === "number") return map(a, (each) => each * b);
  const isMatrix = (value: Value): value is number[][] => Array.isArray((value as number[][])[0]);
  const left = isMatrix(a) ? a : (a as number[]).map((each) => [each]);
  const right = isMatrix(b) ? b : (b as number[]).map((each) => [each]);
  if (left[0]!.length !== right.length) throw new Error(`inner sizes ${left[0]!.length} and ${right.length}`);
  const result = left.map((row) =>
    right[0]!.map((_, c) => row.reduce((sum, each, k) => sum + each * right[k]![c]!, 0)),
  );
  return isMatrix(b) ? result : result.map((row) => row[0]!);
}
