/**
 * Chains that write over what they read: where a value dies in the chain that makes another of the same shape, both get the
 * same memory. So the gates of a cell lie where the part from its inputs lay, and their gradients where the gates lay: less
 * memory, and no line is fetched only to be overwritten.
 *
 * Buffers are seen as matrices; one becomes a range of the columns of another (its host) with as many rows.
 */
import { listed } from "../../graph/maps.js";
import {
  type Buffer,
  type Chain,
  type Kernel,
  kernelsIn,
  reads,
  type Statement,
  type View,
  writes,
} from "../program.js";
import { withViews } from "../views.js";

/** A view as rows and columns of its buffer, or of that one's host. */
interface Area {
  readonly firstRow: number;
  readonly rows: number;
  readonly rowStride: number;
  readonly rowStep: number;
  readonly from: number;
  readonly to: number;
}

/** A view at the place where a kernel reads or writes it. */
interface Touch extends Area {
  /** Number of the statement, and of the kernel within a loop. */
  readonly statement: number;
  readonly inner: number;
  readonly writes: boolean;
}

/** Views other than those of a plain matrix have none. */
interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly touches: Touch[];
  /** The first statement that touches it. */
  since: number;
}

/**
 * The same statements with buffers of kind "temporary" put onto one another. `early`: older values may take their places in a wider
 * new one that they do not fill, which is then there from the first of them on.
 */
export function inPlace(buffers: readonly Buffer[], statements: readonly Statement[], early = true): Statement[] {
  const matrices = matricesOf(buffers, statements);
  const hosts = new Map<number, { readonly host: number; readonly start: number }>();
  const resolve = (buffer: number): { readonly host: number; readonly start: number } => {
    const home = hosts.get(buffer);
    if (!home) return { host: buffer, start: 0 };
    const { host, start } = resolve(home.host);
    return { host, start: start + home.start };
  };
  const settle = (guest: number, host: number, start: number): void => {
    const [from, to] = [matrices.get(guest)!, matrices.get(host)!];
    for (const touch of from.touches) to.touches.push({ ...touch, from: touch.from + start, to: touch.to + start });
    to.since = Math.min(to.since, from.since);
    hosts.set(guest, { host, start });
  };

  /** Host and first column of a view; undefined where it is no part of a matrix. */
  const columnsOf = (
    view: View,
  ): { readonly host: number; readonly from: number; readonly width: number } | undefined => {
    const matrix = matrices.get(view.buffer);
    if (!matrix) return undefined;
    const { host, start } = resolve(view.buffer);
    return { host, from: (view.offset % matrix.columns) + start, width: matrices.get(host)!.columns };
  };
  const visit = (kernel: Kernel, at: Moment): void => {
    if (kernel.kind !== "chain") return;
    const places = kernel.loads.map(columnsOf);
    const pairs = kernel.stores.flatMap(({ value, to }) => {
      const young = columnsOf(to);
      const operands = operandsOf(kernel, value);
      return kernel.loads.flatMap((from, load): Pair[] => {
        const old = places[load];
        if (!young || !old || from.rows !== to.rows || from.columns !== to.columns) return [];
        const overlap = Math.min(old.width, young.width);
        return [{ from, to, overlap, isOperand: operands.has(load), since: matrices.get(old.host)!.since }];
      });
    });
    // What covers the most comes first (all gates with all their gradients, before anything lies on one of them), then what
    // has lived longest, then what the value is made of: the rest may still be wanted when it is stored.
    const guests = new Map<number, Pair[]>();
    for (const pair of pairs.sort(
      (a, b) => b.overlap - a.overlap || a.since - b.since || Number(b.isOperand) - Number(a.isOperand),
    )) {
      const meeting = meetingOf(pair, at);
      if (!meeting) continue;
      const { old, young, shift } = meeting;
      if (shift >= 0 && young.width + shift <= old.width) settle(young.host, old.host, shift);
      else listed(guests, young.host, pair);
    }
    for (const candidates of guests.values()) takeIn(candidates, at);
  };
  /** Where both would lie; undefined where they may not. */
  const meetingOf = ({ from, to }: Pair, at: Moment) => {
    const [old, young] = [columnsOf(from)!, columnsOf(to)!];
    if (old.host === young.host || buffers[old.host]!.half !== buffers[young.host]!.half) return undefined;
    const shift = old.from - young.from;
    return fits(matrices.get(old.host)!, matrices.get(young.host)!, shift, at) ? { old, young, shift } : undefined;
  };
  /**
   * Older values take their places in a wider new one, which is there from the first of them on: where they do not fill it,
   * only those do that no other loop lies behind, which could have used the memory.
   */
  const takeIn = (candidates: readonly Pair[], at: Moment): void => {
    const chosen: Pair[] = [];
    for (const pair of candidates)
      if (meetingOf(pair, at) && !chosen.some(({ from, to }) => from.buffer === pair.from.buffer || to === pair.to))
        chosen.push(pair);
    const filled = chosen.reduce((sum, { from }) => sum + columnsOf(from)!.width, 0);
    const isFull = filled === columnsOf(candidates[0]!.to)!.width;
    const isNear = ({ since }: Pair): boolean =>
      early && !statements.slice(since + 1, at.statement).some(({ kind }) => kind === "loop");
    for (const pair of chosen) {
      const meeting = isFull || isNear(pair) ? meetingOf(pair, at) : undefined;
      if (meeting) settle(meeting.old.host, meeting.young.host, -meeting.shift);
    }
  };
  eachKernel(statements, visit);

  const place = (view: View): View => {
    const { host, start } = resolve(view.buffer);
    // A single row is written in one way, so that equal views are seen to be equal.
    if (host === view.buffer) return view.rows === 1 && matrices.has(host) ? { ...view, stride: view.columns } : view;
    const [old, wide] = [matrices.get(view.buffer)!.columns, matrices.get(host)!.columns];
    const scaled = (elements: number): number => (elements / old) * wide;
    const column = view.offset % old;
    return {
      ...view,
      buffer: host,
      offset: scaled(view.offset - column) + column + start,
      stride: view.rows === 1 ? view.columns : scaled(view.stride),
      step: scaled(view.step),
    };
  };
  return statements.map((statement) =>
    statement.kind === "loop"
      ? { ...statement, body: statement.body.map((kernel) => withViews(kernel, place)) }
      : withViews(statement, place),
  );
}

