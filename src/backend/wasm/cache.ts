/**
 * What lowering and emission have made, by what it was made of: a second trainer of the same shapes only traces, and has its own
 * variables in a program that is there already. The last few are kept.
 */
import { remember } from "../../graph/maps.js";
import type { ProgramOptions } from "../../program/lower.js";
import type { Program, Variable } from "../../program/program.js";
import { onVariables, structureOf } from "../../program/structure.js";
import { type EmittedModule, emitProgram, type ModuleRequest } from "./module.js";

export interface Lowered {
  /** One for each worker; equal ones are the same object. */
  readonly programs: readonly Program[];
  /** As `emitProgram`, for these programs. */
  readonly emit?: (request: ModuleRequest) => EmittedModule;
}

/** Code, and where it expects the constants that it loads. */
interface Emitted {
  readonly emitted: EmittedModule;
  readonly constants: readonly (readonly [bits: number, address: number])[];
}

interface Known {
  readonly programs: readonly Program[];
  readonly variables: readonly Variable[];
  /** By the rows that the program is for, and the addresses of its variables. */
  readonly emitted: Map<string, Emitted>;
}

const lowered = new Map<string, Known>();
const PROGRAMS_KEPT = 16;

/** `make` where there is no program of the same structure and `settings`; of many the one not asked for longest is forgotten. */
export function lowerOnce(source: ProgramOptions, settings: unknown, make: () => readonly Program[]): Lowered {
  const { key, variables } = structureOf(source, settings);
  let known = lowered.get(key);
  if (!known) {
    // Without what they hold: the cache is no reason to keep a model's weights.
    const bare = variables.map((variable) => ({ ...variable, initial: [] }));
    known = { variables: bare, programs: onVariables(make(), variables, bare), emitted: new Map() };
  }
  remember(lowered, key, known, PROGRAMS_KEPT);
  const { emitted } = known;
  return {
    programs: onVariables(known.programs, known.variables, variables),
    emit: (request) => emitOnce(request, emitted),
  };
}

function emitOnce(request: ModuleRequest, known: Map<string, Emitted>): EmittedModule {
  const { program, constantAddress, variableAddress } = request;
  const places = program.buffers.map(({ variable }) => variable && variableAddress(variable));
  const key = [program.shard?.rows, ...places].join();
  const before = known.get(key);
  if (before?.constants.every(([bits, address]) => constantAddress(bits) === address)) return before.emitted;
  const constants = new Map<number, number>();
  const emitted = emitProgram({
    ...request,
    constantAddress(bits) {
      const address = constantAddress(bits);
      constants.set(bits, address);
      return address;
    },
  });
  remember(known, key, { emitted, constants: [...constants] }, PLACES_KEPT);
  return emitted;
}

/** Trainers of one shape have their variables in the same places; others, such as a predictor's, are few. */
const PLACES_KEPT = 4;
