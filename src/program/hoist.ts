/**
 * What a program computes from its constants alone, apart from the rest: a program that runs again and again on the same
 * weights transposes them once, not every time.
 */
import { type Variable, variable } from "../graph/variable.js";
import { planMemory, readGuard } from "./passes/plan.js";
import { type Buffer, type Program, reads, type Statement, writes } from "./program.js";

export interface Hoisted {
  /** To be run first, and again when a constant has changed; undefined where nothing depends on constants alone. */
  readonly prepare: Program | undefined;
  readonly run: Program;
}

/** `isConstant`: variables that keep their values from run to run. */
export function hoist(program: Program, isConstant: (variable: Variable) => boolean): Hoisted {
  const { buffers, compute, guards, commit } = program;
  const early = constantStatements(program, isConstant);
  if (early.size === 0) return { prepare: undefined, run: program };
  const late = compute.filter((statement) => !early.has(statement));
  const written = new Set([...early].flatMap((statement) => touched(statement, writes)));
  const checks = guards.map(readGuard);
  const wanted = new Set([...late, ...checks, ...commit].flatMap((statement) => touched(statement, reads)));
  // What the rest reads stays in memory of its own.
  const kept = buffers.map((buffer): Buffer => {
    if (!written.has(buffer.id) || !wanted.has(buffer.id)) return buffer;
    return { ...buffer, kind: "variable", variable: variable(buffer.name, [buffer.size], buffer.type) };
  });
  const part = (name: string, compute: readonly Statement[], rest?: Pick<Program, "guards" | "commit">): Program => ({
    name,
    buffers: kept,
    compute,
    guards: [],
    commit: [],
    ...rest,
    plan: planMemory(kept, [...compute, ...(rest ? [...checks, ...rest.commit] : [])]),
  });
  return {
    prepare: part(`${program.name}: constants`, [...early]),
    run: part(program.name, late, { guards, commit }),
  };
}

/** The buffers that a statement reads or writes. */
const touched = (statement: Statement, views: typeof reads): number[] =>
  (statement.kind === "loop" ? statement.body : [statement]).flatMap((kernel) =>
    views(kernel).map(({ buffer }) => buffer),
  );

/** Statements that read constants and what such statements have written, nothing else; what they write, no other one writes. */
function constantStatements({ buffers, compute, commit }: Program, isConstant: (variable: Variable) => boolean) {
  const all = [...compute, ...commit];
  const writers = new Map<number, Statement[]>();
  for (const statement of all)
    for (const buffer of touched(statement, writes)) writers.set(buffer, [...(writers.get(buffer) ?? []), statement]);
  const byId = new Map(buffers.map((buffer) => [buffer.id, buffer]));
  const isAlone = (statement: Statement, id: number): boolean =>
    byId.get(id)!.kind === "temporary" && writers.get(id)!.every((writer) => writer === statement);
  const found = new Set<Statement>();
  for (const statement of compute) {
    if (statement.kind === "loop") continue;
    const steady = touched(statement, reads).every((id) => {
      const { variable: source } = byId.get(id)!;
      return source ? isConstant(source) && !writers.has(id) : writers.get(id)?.every((writer) => found.has(writer));
    });
    if (steady && touched(statement, writes).every((id) => isAlone(statement, id))) found.add(statement);
  }
  return found;
}