/** A load of a chain and a store of the same shape. */
interface Pair {
  readonly from: View;
  readonly to: View;
  /** Columns that would lie on one another. */
  readonly overlap: number;
  /** Whether what is stored is made of what is loaded. */
  readonly isOperand: boolean;
  /** The statement that first touches what is loaded. */
  readonly since: number;
}

/** What a value is made of: loads and instructions, by their numbers. */
function operandsOf({ loads, code }: Chain, value: number): Set<number> {
  const operands = new Set([value]);
  for (const operand of operands) {
    const instruction = code[operand - loads.length];
    if (instruction && "args" in instruction) instruction.args.forEach(operands.add, operands);
  }
  return operands;
}

interface Moment {
  readonly statement: number;
  readonly inner: number;
  readonly inLoop: boolean;
}

function eachKernel(statements: readonly Statement[], visit: (kernel: Kernel, at: Moment) => void): void {
  for (const [i, statement] of statements.entries())
    for (const [inner, kernel] of kernelsIn(statement).entries())
      visit(kernel, { statement: i, inner, inLoop: statement.kind === "loop" });
}

/**
 * Whether `young`, moved `shift` columns to the right, may lie on `old`: where they overlap, everything done to `old` comes
 * before the chain at `at` or is a load of it, and everything done to `young` comes after it or is a store of it.
 */
