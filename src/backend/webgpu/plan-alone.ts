/** The plan of a program that no device is to run: to be looked at. */
import { lower, type ProgramOptions } from "../../program/lower.js";
import { throughput } from "../../program/throughput.js";
import type { DeviceLimits, Plan } from "./dispatch.js";
import { aligned } from "./memory.js";
import { planProgram } from "./plan.js";
import type { Place, Space } from "./wgsl/source.js";

export function planAlone(options: ProgramOptions, limits: DeviceLimits): Plan {
  const program = lower(options, throughput);
  const used: Record<Space, number> = { variables: 0, temporaries: program.plan.size, indices: 0, halves: 0 };
  const places = new Map<number, Place>();
  for (const { id, type, size, variable } of program.buffers) {
    const planned = program.plan.offsets.get(id);
    const space = type === "index" ? "indices" : variable ? "variables" : "temporaries";
    if (space === "temporaries" && planned !== undefined) places.set(id, { space, offset: planned });
    else {
      places.set(id, { space, offset: used[space] });
      used[space] += aligned(size);
    }
  }
  return planProgram({
    program,
    flag: used.indices,
    locate: (id) => places.get(id)!,
    scratchOffset: used.temporaries,
    limits,
  });
}
