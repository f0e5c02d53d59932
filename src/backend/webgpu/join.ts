/**
 * Dispatches of one text made one, where none needs what another of them does: a device with little to do in each waits less. A
 * dispatch goes as far ahead as what it reads and writes allows.
 */
import type { Dispatch, Planned, PlannedKernel, RepeatedDispatches } from "./dispatch.js";
import { conflict, type Span } from "./span.js";
import { gridOf, joinedParameters, textOf } from "./wgsl/source.js";

/** What is planned, with all that it reads and writes. */
export interface Spanning {
  readonly planned: PlannedKernel | RepeatedDispatches;
  readonly spans: readonly Span[];
}

/** Dispatches of one text; none of a loop that goes step by step. */
interface Group {
  readonly text: string | undefined;
  readonly planned: Spanning["planned"];
  readonly members: PlannedKernel[];
  readonly spans: Span[];
}

/** Dispatches that have more to do on their own gain nothing. */
const MOST_WORKGROUPS = 2048;
/** Of one dispatch. */
const MOST_MEMBERS = 64;

const dependent = (one: readonly Span[], other: readonly Span[]): boolean =>
  one.some((a) => other.some((b) => conflict(a, b)));
const workgroupsOf = ({ workgroups: [x, y, z] }: PlannedKernel): number => x * y * z;

/** The same work in fewer dispatches. */
export function joined(list: readonly Spanning[]): Planned[] {
  const groups: Group[] = [];
  for (const { planned, spans } of list) {
    if ("loop" in planned) {
      groups.push({ text: undefined, planned, members: [], spans: [...spans] });
      continue;
    }
    const text = textOf(planned.code);
    const group = workgroupsOf(planned) > MOST_WORKGROUPS ? undefined : groupFor(text, spans, groups);
    if (group) {
      group.members.push(planned);
      group.spans.push(...spans);
    } else groups.push({ text, planned, members: [planned], spans: [...spans] });
  }
  return groups.map(({ planned, members }) => ("loop" in planned ? planned : together(members)));
}

/** The first group that it can go ahead to: so the pieces of two loops meet in pairs. */
function groupFor(text: string, spans: readonly Span[], groups: readonly Group[]): Group | undefined {
  let found: Group | undefined;
  for (const group of [...groups].reverse()) {
    if (dependent(spans, group.spans)) break;
    if (group.text === text && group.members.length < MOST_MEMBERS) found = group;
  }
  return found;
}

/** A dispatch by itself. */
export const single = (dispatch: PlannedKernel): Dispatch => ({ ...dispatch, code: textOf(dispatch.code) });

function together(members: readonly PlannedKernel[]): Dispatch {
  const [first, ...others] = members as [PlannedKernel, ...PlannedKernel[]];
  if (others.length === 0) return single(first);
  const count = members.reduce((sum, member) => sum + workgroupsOf(member), 0);
  const parameters = joinedParameters(members.map((member) => [member.parameters, workgroupsOf(member)]));
  return {
    label: [...new Set(members.map(({ label }) => label))].join(" + "),
    how: `${members.length} together: ${first.how}`,
    code: textOf(first.code, parameters.length),
    workgroups: gridOf(count),
    parameters,
  };
}
