/**
 * Dispatches of one text made one, where none needs what another of them does: a device with little to do in each waits less. A
 * dispatch goes as far ahead as what it reads and writes allows.
 */
import type { Dispatch, Planned } from "./dispatch.js";
import { conflict, type Span } from "./span.js";
import { gridOf, joinedParameters, joinedShader } from "./wgsl/source.js";

/** What is planned, with all that it reads and writes. */
export interface Spanning {
  readonly planned: Planned;
  readonly spans: readonly Span[];
}

interface Group {
  readonly members: Planned[];
  readonly spans: Span[];
}

/** Dispatches that have more to do on their own gain nothing. */
const MOST_WORKGROUPS = 2048;
/** Of one dispatch. */
const MOST_MEMBERS = 64;

const dependent = (one: readonly Span[], other: readonly Span[]): boolean =>
  one.some((a) => other.some((b) => conflict(a, b)));
const workgroupsOf = ({ workgroups: [x, y, z] }: Dispatch): number => x * y * z;

/** The same work in fewer dispatches. */
export function joined(list: readonly Spanning[]): Planned[] {
  const groups: Group[] = [];
  for (const { planned, spans } of list) {
    const group = "loop" in planned ? undefined : groupFor(planned, spans, groups);
    if (group) {
      group.members.push(planned);
      group.spans.push(...spans);
    } else groups.push({ members: [planned], spans: [...spans] });
  }
  return groups.map(({ members }) => (members.length === 1 ? members[0]! : together(members as Dispatch[])));
}

/** The first group that it can go ahead to: so the pieces of two loops meet in pairs. */
function groupFor(dispatch: Dispatch, spans: readonly Span[], groups: readonly Group[]): Group | undefined {
  if (workgroupsOf(dispatch) > MOST_WORKGROUPS) return undefined;
  let found: Group | undefined;
  for (const group of [...groups].reverse()) {
    if (dependent(spans, group.spans)) break;
    const [first] = group.members;
    if (!("loop" in first!) && first!.code === dispatch.code && group.members.length < MOST_MEMBERS) found = group;
  }
  return found;
}

function together(members: readonly Dispatch[]): Dispatch {
  const [first] = members as [Dispatch];
  const count = members.reduce((sum, member) => sum + workgroupsOf(member), 0);
  const parameters = joinedParameters(members.map((member) => [member.parameters, workgroupsOf(member)]));
  return {
    label: [...new Set(members.map(({ label }) => label))].join(" + "),
    how: `${members.length} together: ${first.how}`,
    code: joinedShader(first.code, first.parameters.length, parameters.length),
    workgroups: gridOf(count),
    parameters,
    ...(first.steps === undefined ? {} : { steps: first.steps }),
  };
}
