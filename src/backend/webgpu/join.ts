/**
 * Dispatches of one text made one, where none needs what another of them does: a device with little to do in each waits less. A
 * dispatch goes as far ahead as what it reads and writes allows.
 */
import type { Dispatch, Planned } from "./dispatch.js";
import { gridOf, joinedParameters, joinedShader } from "./wgsl/source.js";

/** Elements from one to another (exclusive) of a space that a dispatch reads or writes. */
export interface Touch {
  readonly space: string;
  readonly from: number;
  readonly to: number;
  readonly writes: boolean;
}

export interface Touching {
  readonly planned: Planned;
  readonly touches: readonly Touch[];
}

interface Group {
  readonly members: Planned[];
  readonly touches: Touch[];
}

/** Dispatches that have more to do on their own gain nothing. */
const MOST_WORKGROUPS = 2048;
/** Of one dispatch. */
const MOST_MEMBERS = 64;

const meet = (a: Touch, b: Touch): boolean =>
  (a.writes || b.writes) && a.space === b.space && a.from < b.to && b.from < a.to;
const dependent = (one: readonly Touch[], other: readonly Touch[]): boolean =>
  one.some((a) => other.some((b) => meet(a, b)));
const workgroupsOf = ({ workgroups: [x, y, z] }: Dispatch): number => x * y * z;

/** The same work in fewer dispatches. */
export function joined(list: readonly Touching[]): Planned[] {
  const groups: Group[] = [];
  for (const { planned, touches } of list) {
    const group = "loop" in planned ? undefined : groupFor(planned, touches, groups);
    if (group) {
      group.members.push(planned);
      group.touches.push(...touches);
    } else groups.push({ members: [planned], touches: [...touches] });
  }
  return groups.map(({ members }) => (members.length === 1 ? members[0]! : together(members as Dispatch[])));
}

function groupFor(dispatch: Dispatch, touches: readonly Touch[], groups: readonly Group[]): Group | undefined {
  if (workgroupsOf(dispatch) > MOST_WORKGROUPS) return undefined;
  for (const group of [...groups].reverse()) {
    if (dependent(touches, group.touches)) return undefined;
    const [first] = group.members;
    if (!("loop" in first!) && first!.code === dispatch.code && group.members.length < MOST_MEMBERS) return group;
  }
  return undefined;
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
  };
}