function fits(old: Matrix, young: Matrix, shift: number, at: Moment): boolean {
  const youngInOld = shift >= 0 && young.columns + shift <= old.columns;
  const oldInYoung = shift <= 0 && old.columns - shift <= young.columns;
  if (old.rows !== young.rows || !(youngInOld || oldInYoung)) return false;
  const isHere = (touch: Touch): boolean => touch.statement === at.statement && touch.inner === at.inner;
  const meetsOld = ({ from, to }: Touch): boolean => from + shift < old.columns && to + shift > 0;
  const meetsYoung = ({ from, to }: Touch): boolean => from < young.columns + shift && to > shift;
  const one = young.touches.find((touch) => isHere(touch) && meetsOld(touch));
  if (!one) return false;
  const sameRows = (touch: Touch): boolean =>
    touch.firstRow === one.firstRow &&
    touch.rows === one.rows &&
    touch.rowStride === one.rowStride &&
    touch.rowStep === one.rowStep;
  // What has no steps is made anew in each step of a loop: nothing of it comes from before, or is wanted afterwards.
  const isLocal = at.inLoop && one.rowStep === 0;
  if (at.inLoop && !isLocal && one.rows * one.rowStride > one.rowStep) return false;
  const stores: Touch[] = [];
  for (const touch of young.touches) {
    if (!meetsOld(touch)) continue;
    if (touch.statement < at.statement || (isLocal && touch.statement > at.statement)) return false;
    if (touch.statement > at.statement) continue;
    if (touch.inner < at.inner || !sameRows(touch)) return false;
    if (!isHere(touch)) continue;
    if (!touch.writes) return false;
    stores.push(touch);
  }
  const isMade = (read: Touch): boolean =>
    old.touches.some((made) => made.writes && made.inner < read.inner && made.from <= read.from && made.to >= read.to);
  for (const touch of old.touches) {
    if (!meetsYoung(touch)) continue;
    if (touch.statement > at.statement || (isLocal && touch.statement < at.statement)) return false;
    if (touch.statement < at.statement) continue;
    if (touch.inner > at.inner || !sameRows(touch) || (isLocal && !touch.writes && !isMade(touch))) return false;
    if (!isHere(touch)) continue;
    if (touch.writes) return false;
    for (const { from, to } of stores) {
      const exact = touch.from === from + shift && touch.to === to + shift;
      if (!exact && touch.from < to + shift && from + shift < touch.to) return false;
    }
  }
  return true;
}

/** The temporaries that are matrices in all their views, with every touch of them. */
function matricesOf(buffers: readonly Buffer[], statements: readonly Statement[]): Map<number, Matrix> {
  const seen = new Map<number, { readonly view: View; readonly at: Moment; readonly writes: boolean }[]>();
  eachKernel(statements, (kernel, at) => {
    const note = (view: View, written: boolean): void => {
      const { kind, type } = buffers[view.buffer]!;
      if (kind === "temporary" && type === "float") listed(seen, view.buffer, { view, at, writes: written });
    };
    for (const view of reads(kernel)) note(view, false);
    for (const view of writes(kernel)) note(view, true);
  });
  const matrices = new Map<number, Matrix>();
  for (const [id, uses] of seen) {
    const { size } = buffers[id]!;
    let columns = size;
    for (const { view } of uses) {
      if (view.rows > 1) columns = Math.min(columns, view.stride);
      else if (view.step !== 0) columns = Math.min(columns, view.step);
    }
    const touches: Touch[] = [];
    for (const { view, at, writes: written } of uses) {
      const area = areaOf(view, columns);
      if (area) touches.push({ ...area, statement: at.statement, inner: at.inner, writes: written });
    }
    if (size % columns !== 0 || touches.length < uses.length) continue;
    matrices.set(id, { rows: size / columns, columns, touches, since: uses[0]!.at.statement });
  }
  return matrices;
}

/** A view as rows and columns of a matrix with `columns` columns; undefined where it is none. */
function areaOf({ offset, rows, columns: width, stride, step }: View, columns: number): Area | undefined {
  const from = offset % columns;
  const rowStride = rows === 1 ? 1 : stride / columns;
  const rowStep = step / columns;
  if (from + width > columns || !Number.isInteger(rowStride) || !Number.isInteger(rowStep)) return undefined;
  return { firstRow: (offset - from) / columns, rows, rowStride, rowStep, from, to: from + width };
}
